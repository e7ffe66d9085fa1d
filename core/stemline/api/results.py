"""Results of one file and of an edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stemline.clips import RESIDUAL
from stemline.errors import StemlineError
from stemline.report.build import summary_of
from stemline.workflow import ClipOutcome, Notice, Null, RunResult, StemOutcome
from stemline.workflow.record import StemRecord as Record

__all__ = ["EditResult", "Record", "Result", "result_of"]


@dataclass(frozen=True, slots=True)
class Result:
    """The stems of one media file.

    Attributes:
        media: Path of the media file.
        model: Id of the model that ran.
        seed: Seed that it ran with.
        sample_rate: Samples per second of the media and of every stem.
        channels: Channels of every stem.
        length_samples: Samples of every stem.
        null: Largest sample of mix - sum(stems) - residual, measured on the written files.
        stems: The stems in the order in which they were asked for.
        residual: Path of the file with everything that is in no stem.
        derived: Paths of the remix and the fills by name. They are not part of the sum.
        notices: What the user should know about a stem.
        reused: Whether the files of an earlier run were reused.
        elapsed_s: Seconds that the run took.
        engine_s: Seconds that the model computed; 0 where nothing had to be computed.

    Examples:
        >>> import stemline
        >>> result = stemline.separate("interview.wav", {"dialogue": "speech"}, output="out")
        >>> [name for name in result.paths], result.null.dbfs
        (['dialogue', 'residual'], -240.0)
    """

    media: str
    model: str
    seed: int
    sample_rate: int
    channels: int
    length_samples: int
    null: Null
    stems: tuple[StemOutcome, ...]
    residual: str
    derived: Mapping[str, str]
    notices: tuple[Notice, ...]
    reused: bool
    elapsed_s: float
    engine_s: float

    @property
    def paths(self) -> dict[str, str]:
        """Return the path of every file by stem name, the residual last."""
        return {stem.stem: stem.path for stem in self.stems} | {RESIDUAL: self.residual}

    @property
    def speed(self) -> float:
        """Return seconds of media per second of computing; 0 where nothing was computed."""
        return self.length_samples / self.sample_rate / self.engine_s if self.engine_s > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the result as `stemline separate --json` prints it."""
        return {
            "media": self.media,
            "model": self.model,
            "seed": self.seed,
            "sample_rate": self.sample_rate,
            "channels": self.channels,
            "length_samples": self.length_samples,
            "null": self.null.as_dict(),
            "stems": [
                {
                    "name": stem.stem,
                    "prompt": stem.prompt,
                    "path": stem.path,
                    "found": stem.found,
                    "confidence": stem.confidence,
                    "matched": stem.matched,
                }
                for stem in self.stems
            ],
            "residual": self.residual,
            **({"derived": dict(self.derived)} if self.derived else {}),
            "warnings": [
                {"stem": notice.stem, "code": str(notice.code), "message": notice.message} for notice in self.notices
            ],
            "elapsed_s": round(self.elapsed_s, 3),
            "engine_s": round(self.engine_s, 3),
        }


def result_of(clip: ClipOutcome, run: RunResult) -> Result:
    """Return the public result of a run on one file."""
    return Result(
        media=clip.media,
        model=clip.model,
        seed=clip.seed,
        sample_rate=clip.sample_rate,
        channels=clip.channels,
        length_samples=clip.length_samples,
        null=clip.null,
        stems=clip.stems,
        residual=clip.residual,
        derived={sound.name: sound.path for sound in clip.derived},
        notices=run.notices,
        reused=clip.reused,
        elapsed_s=run.elapsed_s,
        engine_s=run.engine_s,
    )


@dataclass(frozen=True, slots=True)
class EditResult(RunResult):
    """The stems of an edit, clip by clip.

    Attributes:
        edit: Path of the edit that was read, or the name of a host.
        output: Path of the edit with stem tracks; empty for an audition, which writes none.
        tracks: Names of the new tracks.
        clips: Clips that were separated or found finished.
        skipped: Clips that cannot be separated, with a code and a reason.
        failed: Clips that should have been separated and were not.
        notices: What the user should know about a stem of a clip.
        notes: What the user should know about the edit.
        exports: Paths of the files and folders in further formats.
        export_errors: Formats that could not be written.
        report: Path of the report as a page; empty for a host.
        report_data: Path of the report as JSON; empty for a host.
        null: Worst null of all clips.
        model: Id of the model that ran.
        audio_s: Seconds of media in all clips.
        elapsed_s: Seconds that the run took.
        engine_s: Seconds that the model computed.

    Examples:
        >>> import stemline
        >>> result = stemline.separate_edit("edit.otio", {"dialogue": "speech"}, output="out")
        >>> result.tracks, len(result.clips), result.skipped
        (('dialogue A1', 'residual A1'), 1, ())
    """

    edit: str
    report: str = ""
    report_data: str = ""
    exports: tuple[str, ...] = ()
    export_errors: tuple[StemlineError, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the result as `stemline batch --json` prints it."""
        return {**summary_of(self.edit, self), "exports": list(self.exports)}
