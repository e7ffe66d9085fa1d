"""Which servers may be started."""

from __future__ import annotations

import argparse

import pytest

from stemline.errors import UsageError
from stemline_server.config import ServerConfig, add_arguments, from_arguments, is_loopback


def config(*options: str) -> ServerConfig:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return from_arguments(parser.parse_args(options))


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:1", True),
        ("127.8.8.8:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("192.168.0.2:1", False),
        ("localhost.example.org:1", False),
    ],
)
def test_loopback_addresses_are_recognised(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected


@pytest.mark.parametrize(
    "options",
    [
        ["--listen", "0.0.0.0:5000"],
        ["--listen", "[::]:5000"],
        ["--private", "--listen", "0.0.0.0:0", "--insecure"],
        ["--tls-key", "key.pem"],
        ["--listen", "127.0.0.1"],
        ["--listen", "127.0.0.1:99999"],
        ["--store-limit", "0"],
        ["--store-limit", "nan"],
    ],
)
def test_forbidden_configurations_are_refused(options: list[str]) -> None:
    with pytest.raises(UsageError):
        config(*options)


def test_other_machines_need_tls_or_an_explicit_option() -> None:
    assert config("--listen", "0.0.0.0:5000", "--tls-cert", "c", "--tls-key", "k").tls is not None
    assert not config("--listen", "0.0.0.0:5000", "--insecure").loopback


def test_only_private_servers_read_every_file() -> None:
    assert config("--private").media_roots is None
    assert config().media_roots == ()
    assert [str(root) for root in config("--media-root", "/media").media_roots or ()] == ["/media"]


def test_versions_and_ports_have_separate_folders() -> None:
    assert len({config("--private").state, config().state, config("--listen", "127.0.0.1:5000").state}) == 3
