"""A private key that leaves its file, and a doctor that does not see a key that no run can use."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runs.conftest import noise
from stemline import paths
from stemline.hosts.description import Status
from stemline.trust import certificates, keys
from stemline_app.doctor.trust import trust_checks

Command = Callable[..., tuple[int, dict[str, Any], str]]


def secrets_of(pem: bytes) -> list[bytes]:
    """Return forms in which the private key could leak: a line of its PEM, its number as bytes, hex and base64."""
    number = certificates.read_signing_key(pem).key.private_numbers().private_value.to_bytes(32, "big")
    line = pem.split(b"-----BEGIN PRIVATE KEY-----\n")[1].split(b"\n")[1]
    return [line, number, number.hex().encode(), base64.b64encode(number)]


def test_the_private_key_is_in_its_own_file_and_nowhere_else(
    command: Command, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys.make_key("Studio A")
    pem = keys.keys_dir() / "signing.pem"
    looked_for = secrets_of(pem.read_bytes())
    assert pem.read_bytes().count(looked_for[0]) == 1
    media, out = noise(tmp_path / "in.wav"), tmp_path / "out"
    for arguments in (
        ("separate", media, "--stem", "one=xylophone", "--model", "noop", "--remix", "one=-3", "-o", out),
        ("verify", out / "in.one.wav"),
        ("keys", "show"),
        ("keys", "export", tmp_path / "root.pem"),
    ):
        code, answer, err = command(*arguments)
        assert code == 0, err
        assert not any(secret in (str(answer) + err).encode() for secret in looked_for)
    assert not any(secret in caplog.text.encode() for secret in looked_for)
    folders = (tmp_path, paths.cache_dir(), paths.home_dir())  # deliveries; server with jobs, sounds and log; keys
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file() and path != pem]
    assert any(path.name == "server.log" for path in files) and any(path.suffix == ".sqlite" for path in files)
    for path in files:
        content = path.read_bytes()
        assert not any(secret in content for secret in looked_for), path


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_doctor_names_a_key_that_no_run_can_use() -> None:
    assert [check.message for check in trust_checks()] == [
        "none, so records are not signed; `stemline keys init` makes one"
    ]
    keys.make_key("Studio A")
    (check,) = trust_checks()
    assert check.status is Status.OK and "Studio A" in check.message
    pem = keys.keys_dir() / "signing.pem"
    pem.chmod(0o644)
    (check,) = trust_checks()
    assert check.status is Status.FAIL and "Other users" in check.message and "chmod 600" in check.advice
    for offset, words in ((-3700, "expired on"), (-3600, "valid until"), (+2, "valid only from")):
        start = datetime.now(UTC).replace(microsecond=0) + timedelta(days=offset)
        pem.write_bytes(certificates.make_signing_key("Studio A", start))
        pem.chmod(0o600)
        (check,) = trust_checks()
        assert check.status is Status.WARN and words in check.message and check.advice
