"""Addresses, tokens and TLS of servers."""

from __future__ import annotations

import ipaddress
import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import grpc

from stemline.errors import UsageError
from stemline.files import check_private

PathText = str | os.PathLike[str]
_CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),  # a page of jobs with long prompts
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one server listens and how to talk to it.

    Attributes:
        address: HOST:PORT.
        token: Token of the server; empty for none.
        tls: Whether the connection is encrypted. It is off only for servers on this machine.
        ca_file: PEM file with the certificates to trust; empty for those of the system.
        certificate: PEM files of the client's certificate and of its key, which may be one file.
    """

    address: str
    token: str = ""
    tls: bool = False
    ca_file: str = ""
    certificate: tuple[str, str] | None = None

    @property
    def port(self) -> int:
        """Port of the address."""
        return int(self.address.rpartition(":")[2])

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Metadata of every call: the token."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()

    def open_channel(self) -> grpc.Channel:
        """Return a channel that is not connected yet. Raises UsageError for a PEM file that cannot be read."""
        if not self.tls:
            options = (*_CHANNEL_OPTIONS, ("grpc.enable_http_proxy", 0))
            return grpc.insecure_channel(self.address, options=options)
        chain, key = (_pem(path) for path in self.certificate) if self.certificate else (None, None)
        credentials = grpc.ssl_channel_credentials(_roots(self.ca_file), private_key=key, certificate_chain=chain)
        return grpc.secure_channel(self.address, credentials, options=_CHANNEL_OPTIONS)


def parse_server(
    server: str,
    *,
    token: str | None = None,
    ca: PathText | None = None,
    certificate: PathText | tuple[PathText, PathText] | None = None,
) -> Endpoint:
    """Return the endpoint of `HOST:PORT` on this machine, or of `https://HOST:PORT`.

    The token is the argument, else STEMLINE_TOKEN, else what the file STEMLINE_TOKEN_FILE holds. The CA file is the
    argument, else STEMLINE_CA; the client's certificate the argument, else STEMLINE_CERTIFICATE with its key in
    STEMLINE_KEY or in the same file. Raises UsageError for anything else, plaintext to other machines included.
    """
    tls = server.startswith("https://")
    scheme, _, rest = server.rpartition("://")
    if scheme not in ("", "https"):
        raise UsageError(f"{server!r} is not a server address.", advice="Write HOST:PORT or https://HOST:PORT.")
    host, port = _split(server, rest)
    if not tls and not is_loopback(host):
        raise UsageError(
            f"{server!r} is another machine, and what is sent there must be encrypted.",
            advice=f"Write https://{rest} and let that server have a certificate.",
        )
    shown_host = f"[{host}]" if ":" in host else host
    ca_file = os.fspath(ca) if ca else os.environ.get("STEMLINE_CA", "")
    shown = _token_of_user() if token is None else token
    if not (shown.isascii() and shown.isprintable()):
        raise UsageError("The token has characters that no token has.", advice="Check STEMLINE_TOKEN or its file.")
    if certificate is not None and not tls:
        raise UsageError(f"A certificate is for https://, not for {server!r}.", advice=f"Write https://{rest}.")
    chain = os.environ.get("STEMLINE_CERTIFICATE", "")
    if certificate is None and chain and tls:
        certificate = (chain, os.environ.get("STEMLINE_KEY", "") or chain)
    return Endpoint(f"{shown_host}:{port}", shown, tls, ca_file, _certificate_files(certificate))


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _split(server: str, rest: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{rest}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or not port or parts.path or parts.query or parts.username:
        raise UsageError(f"{server!r} is not a server address.", advice="Write HOST:PORT or https://HOST:PORT.")
    return host, port


def _token_of_user() -> str:
    token = os.environ.get("STEMLINE_TOKEN", "")
    path = os.environ.get("STEMLINE_TOKEN_FILE", "")
    if token or not path:
        return token.strip()
    try:
        check_private(Path(path), "token file")
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The token file {path} cannot be read.", advice="Check STEMLINE_TOKEN_FILE.") from error


def _certificate_files(certificate: PathText | tuple[PathText, PathText] | None) -> tuple[str, str] | None:
    if certificate is None:
        return None
    chain, key = certificate if isinstance(certificate, tuple) else (certificate, certificate)
    return os.fspath(chain), os.fspath(key)


def _pem(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"The certificate file {path} cannot be read.", advice="Check its path and mode.") from error


def _roots(ca_file: str) -> bytes | None:
    """Return the PEM roots of the file, else of the system; None, for those of gRPC, where the system has none."""
    if ca_file:
        try:
            return Path(ca_file).read_bytes()
        except OSError as error:
            raise UsageError(f"The CA file {ca_file} cannot be read.", advice="Check STEMLINE_CA.") from error
    certificates = ssl.create_default_context().get_ca_certs(binary_form=True)
    return "".join(ssl.DER_cert_to_PEM_cert(der) for der in certificates).encode() or None
