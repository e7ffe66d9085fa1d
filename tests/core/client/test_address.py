"""Server addresses: wrong ones are refused, and nothing is sent in clear text to other machines."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stemline.client.address import parse_server
from stemline.errors import UsageError


@pytest.mark.parametrize(
    ("server", "address", "tls"),
    [
        ("127.0.0.1:50051", "127.0.0.1:50051", False),
        ("localhost:1", "localhost:1", False),
        ("[::1]:50051", "[::1]:50051", False),
        ("127.8.8.8:80", "127.8.8.8:80", False),
        ("https://studio.example:443", "studio.example:443", True),
        ("https://127.0.0.1:443", "127.0.0.1:443", True),
    ],
)
def test_valid_addresses_are_parsed(server: str, address: str, tls: bool) -> None:
    endpoint = parse_server(server)
    assert (endpoint.address, endpoint.tls) == (address, tls)


@pytest.mark.parametrize(
    "server",
    [
        "studio.example:50051",
        "10.0.0.1:1",
        "localhost.example:5",
        "0.0.0.0:5",
        "[2001:db8::1]:5",
        "127.0.0.1.example:5",
    ],
)
def test_another_machine_needs_encryption(server: str) -> None:
    with pytest.raises(UsageError, match="encrypted"):
        parse_server(server)


@pytest.mark.parametrize(
    "server",
    [
        "localhost",
        "localhost:",
        ":50051",
        "localhost:0",
        "localhost:99999",
        "localhost:x",
        "http://localhost:5",
        "unix:/tmp/x",
        "https://",
        "https://h:5/path",
        "https://user@h:5",
        "a:b:c",
        "[::1",
        "\0:5",
    ],
)
def test_invalid_addresses_are_refused(server: str) -> None:
    with pytest.raises(UsageError):
        parse_server(server)


def test_the_argument_overrides_the_environment_and_the_token_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text("from-file\n")
    file.chmod(0o600)
    monkeypatch.setenv("STEMLINE_TOKEN_FILE", str(file))
    assert parse_server("localhost:5").metadata == (("authorization", "Bearer from-file"),)
    monkeypatch.setenv("STEMLINE_TOKEN", "from-environment")
    assert parse_server("localhost:5").metadata == (("authorization", "Bearer from-environment"),)
    given = parse_server("localhost:5", token="given")  # noqa: S106
    assert given.metadata == (("authorization", "Bearer given"),)


def test_a_missing_token_file_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEMLINE_TOKEN_FILE", "/nowhere/token")
    with pytest.raises(UsageError, match="/nowhere/token"):
        parse_server("localhost:5")


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_a_token_file_that_other_users_can_read_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from-file\n")
    file.chmod(0o644)
    monkeypatch.setenv("STEMLINE_TOKEN_FILE", str(file))
    with pytest.raises(UsageError, match="Other users can read"):
        parse_server("localhost:5")


def test_without_a_token_no_header_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STEMLINE_TOKEN", raising=False)
    monkeypatch.delenv("STEMLINE_TOKEN_FILE", raising=False)
    assert parse_server("localhost:5").metadata == ()


@pytest.mark.parametrize("token", ["two\nlines", "schlüssel", "\0"])
def test_a_token_with_invalid_characters_is_reported(token: str) -> None:
    with pytest.raises(UsageError, match="token"):
        parse_server("localhost:5", token=token)
