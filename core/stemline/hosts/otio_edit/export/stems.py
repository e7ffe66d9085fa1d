"""A sequence of the stems alone, to be cut into the original project: written, read back, compared."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from stemline.errors import Code, OutputError
from stemline.hosts.otio_edit.document import read_timeline
from stemline.hosts.otio_edit.export import aaf, fcp7
from stemline.hosts.otio_edit.export.sequence import Sequence as StemSequence
from stemline.hosts.otio_edit.export.sequence import sequence_of
from stemline.hosts.otio_edit.formats import AAF, FCP_XML, require_adapter

_WRITERS: dict[str, Callable[[StemSequence, Path, Path], list[str]]] = {"xml": fcp7.write, "aaf": aaf.write}


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """`edit` is the written .otio, `tracks` its new tracks by name, `rate` the frame rate where it says none."""

    edit: Path
    tracks: Sequence[str]
    target: Path
    rate: Fraction | None = None


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written and what of the stems it does not say."""

    path: Path
    notes: tuple[str, ...]


def export_stems(request: ExportRequest) -> Exported:
    """Writes the stem tracks in the format of the target's suffix: same start and length as the edit.

    Raises EditError where the adapter is missing, OutputError (OUTPUT_DAMAGED) where what was read back is not what was
    written; then no file of that name is new or changed.
    """
    kind = request.target.suffix[1:].lower()
    require_adapter(FCP_XML if kind == "xml" else AAF)
    timeline = read_timeline(request.edit)
    sequence = sequence_of(timeline, request.edit.absolute().parent, frozenset(request.tracks), request.rate)
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
