"""The results of `stemline batch` in formats of editors, beside the .otio."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path

from stemline.errors import OutputError, UsageError
from stemline.hosts.otio_edit.export import (
    Exported,
    ExportRequest,
    WaveOptions,
    check_names,
    export_stems,
    export_waves,
    rewrite_edit,
)
from stemline.hosts.otio_edit.formats import AAF, FCP_XML, require_adapter
from stemline.timebase import snap_rate
from stemline.workflow import RunResult
from stemline.workflow.outputs import OutputNotebook

_SUFFIX = ".stems.otio"
_EDITORS = {"xml", "aaf"}


def check_formats(args: argparse.Namespace) -> None:
    """Raises UsageError and EditError for what could not be written at the end, before any work is done."""
    if args.rewrite and not _EDITORS & set(args.to):
        raise UsageError("--rewrite needs a format.", advice="Give --to xml or --to aaf with it.")
    if args.legs == "interleaved" and "aaf" in args.to:
        raise UsageError("An AAF holds mono tracks.", advice="Leave --legs out, or write --to xml or wav.")
    if args.stamp and "wav" not in args.to:
        raise UsageError("--stamp is for the files of --to wav.", advice="Stem files carry the source timecode.")
    check_names(args.names)
    for kind in _EDITORS & set(args.to):
        require_adapter(FCP_XML if kind == "xml" else AAF)
    if args.to and args.format == "flac":
        raise UsageError(f"--to {args.to[0]} needs WAV stems.", advice="Leave --format out, or give wav24 or wav32f.")


class _Places:
    """Where the results go, under names that the notebook gives and keeps."""

    def __init__(self, notebook: OutputNotebook, edit: Path, *, overwrite: bool) -> None:
        self._notebook = notebook
        self._base = edit.name.removesuffix(_SUFFIX)
        self._overwrite = overwrite
        self._recipes: dict[Path, str] = {}

    def choose(self, suffix: str, recipe: str) -> Path:
        path = self._notebook.choose(self._base, suffix, recipe, overwrite=self._overwrite)
        self._recipes[path] = recipe
        return path

    def note(self, written: Exported) -> None:
        self._notebook.note(written.path, self._recipes[written.path])


def export_results(
    args: argparse.Namespace, result: RunResult, notebook: OutputNotebook, recipe: str
) -> tuple[RunResult, tuple[str, ...]]:
    """The result with the notes of what was written in the formats of `--to`, and the paths of that."""
    edit = Path(result.output)
    places = _Places(notebook, edit, overwrite=args.overwrite)
    written: list[Exported] = []
    notes: list[str] = []
    for kind in dict.fromkeys(args.to):
        own = f"{recipe} {kind} {args.legs}"
        written.append(_export(args, kind, result, lambda suffix, more="", own=own: places.choose(suffix, own + more)))
        if args.rewrite and kind in _EDITORS:
            try:
                written.append(rewrite_edit(edit, places.choose(f".whole.{kind}", own)))
            except OutputError as error:
                notes.append(str(error))
    for one in written:
        places.note(one)
        notes += [f"{one.path.name}: {note}" for note in one.notes]
    return dataclasses.replace(result, notes=(*result.notes, *notes)), tuple(str(one.path) for one in written)


def _export(args: argparse.Namespace, kind: str, result: RunResult, choose: Callable[..., Path]) -> Exported:
    """The stems alone, in one format."""
    edit = Path(result.output)
    rate = snap_rate(args.rate) if args.rate else None
    request = ExportRequest(edit, result.tracks, edit, rate, args.legs == "mono")
    if kind == "wav":
        options = WaveOptions(args.names, args.stamp != "source")
        return export_waves(request, options, lambda digest: choose(".waves", digest))
    return export_stems(dataclasses.replace(request, target=choose(f".stems.{kind}")))
