"""Estimate a run: the disk space from its plan, the time from the speed of earlier runs."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

from stemline.clips import MediaSource
from stemline.errors import Code, OutputError, StemlineError
from stemline.files import write_json
from stemline.fill import MOST_FILE_S
from stemline.media import SampleFormat, media_facts
from stemline.paths import cache_dir
from stemline.workflow.derived_tracks import derived_names
from stemline.workflow.prepare import Prepared
from stemline.workflow.results import Estimate
from stemline.workflow.segment_writer import written_format
from stemline.workflow.settings import RunSettings
from stemline_bridge import read_json_object

_BYTES_PER_SAMPLE = {SampleFormat.WAV24: 3, SampleFormat.WAV32F: 4, SampleFormat.FLAC: 3}
_RESERVE_BYTES = 1 << 20
_DEFAULT_MODEL = "embedded"
_WRITING = "/writing"  # among the names of models, of which none has a slash
_WRITE_BYTES_PER_S = 40e6  # of a machine that has written nothing yet
_FILE_S = 0.01
_LEAST_S = 1.0

SOUNDS_AT_ONCE = 2
"""How many segments are filled at once; each holds one converted sound from words."""


def estimate(prepared: Prepared, settings: RunSettings) -> Estimate:
    """Return the work, bytes and time of a planned run.

    The time comes from earlier runs of the model on this machine. A silent stem counts as work.
    """
    sets = len(prepared.stems) + 1 + len(derived_names(settings))
    facts = prepared.facts
    widths = {source: _BYTES_PER_SAMPLE[written_format(source, settings.sample_format)] for source in facts}
    written = sum(
        part.range.length * facts[part.source].channels * widths[part.source] * sets for part in prepared.plan.segments
    )
    cached = sum(job.extent.range.length * facts[job.extent.source].channels * 4 for job in prepared.plan.jobs)
    speed = known_speed(settings.model or _DEFAULT_MODEL)
    files = len(prepared.plan.segments) * sets
    return Estimate(
        audio_s=prepared.audio_s,
        jobs=len(prepared.plan.jobs),
        files=files,
        output_bytes=written + _converted_bytes(prepared, settings),
        cache_bytes=cached,
        free_bytes=_free_bytes(settings.output_dir),
        engine_s=prepared.audio_s / speed if speed else None,
        skipped=prepared.skipped,
        write_s=files * _FILE_S + written / (known_speed(_WRITING) or _WRITE_BYTES_PER_S),
    )


def _converted_bytes(prepared: Prepared, settings: RunSettings) -> int:
    """Return the bytes of files and generated sounds that are converted for fills, on the disk of the results."""
    media = [prepared.facts[part.source] for part in prepared.plan.segments]
    shapes = {(facts.sample_rate, facts.channels) for facts in media}
    fills = settings.replace.values()
    files = sum(
        round(min(MOST_FILE_S, held.length_samples / held.sample_rate) * rate) * channels * 4
        for held in (media_facts(MediaSource(str(Path(path).absolute()))) for path in {f.path for f in fills} - {""})
        for rate, channels in shapes
    )
    sounds = [
        part.range.length * prepared.facts[part.source].channels * 4
        for part in prepared.plan.segments
        if any(fill.words for fill in fills)
    ]
    return files + sum(sorted(sounds)[-SOUNDS_AT_ONCE:])


def check_room(expected: Estimate, folder: Path) -> None:
    """Check that the results fit on the disk.

    Raises:
        OutputError: DISK_FULL.
    """
    missing = expected.output_bytes - _written_before(folder)
    if missing > 0 and missing + _RESERVE_BYTES > expected.free_bytes:
        raise OutputError(
            f"The stems need {_gigabytes(expected.output_bytes)}, "
            f"but {folder} has {_gigabytes(expected.free_bytes)} free.",
            code=Code.DISK_FULL,
            advice="Free some space, or choose another disk with -o.",
        )


def _written_before(folder: Path) -> int:
    """Return the bytes of the stems that have a sidecar: an interrupted run needs room only for the others."""
    held = 0
    for record in (*folder.glob("*.json"), *(folder / "stems").glob("*.json")):
        for suffix in (".wav", ".flac"):
            with contextlib.suppress(OSError):
                held += record.with_suffix(suffix).stat().st_size
    return held


def known_speed(model: str) -> float:
    """Return the seconds of media per second of computing in the last run of `model`; 0 if there was none."""
    speed = _speeds().get(model, 0.0)
    return float(speed) if isinstance(speed, int | float) and speed > 0 else 0.0


def remember_speed(model: str, audio_s: float, engine_s: float) -> None:
    """Store the speed of `model` for later estimates. A speed that cannot be stored is lost without an error.

    Less than a second of media tells the time of a start, not the speed, and is not stored.

    Args:
        model: Id of the model.
        audio_s: Seconds of media in all jobs.
        engine_s: Seconds of computing.
    """
    if engine_s <= 0 or audio_s < _LEAST_S:
        return
    try:
        write_json(_place(), {**_speeds(), model: round(audio_s / engine_s, 3)})
    except StemlineError:
        return


def remember_writing(files: int, size_bytes: int, seconds: float) -> None:
    """Store how fast files are written and proved on this machine for later estimates.

    Args:
        files: Number of files.
        size_bytes: Their bytes.
        seconds: The time that it took.
    """
    if size_bytes > _RESERVE_BYTES:
        remember_speed(_WRITING, size_bytes, max(seconds - files * _FILE_S, size_bytes / 1e9))


def _place() -> Path:
    return cache_dir() / "speeds.json"


def _speeds() -> dict[str, Any]:
    return read_json_object(_place()) or {}


def _free_bytes(folder: Path) -> int:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e7 else f"{size / 1e6:.1f} MB"
