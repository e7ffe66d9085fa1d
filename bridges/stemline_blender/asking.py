"""From the settings in the panel to a `separate` call of the protocol."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from . import compat, prompts
from .jobs import SeparationJob
from .link import HostError, StemNameError, clean_stem_name, stem_name_from_text, to_exact
from .preferences import preferences, usable_server
from .reading import StripSelection, read_selection
from .session import SESSION
from .strips import playing_rate

_MILLI = 1000
_MODES = {"AUTO": None, "INSTEAD": True, "UNDER": False}


def new_job(scene: Any) -> SeparationJob:
    """Return a job for the selected strips and start its rendering. Raises HostError with the one thing to do."""
    settings = scene.stemline
    text = " ".join(settings.prompt.split())
    name = stem_name(settings.stem, text)
    if not text and not settings.spans:
        raise HostError("Type a prompt, or mark where the sound is.", "PROMPT_EMPTY")
    if scene.sequence_editor is None:
        raise HostError("The scene has no sequence.", "EDIT_NO_CLIPS", "Add a sound or movie strip.")
    folder = output_folder()
    server = usable_server()
    reading = _reading(scene, folder)
    fills, further = _fill(scene, settings, name)
    params = {
        "stems": [{"name": name, "prompt": {"text": text, **_spans(settings, playing_rate(scene))}}, *further],
        "settings": {
            "output_dir": str(folder),
            "server": server or None,
            "model": "" if settings.model in ("", "DEFAULT") else settings.model,
            "play": settings.play,
            "disable_originals": settings.mute_originals,
            "plan": {"handle": to_exact(Fraction(round(settings.handle_s * _MILLI), _MILLI))},
            "replace": fills,
            "remix": {name: settings.amount_db} if settings.use_amount else {},
        },
    }
    job = SeparationJob(name, reading, params, SESSION.document, bpy.data.filepath, scene.as_pointer())
    job.start_rendering(scene, compat.holder_on_show(scene.sequence_editor), folder / "rendered")
    if text:
        prompts.remember(text)
    return job


def new_listening(scene: Any) -> SeparationJob:
    """Return a job that asks what is heard in the selected strips. Raises HostError with the one thing to do."""
    if scene.sequence_editor is None:
        raise HostError("The scene has no sequence.", "EDIT_NO_CLIPS", "Add a sound or movie strip.")
    folder, server = output_folder(), usable_server()
    reading = _reading(scene, folder)
    params, file = {"server": server or None}, bpy.data.filepath
    title = iface_("What is in here?")
    job = SeparationJob(title, reading, params, SESSION.document, file, scene.as_pointer(), "suggest")
    job.start_rendering(scene, compat.holder_on_show(scene.sequence_editor), folder / "rendered")
    return job


def _reading(scene: Any, folder: Path) -> StripSelection:
    """Return the selected strips. Raises HostError where none of them has sound."""
    reading = read_selection(scene, folder / "packed")
    if not reading.picks:
        reason = next((f"{skip['clip']}: {skip['reason']}" for skip in reading.skipped), "Nothing is selected.")
        raise HostError(reason, "EDIT_NO_CLIPS")
    return reading


def _fill(scene: Any, settings: Any, name: str) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """Return what takes the place of the stem `name`, and the further stem under which it is lowered, if any.

    Raises HostError for a file, words or range that is missing.
    """
    if settings.fill == "NONE":
        return {}, []
    fill: dict[str, Any] = {"gain_db": settings.fill_gain_db, "instead": _MODES[settings.fill_mode]}
    if settings.fill != "ROOM":
        fill.update(
            nudge_s=settings.fill_nudge_ms / _MILLI,
            at=settings.fill_at.lower(),
            match_eq=settings.fill_match_eq,
            room=_room(settings),
        )
    if settings.fill == "ROOM" and settings.fill_room_preview:
        if not scene.use_preview_range:
            raise HostError("Set a preview range first (P).", "MEDIA_OUT_OF_RANGE")
        frames = (scene.frame_preview_start, scene.frame_preview_end + 1)
        fill["room_from"] = [to_exact(frame / playing_rate(scene)) for frame in frames]
    if settings.fill == "FILE":
        path = bpy.path.abspath(settings.fill_path)
        if not path or not Path(path).is_file():
            raise HostError("Choose a sound file for its place.", "MEDIA_MISSING")
        fill["path"] = str(Path(path).absolute())
    if settings.fill == "WORDS":
        words = " ".join(settings.fill_words.split())
        if not words:
            raise HostError("Type words for the sound in its place.", "PROMPT_EMPTY")
        fill.update(words=words, takes=settings.fill_takes, generator=settings.fill_generator.strip())
    duck = " ".join(settings.fill_duck.split())
    if not duck:
        return {name: fill}, []
    under = stem_name_from_text(duck)
    if under == name:
        raise HostError(
            f"The sound in the place of {name} cannot be lowered under {name}.",
            "INVALID_ARGUMENT",
            "Name another sound.",
        )
    fill.update(duck=under, duck_db=settings.fill_duck_db)
    return {name: fill}, [{"name": under, "prompt": {"text": duck}}]


def _room(settings: Any) -> str:
    """Return the room of a fill: a name, or the path of an impulse response. Raises HostError for a missing file."""
    if settings.fill_room != "FILE":
        return "" if settings.fill_room == "NONE" else str(settings.fill_room).lower()
    path = bpy.path.abspath(settings.fill_room_path)
    if not path or not Path(path).is_file():
        raise HostError("Choose a file with the room's impulse response.", "MEDIA_MISSING")
    return str(Path(path).absolute())


def output_folder() -> Path:
    """Return the absolute folder of the preference. Raises HostError for one beside an unsaved .blend file."""
    folder = preferences().folder or "//stemline"
    if folder.startswith("//") and not bpy.data.filepath:
        raise HostError("Save the file first: the stems go beside it.", "OUTPUT_UNWRITABLE")
    return Path(bpy.path.abspath(folder)).absolute()


def stem_name(given: str, text: str) -> str:
    """Return the name as typed, else the prompt's first words. Raises HostError for a name that no stem can have."""
    if not given.strip():
        return stem_name_from_text(text)
    try:
        return clean_stem_name(given)
    except StemNameError as error:
        raise HostError(str(error), "INVALID_ARGUMENT", error.advice) from error


def _spans(settings: Any, rate: Fraction) -> dict[str, list[dict[str, str]]]:
    spans: dict[str, list[dict[str, str]]] = {"plus": [], "minus": []}
    for span in settings.spans:
        spans[span.sign.lower()].append({"start": to_exact(span.start / rate), "end": to_exact(span.end / rate)})
    return spans
