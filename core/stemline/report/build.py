"""Build the report of a run as plain data. Paths in it are relative to its folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from stemline._version import __version__
from stemline.clips import RESIDUAL, Skip
from stemline.prompts import StemRequest
from stemline.trust.privacy import recorded_path, recorded_words
from stemline.workflow import ClipOutcome, RunResult, RunSettings
from stemline.workflow.derived_tracks import derived_json
from stemline.workflow.outputs import relative_to


@dataclass(frozen=True, slots=True)
class Delivery:
    """The files of a run beside its stem files: exports in further formats, and previews by the residual they match."""

    exports: tuple[Path, ...] = ()
    previews: Mapping[str, Path] = field(default_factory=dict)


def report_of(
    edit: str,
    result: RunResult,
    stems: tuple[StemRequest, ...],
    settings: RunSettings,
    delivery: Delivery = Delivery(),
) -> dict[str, Any]:
    """Return the result as in `--json`, with what was asked and every clip with its files."""
    folder = settings.output_dir
    return {
        "version": 1,
        "stemline": __version__,
        "result": {
            **summary_of(recorded_path(edit, settings.record_paths), result),
            "output": relative_to(folder, result.output) if result.output else "",
            "exports": [relative_to(folder, str(path)) for path in delivery.exports],
        },
        "asked": {
            "stems": [
                {"name": stem.name, "text": recorded_words(stem.prompt.text, settings.record_words)} for stem in stems
            ],
            "model": result.model,
            "seed": settings.seed,
            "quality": settings.quality,
            "channels": settings.channels,
            "chain": settings.chain,
            **derived_json(settings),
        },
        "clips": [_clip(clip, settings, delivery) for clip in result.clips],
        "notices": [
            {"clip": n.clip, "clip_id": n.clip_id, "stem": n.stem, "code": str(n.code), "message": n.message}
            for n in result.notices
        ],
        "failed": [
            {
                "clip": failure.clip,
                "track": failure.track,
                "record_start": failure.record_start,
                "code": str(failure.code),
                "reason": failure.message,
                "advice": failure.advice,
            }
            for failure in result.failed
        ],
        "notes": list(result.notes),
    }


def summary_of(edit: str, result: RunResult) -> dict[str, Any]:
    """Return the one result of `stemline batch --json`. Each `record_start` is exact seconds, as a fraction."""
    separated = [clip for clip in result.clips if not clip.reused]
    return {
        "edit": edit,
        "output": result.output,
        "tracks_added": list(result.tracks),
        "clips": {
            "total": len(result.clips) + len(result.skipped) + len(result.failed),
            "separated": len(separated),
            "reused": len(result.clips) - len(separated),
            "skipped": len(result.skipped),
            "failed": len(result.failed),
        },
        "skipped": [skip_of(skip) for skip in result.skipped],
        "null": result.null.as_dict(),
        "audio_s": round(result.audio_s, 3),
        "elapsed_s": round(result.elapsed_s, 3),
        "engine_s": round(result.engine_s, 3),
    }


def skip_of(skip: Skip) -> dict[str, str]:
    """Return a skipped clip and the reason."""
    return {
        "clip": skip.clip,
        "track": skip.track,
        "record_start": str(skip.record_start),
        "code": str(skip.code),
        "reason": skip.reason,
    }


def _files(clip: ClipOutcome, settings: RunSettings) -> list[dict[str, Any]]:
    folder = settings.output_dir
    stems: list[dict[str, Any]] = [
        {
            "stem": stem.stem,
            "prompt": recorded_words(stem.prompt, settings.record_words),
            "file": relative_to(folder, stem.path),
            "found": stem.found,
            "confidence": round(stem.confidence, 3),
            "matched": stem.matched,
            "waveform": list(stem.waveform),
        }
        for stem in clip.stems
    ]
    residual = {
        "stem": RESIDUAL,
        "file": relative_to(folder, clip.residual),
        "waveform": list(clip.residual_waveform),
    }
    derived = [
        {
            "stem": sound.name,
            "file": relative_to(folder, sound.path),
            "waveform": list(sound.waveform),
            "in_sum": False,
        }
        for sound in clip.derived
    ]
    return [*stems, residual, *derived]


def _clip(clip: ClipOutcome, settings: RunSettings, delivery: Delivery) -> dict[str, Any]:
    place = clip.place
    preview = delivery.previews.get(clip.residual)
    return {
        "clip": clip.name,
        "clip_id": clip.clip_id,
        "track": clip.track,
        "record_start": clip.record_start,
        "record_start_s": round(float(Fraction(clip.record_start)), 6),
        "record_timecode": place.record_timecode,
        "record_frame": place.record_frame,
        "frame_rate": str(place.frame_rate) if place.frame_rate else "",
        "drop_frame": place.drop_frame,
        "clip_samples": place.clip_range.length,
        "handle_samples": place.clip_range.start_sample - place.file_range.start_sample,
        "preview": relative_to(settings.output_dir, str(preview)) if preview else "",
        "media": recorded_path(clip.media, settings.record_paths),
        "sample_rate": clip.sample_rate,
        "channels": clip.channels,
        "length_samples": clip.length_samples,
        "null": clip.null.as_dict(),
        "reused": clip.reused,
        "speed": round(clip.speed, 2),
        "engine_s": round(clip.engine_s, 3),
        "mix_waveform": list(clip.mix_waveform),
        "files": _files(clip, settings),
    }
