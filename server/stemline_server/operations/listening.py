"""Ports and certificates of the server. Certificates are read again when their files change."""

from __future__ import annotations

import logging
import socket
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import grpc.aio

from stemline.errors import Code, StemlineError, UsageError
from stemline_server.config import Tls

_log = logging.getLogger(__name__)

_WARN_AHEAD = timedelta(days=30)


def listen(server: grpc.aio.Server, address: str, tls: Tls | None) -> int:
    """Make a server listen on HOST:PORT, and return the port. Raises StemlineError (PORT_TAKEN), UsageError."""
    credentials = None if tls is None else _Certificates(tls).credentials()
    try:
        _try_port(address)
        if credentials is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, credentials)
    except OSError as error:
        raise StemlineError(
            f"The server cannot listen on {address}: another program does, or the address is not this machine's.",
            code=Code.PORT_TAKEN,
            advice="Stop that program, or give another --listen.",
        ) from error
    except RuntimeError as error:
        raise UsageError(
            f"gRPC cannot listen on {address}.",
            advice="Check the address and, with TLS, the certificate and its key.",
        ) from error


@dataclass
class _Certificates:
    """The PEM files of a server, read at each change: a new certificate needs no restart."""

    tls: Tls
    _stamps: list[int] = field(default_factory=list)

    def credentials(self) -> grpc.ServerCredentials:
        """Return credentials that follow the files. Raises UsageError for files that can't be read."""
        try:
            first = self._read()
        except OSError as error:
            raise UsageError(f"{error.filename} cannot be read: {error.strerror}.", advice="Give PEM files.") from error
        warn_of_expiry(self.tls.certificate)
        return grpc.dynamic_ssl_server_credentials(
            first,
            self._changed,  # type: ignore[arg-type]  # gRPC takes None for "as before"
            require_client_authentication=self.tls.client_ca is not None,
        )

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return the new certificates, None where they are the same. gRPC asks before each handshake."""
        try:
            if self._stamps_now() == self._stamps:
                return None
            configuration = self._read()
        except OSError as error:
            _log.error("%s cannot be read: the certificate stays as it was", error.filename)
            return None
        _log.info("the certificate was read again")
        warn_of_expiry(self.tls.certificate)
        return configuration

    def _read(self) -> grpc.ServerCertificateConfiguration:
        self._stamps = self._stamps_now()
        roots = self.tls.client_ca.read_bytes() if self.tls.client_ca is not None else None
        pair = (self.tls.key.read_bytes(), self.tls.certificate.read_bytes())
        return grpc.ssl_server_certificate_configuration([pair], roots)

    def _stamps_now(self) -> list[int]:
        paths = (self.tls.certificate, self.tls.key, self.tls.client_ca)
        return [path.stat().st_mtime_ns for path in paths if path is not None]


def warn_of_expiry(path: Path) -> None:
    """Log a warning for a certificate that has expired or soon will, or is not valid yet."""
    try:
        from cryptography import x509  # noqa: PLC0415 - in the extra `operations`

        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except ImportError:
        return
    except ValueError as error:
        raise UsageError(f"{path} is not a PEM certificate.", advice="Give the certificate chain as PEM.") from error
    now = datetime.now(UTC)
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begin:
        _log.warning("the certificate %s is not valid before %s", path, begin.date())
    elif now > end:
        _log.warning("the certificate %s expired on %s: clients will refuse this server", path, end.date())
    elif now > end - _WARN_AHEAD:
        _log.warning("the certificate %s expires on %s", path, end.date())


def _try_port(address: str) -> None:
    """Raise OSError where gRPC would fail too. gRPC would also write to the user's terminal."""
    host, _, port = address.rpartition(":")
    family, kind, protocol, _, target = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        if sys.platform != "win32":  # there it would let two programs share the port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(target)
