"""Sound that an AAF carries inside itself, put into files where clips can be linked to it."""

from __future__ import annotations

import hashlib
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import opentimelineio as otio

from stemline.errors import OutputError
from stemline.plan import safe_part
from stemline_otio.bundles import check_room

AAF_KEY = "AAF"
_BLOCK_BYTES = 1 << 20
_WHOLE_FILES = {b"RIFF": ".wav", b"RF64": ".wav", b"FORM": ".aif", b"\x06\x0e\x2b\x34": ".mxf"}


def link_embedded(timeline: otio.schema.Timeline, path: Path, folder: Path) -> None:
    """Links the sounding clips without a file to their sound in the AAF, which is copied into `folder`, once.

    Raises OutputError (DISK_FULL, OUTPUT_UNWRITABLE), and whatever pyaaf2 raises over a damaged file.
    """
    wanted: dict[str, list[otio.schema.Clip]] = {}
    for track in timeline.tracks:
        if track.kind == otio.schema.TrackKind.Audio:
            for clip in track.find_clips():
                mob = _mob_of(clip)
                if mob:
                    wanted.setdefault(mob, []).append(clip)
    if wanted:
        for mob, file in _copied(path, folder, wanted.__contains__).items():
            for clip in wanted[mob]:
                linked = otio.schema.ExternalReference(file.as_uri(), clip.media_reference.available_range)
                linked.name = clip.media_reference.name
                clip.media_reference = linked


def _mob_of(clip: otio.schema.Clip) -> str:
    reference = clip.media_reference
    facts = reference.metadata.get(AAF_KEY, {}) if isinstance(reference, otio.schema.MissingReference) else {}
    return str(facts.get("MobID", ""))


def _copied(path: Path, folder: Path, is_wanted: Callable[[str], bool]) -> dict[str, Path]:
    """The files of the wanted mobs, by mob."""
    import aaf2  # noqa: PLC0415 - it comes with the adapter, which may be missing

    found: dict[str, Path] = {}
    with aaf2.open(str(path)) as document:
        for essence in document.content.essencedata:
            mob = document.content.mobs.get(essence.mob_id)
            if mob is not None and is_wanted(str(mob.mob_id)):
                file = _copy(essence, mob, folder)
                if file is not None:
                    found[str(mob.mob_id)] = file
    return found


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
