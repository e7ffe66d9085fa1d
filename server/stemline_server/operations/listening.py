"""Ports and certificates of the server. Certificates are read again when their files change."""

from __future__ import annotations

import errno
import logging
import socket
import ssl
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
    _stamps: list[tuple[int, ...]] = field(default_factory=list)
    _refused: str = ""

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
        """Return the new certificates, None where they are the same. gRPC asks before each handshake.

        Files that are being written are read again at the next handshake.
        """
        try:
            if self._stamps_now() == self._stamps:
                return None
            self._check_pair()
            configuration = self._read()
            warn_of_expiry(self.tls.certificate)
        except (OSError, StemlineError) as error:
            if str(error) != self._refused:
                _log.error("the certificate stays as it was: %s", error)
            self._refused = str(error)
            return None
        self._refused = ""
        _log.info("the certificate was read again")
        return configuration

    def _check_pair(self) -> None:
        """Raise OSError (ssl.SSLError) unless the files are whole and the key is that of the certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        no_password = str  # else OpenSSL asks for one on the terminal
        context.load_cert_chain(self.tls.certificate, self.tls.key, no_password)
        if self.tls.client_ca is not None:
            context.load_verify_locations(self.tls.client_ca)

    def _read(self) -> grpc.ServerCertificateConfiguration:
        stamps = self._stamps_now()
        roots = self.tls.client_ca.read_bytes() if self.tls.client_ca is not None else None
        pair = (self.tls.key.read_bytes(), self.tls.certificate.read_bytes())
        if self._stamps_now() != stamps:
            raise OSError(errno.EBUSY, "it is being changed", str(self.tls.certificate))
        configuration = grpc.ssl_server_certificate_configuration([pair], roots)
        self._stamps = stamps
        return configuration

    def _stamps_now(self) -> list[tuple[int, ...]]:
        paths = (self.tls.certificate, self.tls.key, self.tls.client_ca)
        facts = [path.stat() for path in paths if path is not None]
        return [(each.st_mtime_ns, each.st_size, each.st_ino) for each in facts]


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
