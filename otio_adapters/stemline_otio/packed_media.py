"""Media that an edit brings along, copied out of bundles (.otioz, .otiod) and AAF files."""

from __future__ import annotations

import hashlib
import shutil
import wave
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from stemline.errors import Code, EditError, OutputError
from stemline.files import output_errors
from stemline.plan import safe_part
from stemline_bridge import atomic_path, numbered

_CONTENT = "content.otio"
_MEDIA = "media"
_BLOCK_BYTES = 1 << 20


def unpack_bundle(path: Path, folder: Path) -> Path:
    """Return the .otio file of a bundle; the media of an .otioz is unpacked beside it into `folder`, once.

    Other sound of the same name that is there already stays, because an edit may link to it: the bundle then goes into
    `folder` with -2, -3 ... after its name.

    Raises:
        EditError: The file is not a bundle.
        OutputError: DISK_FULL or OUTPUT_UNWRITABLE.
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
    media = [info for info in wanted if info.filename != _CONTENT]
    folder = _own_folder(folder, media)
    missing = [info for info in wanted if info.filename == _CONTENT or not (folder / info.filename).exists()]
    check_room(sum(info.file_size for info in missing), folder, path)
    for info in missing:
        _copy_out(bundle, info, folder / info.filename)
    return folder / _CONTENT


def _is_content(name: str) -> bool:
    """Return whether a name in an archive is the edit or in its media folder: no other is ever written to disk."""
    parts = PurePosixPath(name).parts
    plain = len(parts) == 2 and parts[0] == _MEDIA and parts[1] not in ("..", ".")
    return name == _CONTENT or (plain and not name.endswith("/") and "\\" not in name and "\0" not in name)


def _own_folder(folder: Path, media: Sequence[zipfile.ZipInfo]) -> Path:
    """Return the first of `folder`, `folder`-2 ... in which every file of that name is one of these media."""
    return next(
        own
        for own in (folder.with_name(f"{stem}{folder.suffix}") for stem in numbered(folder.stem))
        if all(_is_same(own / info.filename, info) for info in media if (own / info.filename).exists())
    )


def _is_same(file: Path, info: zipfile.ZipInfo) -> bool:
    """Return whether a file has the content of an archive member. Its length alone is no evidence."""
    if not file.is_file() or file.stat().st_size != info.file_size:
        return False
    crc = 0
    with file.open("rb") as source:
        while block := source.read(_BLOCK_BYTES):
            crc = zlib.crc32(block, crc)
    return crc == info.CRC


def check_room(size: int, folder: Path, path: Path) -> None:
    """Raise OutputError (DISK_FULL) where `size` bytes out of `path` do not fit beside what is there."""
    while not folder.exists():
        folder = folder.parent
    if size > shutil.disk_usage(folder).free:
        raise OutputError(
            f"Unpacking {path.name} needs {size / 1e9:.2f} GB, which {folder} does not have.",
            code=Code.DISK_FULL,
            advice="Free some space, or choose another folder with -o.",
        )


def _copy_out(bundle: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> None:
    with output_errors(target), atomic_path(target) as part, bundle.open(info) as source, part.open("wb") as file:
        left = info.file_size
        while left >= 0 and (block := source.read(_BLOCK_BYTES)):
            left -= len(block)
            file.write(block)
        if left != 0:
            raise zipfile.BadZipFile(f"{info.filename} has another length than stated")


_WHOLE_FILES = {b"RIFF": ".wav", b"RF64": ".wav", b"FORM": ".aif", b"\x06\x0e\x2b\x34": ".mxf"}


class EssenceFiles:
    """The sound that an open AAF holds, copied into a folder once, when first asked for."""

    def __init__(self, document: Any, folder: Path) -> None:
        """List the essences of an open AAF."""
        self._folder = folder
        self._essences = {str(essence.mob_id): essence for essence in document.content.essencedata}
        self._files: dict[str, Path | None] = {}

    def file_of(self, mob: Any) -> Path | None:
        """Return the file with the essence of a mob, None where the AAF holds none, or no sound.

        Raises OutputError (DISK_FULL, OUTPUT_UNWRITABLE), and whatever pyaaf2 raises over a damaged file.
        """
        key = str(mob.mob_id)
        if key not in self._essences:
            return None
        if key not in self._files:
            self._files[key] = _copy(self._essences[key], mob, self._folder)
        return self._files[key]


def _copy(essence: Any, mob: Any, folder: Path) -> Path | None:
    """Copy the sound of an essence to a file, None for what is neither a sound file nor plain samples."""
    source = essence.open("r")
    size = source.seek(0, 2)
    source.seek(0)
    head = bytes(source.read(4))
    source.seek(0)
    suffix = _WHOLE_FILES.get(head) or (".wav" if _is_pcm(mob.descriptor) else "")
    if not suffix:
        return None
    # not a part of the id: the last one is that of the machine or session, the same for many sounds
    mark = hashlib.sha256(str(mob.mob_id).encode()).hexdigest()[:12]
    target = folder / f"{safe_part(mob.name or 'sound')}_{mark}{suffix}"
    if target.is_file() and target.stat().st_size >= size:
        return target
    check_room(size, folder, Path(target.name))
    with output_errors(target), atomic_path(target) as part, part.open("wb") as file:
        if head in _WHOLE_FILES:
            _pour(source, file.write)
        else:
            _write_pcm(source, file, mob.descriptor)
    return target


def _is_pcm(descriptor: Any) -> bool:
    return all(descriptor.getvalue(name) for name in ("Channels", "QuantizationBits", "AudioSamplingRate"))


def _write_pcm(source: BinaryIO, file: BinaryIO, descriptor: Any) -> None:
    with wave.open(file, "wb") as sound:
        sound.setnchannels(int(descriptor["Channels"].value))
        sound.setsampwidth(-(-int(descriptor["QuantizationBits"].value) // 8))
        sound.setframerate(int(descriptor["AudioSamplingRate"].value))
        _pour(source, sound.writeframesraw)


def _pour(source: BinaryIO, write: Callable[[bytes], object]) -> None:
    while block := source.read(_BLOCK_BYTES):
        write(block)
