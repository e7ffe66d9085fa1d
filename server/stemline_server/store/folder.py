"""The server's state folder: its lock, the token, and the endpoint where the server listens."""

from __future__ import annotations

import hmac
import json
import logging
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from stemline._version import __version__
from stemline.errors import UsageError
from stemline.files import check_private
from stemline.locks import try_lock
from stemline_bridge import atomic_write

_log = logging.getLogger(__name__)

_PRIVATE = (
    "*jobs.sqlite*",
    "server.log*",
    "engine-*.log",
    "crash.txt",
    "process.json",
    "endpoint.json",
    "disk-nonce",
    "lock",
    "store",
    "scratch",
    "uploads",
)
_LEAST_TOKEN_CHARACTERS = 16


@dataclass(frozen=True, slots=True)
class DiskNonce:
    """A secret in a file: a caller that knows it shares this server's disk."""

    path: Path
    secret: bytes

    def admits(self, sent: bytes) -> bool:
        """Return whether the caller read this nonce, or leaves the proof to itself by sending none."""
        return not sent or hmac.compare_digest(sent, self.secret)


@dataclass(frozen=True, slots=True)
class StateFolder:
    """The paths in the state folder, which belongs to its owner alone."""

    root: Path

    def make(self) -> None:
        """Make the folder for its owner alone, and close what an earlier version left open to others.

        A folder that was there keeps its own mode. Raises OSError.
        """
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (self.store, self.scratch):
            folder.mkdir(exist_ok=True, mode=0o700)
        for pattern in _PRIVATE:
            for path in self.root.glob(pattern):
                if not path.is_symlink():
                    path.chmod(0o700 if path.is_dir() else 0o600)

    @property
    def database(self) -> Path:
        """Return the file of the job table."""
        return self.root / "jobs.sqlite"

    @property
    def store(self) -> Path:
        """Return the folder of the media store."""
        return self.root / "store"

    @property
    def scratch(self) -> Path:
        """Return the folder where engines keep the state of interrupted jobs."""
        return self.root / "scratch"

    @property
    def log(self) -> Path:
        """Return the log file."""
        return self.root / "server.log"

    @property
    def token(self) -> Path:
        """Return the token file."""
        return self.root / "token"

    @property
    def endpoint(self) -> Path:
        """Return the file that says where the server listens."""
        return self.root / "endpoint.json"

    def try_lock(self) -> IO[bytes] | None:
        """Return the folder's lock, held until the file is closed or the process dies; None if it is taken."""
        handle = (self.root / "lock").open("ab")
        if try_lock(handle):
            return handle
        handle.close()
        return None

    def write_endpoint(self, address: str, token_file: Path, *, tls: bool) -> None:
        """Write where the server listens, for clients of the same user."""
        facts = {
            "version": __version__,
            "pid": os.getpid(),
            "address": address,
            "token_file": str(token_file),
            "tls": tls,
        }
        _put(self.endpoint, json.dumps(facts))

    def write_nonce(self) -> DiskNonce:
        """Write a new secret that only callers on this disk can read."""
        path, secret = self.root / "disk-nonce", secrets.token_hex(32)
        _put(path, secret)
        return DiskNonce(path, secret.encode())


def read_or_make_token(path: Path, *, own: bool = False) -> str:
    """Return the secret that callers must show. A new one is readable by its owner only.

    Args:
        path: The token file.
        own: Whether the server made the file: an unusable token is replaced then, and a file that others can read
            is closed to them.

    Raises:
        UsageError: Others can change or read the file, or it holds no token that is hard to guess.
    """
    try:
        if own:
            _close_to_others(path)
        check_private(path, "token file")
        if os.name == "posix" and path.stat().st_mode & stat.S_IRGRP:
            _log.warning("the group of the token file %s can read it", path)
        token = path.read_bytes().decode("ascii", "replace").strip()
    except FileNotFoundError:
        token = ""
    except OSError as error:
        raise UsageError(f"The token file {path} cannot be read: {error.strerror}.") from error
    usable = token.isascii() and token.isprintable() and len(token) >= _LEAST_TOKEN_CHARACTERS
    if not token or (own and not usable):
        token = secrets.token_urlsafe(32)
        _put(path, token)
    elif not usable:
        raise UsageError(
            f"The token file {path} holds no usable token.",
            advice=f"Use {_LEAST_TOKEN_CHARACTERS} or more printable ASCII characters, or remove the file.",
        )
    return token


def _close_to_others(path: Path) -> None:
    """Let only the owner read a file that others can read but not change. Raises OSError."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name == "posix" and mode & 0o077 and not mode & 0o022 and not path.is_symlink():
        path.chmod(0o600)
        _log.warning("other users could read the token file %s until now: remove it and restart for another", path)


def _put(path: Path, text: str) -> None:
    """Write a file for its owner alone, whole or not at all."""
    atomic_write(path, text, mode=0o600)
