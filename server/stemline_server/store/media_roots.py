"""Files under the media roots: checked on the open descriptor, and read through it."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from stemline.errors import Code, InputError, MediaError, StemlineError

_OPEN_FILES = 64
_DESCRIPTORS = Path("/proc/self/fd")


@dataclass(slots=True)
class _OpenFile:
    """A file that was checked. `link` leads to its descriptor; `uses` counts who reads through it."""

    descriptor: int
    identity: str
    link: Path
    uses: int = 0

    def close(self) -> None:
        os.close(self.descriptor)
        self.link.unlink(missing_ok=True)
        self.link.parent.rmdir()


class MediaRoots:
    """The folders from which callers may have files read.

    A path can lead to another file between a check and an open. Where the system shows open descriptors as files
    (Linux), a file is opened once, checked by its descriptor, and read through a link to that descriptor. The link of
    a file stays the same while it is in use often, so that what is known of the file is not computed again.
    """

    def __init__(self, roots: Sequence[Path] | None) -> None:
        """Admit files under `roots`, links resolved; None admits every file that this user can read."""
        self._roots = None if roots is None else tuple(root.resolve() for root in roots)
        self._lock = threading.Lock()
        self._open: OrderedDict[str, _OpenFile] = OrderedDict()
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def check(self, path: str) -> None:
        """Raise InputError (PATH_NOT_ALLOWED) for a path that leads outside the roots now."""
        if self._roots is not None:
            self._check_resolved(Path(path).resolve())

    @contextlib.contextmanager
    def opened(self, path: str) -> Iterator[str]:
        """Yield a path that leads to the file at `path`, and to no other file for as long as the block runs.

        Raises:
            InputError: The file lies outside the roots (PATH_NOT_ALLOWED).
            MediaError: There is no such file (MEDIA_MISSING, MEDIA_UNREADABLE).
        """
        self.check(path)
        if self._roots is None or sys.platform != "linux":
            yield path
            self.check(path)
            return
        file = self._hold(path)
        try:
            yield str(file.link)
        except StemlineError as error:
            error.message = error.message.replace(str(file.link), path)
            raise
        finally:
            self._let_go(file)

    def close(self) -> None:
        """Close the files that are kept open."""
        with self._lock:
            for file in self._open.values():
                file.close()
            self._open.clear()
            if self._folder is not None:
                self._folder.cleanup()
                self._folder = None

    def _hold(self, path: str) -> _OpenFile:
        descriptor = _open(path)
        try:
            self._check_resolved((_DESCRIPTORS / str(descriptor)).readlink())
            identity = identity_of(os.fstat(descriptor), path)
        except BaseException:
            os.close(descriptor)
            raise
        with self._lock:
            file = self._open.get(path)
            if file is not None and file.identity == identity:
                os.close(descriptor)
            else:
                file = _OpenFile(descriptor, identity, self._link(descriptor, path))
                self._replace(path, file)
            self._open.move_to_end(path)
            file.uses += 1
            self._close_unused()
        return file

    def _let_go(self, file: _OpenFile) -> None:
        with self._lock:
            file.uses -= 1
            if file.uses == 0 and file not in self._open.values():
                file.close()

    def _replace(self, path: str, file: _OpenFile) -> None:
        before = self._open.pop(path, None)
        if before is not None and before.uses == 0:
            before.close()
        self._open[path] = file

    def _close_unused(self) -> None:
        for path in [path for path, file in self._open.items() if file.uses == 0][: len(self._open) - _OPEN_FILES]:
            self._open.pop(path).close()

    def _link(self, descriptor: int, path: str) -> Path:
        """Return a new link to the descriptor that has the name of the file."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="stemline-media-")
        link = Path(tempfile.mkdtemp(dir=self._folder.name)) / (Path(path).name or "media")
        link.symlink_to(_DESCRIPTORS / str(descriptor))
        return link

    def _check_resolved(self, resolved: Path) -> None:
        if self._roots is not None and not any(resolved.is_relative_to(root) for root in self._roots):
            raise InputError(
                "The server may not read that path.",
                code=Code.PATH_NOT_ALLOWED,
                advice="Start it with --media-root for that folder, or let the client send the sound.",
            )


def file_identity(path: str) -> str:
    """Return what tells one content of a file from another without reading it. Raises MediaError for other things."""
    try:
        facts = os.stat(path)  # noqa: PTH116 - a caller's own spelling of the path is kept
    except (OSError, ValueError) as error:
        raise _missing(path) from error
    return identity_of(facts, path)


def identity_of(facts: os.stat_result, path: str) -> str:
    """Return the identity that these facts of the file at `path` give. Raises MediaError for what is no file."""
    if not stat.S_ISREG(facts.st_mode):
        raise MediaError(f"{path!r} is not a file.", code=Code.MEDIA_UNREADABLE, advice="Give a media file.")
    return f"{facts.st_size}:{facts.st_mtime_ns}:{facts.st_dev}:{facts.st_ino}"


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise _missing(path) from error


def _missing(path: str) -> MediaError:
    return MediaError(f"There is no file {path!r}.", code=Code.MEDIA_MISSING, advice="Relink the clip.")
