"""Certificates of a server and its clients: rotation, expiry, and names of seats."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from server.harness import CALL_TIMEOUT_S, ServerProcess
from stemline.client import connect
from stemline.errors import UsageError
from stemline.v1 import models_pb2, models_pb2_grpc
from stemline_server.seats.seat_file import Seat, write_seats

Start = Callable[..., ServerProcess]


def models_of(settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """What `stemline models` says with these variables."""
    unset = {name: value for name, value in os.environ.items() if not name.startswith("STEMLINE_TOKEN")}
    command = [sys.executable, "-m", "stemline", "models"]
    return subprocess.run(command, env={**unset, **settings}, capture_output=True, text=True, check=False)


def until(check: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + CALL_TIMEOUT_S
    while not check():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def make_certificate(folder: Path, serial: int, days: int = 90) -> bytes:
    """Writes a key and a certificate of its own for localhost, and returns the certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - datetime.timedelta(days=100))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    encoding, layout = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "server.key").write_bytes(key.private_bytes(encoding, layout, serialization.NoEncryption()))
    (folder / "server.pem").write_bytes(pem)
    return pem


def answers(server: ServerProcess, root: bytes) -> bool:
    endpoint = server.wait_endpoint()
    token = Path(endpoint["token_file"]).read_text("ascii")
    address = f"localhost:{endpoint['address'].rpartition(':')[2]}"
    with grpc.secure_channel(address, grpc.ssl_channel_credentials(root)) as channel:
        try:
            models_pb2_grpc.ModelServiceStub(channel).GetServerInfo(
                models_pb2.GetServerInfoRequest(), metadata=(("authorization", f"Bearer {token}"),), timeout=5
            )
        except grpc.RpcError:
            return False
    return True


def test_a_new_certificate_is_used_without_a_restart(start_server: Start, tmp_path: Path) -> None:
    first = make_certificate(tmp_path, 1)
    options = ("--tls-cert", str(tmp_path / "server.pem"), "--tls-key", str(tmp_path / "server.key"))
    server = start_server(*options)
    assert answers(server, first)
    second = make_certificate(tmp_path, 2)
    later = time.time() + 5
    for name in ("server.pem", "server.key"):
        os.utime(tmp_path / name, (later, later))
    until(lambda: answers(server, second))
    assert not answers(server, first)
    assert "read again" in server.log()


def test_a_certificate_that_was_read_half_written_is_read_again(start_server: Start, tmp_path: Path) -> None:
    first = make_certificate(tmp_path, 1)
    pem, key = tmp_path / "server.pem", tmp_path / "server.key"
    server = start_server("--tls-cert", str(pem), "--tls-key", str(key))
    assert answers(server, first)
    second = make_certificate(tmp_path, 2)
    later = time.time() + 5
    pem.write_bytes(second[:300])
    for path in (pem, key):
        os.utime(path, (later, later))
    assert answers(server, first), "the old certificate stays until the new one is whole"
    until(lambda: "the certificate stays as it was" in server.log())
    key.rename(tmp_path / "moved")
    pem.write_bytes(second)
    os.utime(pem, (later, later))
    assert answers(server, first)
    (tmp_path / "moved").rename(key)
    until(lambda: answers(server, second))


def test_a_client_is_told_that_a_server_of_this_machine_uses_tls(
    start_server: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_certificate(tmp_path, 1)
    monkeypatch.setenv("STEMLINE_CACHE", str(tmp_path))
    options = ("--tls-cert", str(tmp_path / "server.pem"), "--tls-key", str(tmp_path / "server.key"))
    server = start_server(*options, state=tmp_path / "server-tls")
    port = server.wait_endpoint()["address"].rpartition(":")[2]
    with pytest.raises(UsageError, match="uses TLS"):
        connect(f"127.0.0.1:{port}", token=None)


def test_an_expired_certificate_is_named_at_start(start_server: Start, tmp_path: Path) -> None:
    make_certificate(tmp_path, 1, days=-1)
    server = start_server("--tls-cert", str(tmp_path / "server.pem"), "--tls-key", str(tmp_path / "server.key"))
    server.wait_endpoint()
    assert "expired on" in server.log()


def test_a_seat_is_known_by_its_client_certificate(start_server: Start, tmp_path: Path, noise: Path) -> None:
    root = make_certificate(tmp_path, 1)
    state = tmp_path / "state"
    write_seats(state / "seats.json", [Seat("workstation", ("submit", "read"), certificate="localhost")])
    pem = tmp_path / "client.pem"
    pem.write_bytes(root + (tmp_path / "server.key").read_bytes())
    files = ["--tls-cert", "server.pem", "--tls-key", "server.key", "--tls-client-ca", "server.pem"]
    options = [str(tmp_path / option) if option.endswith((".pem", ".key")) else option for option in files]
    server = ServerProcess(state, *options, "--listen", "127.0.0.1:0")
    try:
        port = server.wait_endpoint()["address"].rpartition(":")[2]
        settings = {"STEMLINE_CA": str(pem), "STEMLINE_SERVER": f"https://localhost:{port}"}
        assert models_of(settings).returncode == 3
        found = models_of({**settings, "STEMLINE_CERTIFICATE": str(pem)})
        assert found.returncode == 0, found.stderr
        assert "noop" in found.stdout
        write_seats(state / "seats.json", [Seat("workstation", ("submit",), certificate="elsewhere")])
        until(lambda: models_of({**settings, "STEMLINE_CERTIFICATE": str(pem)}).returncode == 3)
    finally:
        server.close()
