"""A sequence of the stems alone, to be cut into the original project: written, read back, compared."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from stemline.errors import Code, OutputError
from stemline_otio.document import read_timeline
from stemline_otio.export import aaf, fcp7
from stemline_otio.export.sequence import Sequence as StemSequence
from stemline_otio.export.sequence import note_hard_cuts, sequence_of
from stemline_otio.export.waves import WaveOptions, digest_of, split_by_channel, waves_of, write_waves
from stemline_otio.formats import AAF, FCP_XML, require_adapter

_WRITERS: dict[str, Callable[[StemSequence, Path, Path], list[str]]] = {"xml": fcp7.write, "aaf": aaf.write}


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """Stems to write in a format.

    `edit` is the written .otio, `tracks` its new tracks by name, `rate` the frame rate where the edit states none. With
    `mono` every channel gets a file and a track, as in every AAF.
    """

    edit: Path
    tracks: Sequence[str]
    target: Path
    rate: Fraction | None = None
    mono: bool = False


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was written, and what of the stems it does not hold."""

    path: Path
    notes: tuple[str, ...]


def export_stems(request: ExportRequest) -> Exported:
    """Write the stem tracks in the format of the target's suffix, with the start and length of the edit.

    Raises:
        EditError: The adapter is missing.
        OutputError: OUTPUT_DAMAGED where the file does not read back as written; then no file is new or changed.
    """
    kind = request.target.suffix[1:].lower()
    require_adapter(FCP_XML if kind == "xml" else AAF)
    sequence = _sequence(request, mono=request.mono or kind == "aaf")
    spool = request.target.with_name(f".{os.getpid()}.{request.target.name}")
    try:
        differences = _WRITERS[kind](sequence, spool, request.target)
        if differences:
            raise OutputError(
                f"{request.target.name} did not read back as it was written: {differences[0]}.",
                code=Code.OUTPUT_DAMAGED,
                advice="Use the .otio, which is complete.",
            )
        spool.replace(request.target)
    except OSError as error:
        raise OutputError(f"{request.target} cannot be written: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):
            spool.unlink(missing_ok=True)
    return Exported(request.target, tuple(dict.fromkeys(sequence.notes)))


def export_waves(request: ExportRequest, options: WaveOptions, choose: Callable[[str], Path]) -> Exported:
    """Write a broadcast wave per stem clip into the folder that `choose` returns for a digest of them all.

    Raises:
        OutputError: A file cannot be written, or does not read back as written.
    """
    sequence = _sequence(request, mono=request.mono)
    waves = waves_of(sequence, options)
    folder = choose(digest_of(waves))
    write_waves(sequence, waves, folder)
    note_hard_cuts(sequence.tracks, sequence.notes)
    return Exported(folder, tuple(dict.fromkeys(sequence.notes)))


def _sequence(request: ExportRequest, *, mono: bool) -> StemSequence:
    timeline = read_timeline(request.edit)
    sequence = sequence_of(timeline, request.edit.absolute().parent, frozenset(request.tracks), request.rate)
    return split_by_channel(sequence) if mono else sequence
