"""Sound that an AAF carries inside itself, put into files where clips can be linked to it."""

from __future__ import annotations

import hashlib
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from stemline.errors import OutputError
from stemline.plan import safe_part
from stemline_otio.bundles import check_room

_BLOCK_BYTES = 1 << 20
_WHOLE_FILES = {b"RIFF": ".wav", b"RF64": ".wav", b"FORM": ".aif", b"\x06\x0e\x2b\x34": ".mxf"}


class EssenceFiles:
    """The sound that an open AAF holds, copied into a folder once, when first asked for."""

    def __init__(self, document: Any, folder: Path) -> None:
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
    """None for what is neither a sound file nor plain samples."""
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
    part = target.with_name(f".{target.name}.part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            if head in _WHOLE_FILES:
                _pour(source, file.write)
            else:
                _write_pcm(source, file, mob.descriptor)
        part.replace(target)
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error.strerror or error}.") from error
    finally:
        part.unlink(missing_ok=True)
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
