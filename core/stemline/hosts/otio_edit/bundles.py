"""Bundles of OpenTimelineIO (.otioz, .otiod): an edit together with its media."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from stemline.errors import Code, EditError, OutputError

_CONTENT = "content.otio"
_MEDIA = "media"
_BLOCK_BYTES = 1 << 20


def unpack_bundle(path: Path, folder: Path) -> Path:
    """The .otio file inside a bundle; the media of an .otioz is unpacked beside it into `folder`, once.

    Raises EditError for what is no bundle, OutputError (DISK_FULL, OUTPUT_UNWRITABLE).
    """
    if path.is_dir():
        content = path / _CONTENT
        if not content.is_file():
            raise EditError(f"{path} is not an .otiod bundle: it holds no {_CONTENT}.", advice="Export it again.")
        return content
    try:
        with zipfile.ZipFile(path) as bundle:
            return _unpack(bundle, path, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise EditError(f"{path} is not a readable .otioz bundle ({error}).", advice="Export it again.") from error
    except OSError as error:
        raise EditError(f"The edit {path} cannot be read: {error.strerror or error}.") from error


def _unpack(bundle: zipfile.ZipFile, path: Path, folder: Path) -> Path:
    wanted = [info for info in bundle.infolist() if _is_content(info.filename)]
    if not any(info.filename == _CONTENT for info in wanted):
        raise EditError(f"{path} is not an .otioz bundle: it holds no {_CONTENT}.", advice="Export it again.")
    missing = [info for info in wanted if not _is_there(folder / info.filename, info.file_size)]
    check_room(sum(info.file_size for info in missing), folder, path)
    for info in missing:
        _copy_out(bundle, info, folder / info.filename)
    return folder / _CONTENT


def _is_content(name: str) -> bool:
    """The edit and the files of its media folder: no other name of an archive is ever written to disk."""
    parts = PurePosixPath(name).parts
    plain = len(parts) == 2 and parts[0] == _MEDIA and parts[1] not in ("..", ".")
    return name == _CONTENT or (plain and not name.endswith("/") and "\\" not in name and "\0" not in name)


def _is_there(file: Path, size: int) -> bool:
    return file.name != _CONTENT and file.is_file() and file.stat().st_size == size


def check_room(size: int, folder: Path, path: Path) -> None:
    """Raises OutputError (DISK_FULL) where `size` bytes out of `path` do not fit beside what is there."""
    while not folder.exists():
        folder = folder.parent
    if size > shutil.disk_usage(folder).free:
        raise OutputError(
            f"Unpacking {path.name} needs {size / 1e9:.2f} GB, which {folder} does not have.",
            code=Code.DISK_FULL,
            advice="Free some space, or choose another folder with -o.",
        )


def _copy_out(bundle: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> None:
    part = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with bundle.open(info) as source, part.open("wb") as file:
            left = info.file_size
            while left >= 0 and (block := source.read(_BLOCK_BYTES)):
                left -= len(block)
                file.write(block)
        if left != 0:
            raise zipfile.BadZipFile(f"{info.filename} is not as long as it says")
        part.replace(target)
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error.strerror or error}.") from error
    finally:
        part.unlink(missing_ok=True)
