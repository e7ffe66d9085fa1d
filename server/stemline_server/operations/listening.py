"""Ports, connections and certificates of the server. Certificates are read again when their files change."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import ssl
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import grpc.aio

from stemline.errors import Code, StemlineError, UsageError
from stemline_server.config import Tls

_log = logging.getLogger(__name__)

_WARN_AHEAD = timedelta(days=30)
_MAX_CONNECTIONS = 4000
_SHARE_OF_AN_ADDRESS = 8  # of the connections of the server: one of so many parts
_COUNT_EVERY_S = 1.0
_DESCRIPTORS = Path("/proc/self/fd")
_MAX_MESSAGE_BYTES = 4 * 1024 * 1024
_OPTIONS = (
    ("grpc.so_reuseport", 0),  # else a second server shares the port without a word
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", -1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.keepalive_time_ms", 60_000),  # a client whose machine is gone is noticed
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.max_connection_idle_ms", 300_000),  # clients connect again by themselves
)


def grpc_options() -> tuple[tuple[str, int], ...]:
    """Return the options of the gRPC server."""
    return (*_OPTIONS, ("grpc.max_allowed_incoming_connections", _max_connections()))


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


class ConnectionLimit(threading.Thread):
    """Closes connections above the share of one address, the newest first, where the system lists them (Linux).

    gRPC bounds the connections of all addresses together, so that one address could take all of them.
    """

    def __init__(self, port: int) -> None:
        """Watch the connections to a port of this process."""
        super().__init__(name="connections", daemon=True)
        self._port = port
        self._most = max(2, _max_connections() // _SHARE_OF_AN_ADDRESS)
        self._stopping = threading.Event()

    def run(self) -> None:
        """Count again and again until `stop`."""
        while sys.platform == "linux" and not self._stopping.wait(_COUNT_EVERY_S):
            with contextlib.suppress(OSError):
                self._close_surplus()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()

    def _close_surplus(self) -> None:
        descriptors = sorted(int(path.name) for path in _DESCRIPTORS.iterdir())
        if len(descriptors) <= self._most:
            return
        held: Counter[str] = Counter()
        closed: Counter[str] = Counter()
        for descriptor in descriptors:
            with contextlib.suppress(OSError), _duplicate(descriptor) as connection:
                if connection.family not in (socket.AF_INET, socket.AF_INET6):
                    continue
                if connection.getsockname()[1] != self._port:
                    continue
                address = connection.getpeername()[0]
                held[address] += 1
                if held[address] > self._most:
                    connection.shutdown(socket.SHUT_RDWR)  # gRPC notices, and closes its descriptor
                    closed[address] += 1
        for address, count in closed.items():
            _log.warning("%d of %d connections from %s were closed", count, held[address], address)


def _duplicate(descriptor: int) -> socket.socket:
    """Return a duplicate of the socket of a descriptor. Raises OSError for a file, a pipe and the like."""
    copy = os.dup(descriptor)
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise


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


def _max_connections() -> int:
    """Return how many clients may be connected: at least half of the open files of the process stay for sound."""
    if sys.platform == "win32":
        return _MAX_CONNECTIONS
    import resource  # noqa: PLC0415 - not on Windows

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else min(_MAX_CONNECTIONS, soft // 2)
