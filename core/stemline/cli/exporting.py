"""The results of `stemline batch` in formats of editors, beside the .otio."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from stemline.errors import OutputError, UsageError
from stemline.hosts.otio_edit.export import ExportRequest, export_stems, rewrite_edit
from stemline.hosts.otio_edit.formats import AAF, FCP_XML, require_adapter
from stemline.timebase import snap_rate
from stemline.workflow import RunResult
from stemline.workflow.outputs import OutputNotebook

_SUFFIX = ".stems.otio"


def check_formats(args: argparse.Namespace) -> None:
    """Raises UsageError and EditError for what could not be written at the end, before any work is done."""
    if args.rewrite and not args.to:
        raise UsageError("--rewrite needs a format.", advice="Give --to xml or --to aaf with it.")
    if args.to:
        require_adapter(FCP_XML if args.to == "xml" else AAF)
        if args.format == "flac":
            raise UsageError(f"--to {args.to} needs WAV stems.", advice="Leave --format out, or give wav24 or wav32f.")


def export_results(
    args: argparse.Namespace, result: RunResult, notebook: OutputNotebook, recipe: str
) -> tuple[RunResult, tuple[str, ...]]:
    """The result with the notes of what was written in `--to`, and the paths of that."""
    if not args.to:
        return result, ()
    edit = Path(result.output)
    base = edit.name.removesuffix(_SUFFIX)
    recipe = f"{recipe} {args.to}"
    target = notebook.choose(base, f".stems.{args.to}", recipe, overwrite=args.overwrite)
    rate = snap_rate(args.rate) if args.rate else None
    written = [export_stems(ExportRequest(edit, result.tracks, target, rate))]
    notes: list[str] = []
    if args.rewrite:
        whole = notebook.choose(base, f".whole.{args.to}", recipe, overwrite=args.overwrite)
        try:
            written.append(rewrite_edit(edit, whole))
        except OutputError as error:
            notes.append(str(error))
    for one in written:
        notebook.note(one.path, recipe)
        notes += [f"{one.path.name}: {note}" for note in one.notes]
    return dataclasses.replace(result, notes=(*result.notes, *notes)), tuple(str(one.path) for one in written)
