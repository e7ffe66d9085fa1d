"""The results of `stemline batch` in formats of editors, beside the .otio."""

from __future__ import annotations

import argparse
import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stemline.errors import Cancelled, StemlineError, UsageError
from stemline.timebase import snap_rate
from stemline.workflow import RunResult
from stemline.workflow.outputs import OutputLedger
from stemline_otio.export import (
    Exported,
    ExportRequest,
    LossyFormatError,
    WaveOptions,
    check_names,
    export_stems,
    export_waves,
    rewrite_edit,
)
from stemline_otio.formats import AAF, FCP_XML, require_adapter

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
    """Where the results go, under names that the ledger gives and keeps."""

    def __init__(self, ledger: OutputLedger, edit: Path, *, overwrite: bool) -> None:
        self._ledger = ledger
        self._base = edit.name.removesuffix(_SUFFIX)
        self._overwrite = overwrite
        self._recipes: dict[Path, str] = {}

    def choose(self, recipe: str, suffix: str, digest: str = "") -> Path:
        recipe += digest
        path = self._ledger.choose(self._base, suffix, recipe, overwrite=self._overwrite)
        self._recipes[path] = recipe
        return path

    def note(self, written: Exported) -> None:
        self._ledger.note(written.path, self._recipes[written.path])


@dataclass(frozen=True, slots=True)
class Exports:
    """What was written in the formats of `--to`, what is lost in them, and what could not be written."""

    paths: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    failed: tuple[StemlineError, ...] = ()


def export_results(args: argparse.Namespace, result: RunResult, ledger: OutputLedger, recipe: str) -> Exports:
    """Writes them all: one that fails is listed, and the others are written. A whole edit that cannot be said in a
    format without loss is no failure: `--rewrite` asks for it only where it can.
    """
    edit = Path(result.output)
    places = _Places(ledger, edit, overwrite=args.overwrite)
    paths: list[str] = []
    notes: list[str] = []
    failed: list[StemlineError] = []

    def attempt(write: Callable[[], Exported]) -> None:
        try:
            written = write()
            places.note(written)
        except LossyFormatError as error:
            notes.append(str(error))
        except Cancelled:
            raise
        except StemlineError as error:
            failed.append(error)
        else:
            paths.append(str(written.path))
            notes.extend(f"{written.path.name}: {note}" for note in written.notes)

    for kind in dict.fromkeys(args.to):
        choose = functools.partial(places.choose, f"{recipe} {kind} {args.legs}")
        attempt(functools.partial(_export, args, kind, result, choose))
        if args.rewrite and kind in _EDITORS:
            attempt(functools.partial(rewrite_edit, edit, choose(f".whole.{kind}")))
    return Exports(tuple(paths), tuple(notes), tuple(failed))


def _export(args: argparse.Namespace, kind: str, result: RunResult, choose: Callable[..., Path]) -> Exported:
    """The stems alone, in one format."""
    edit = Path(result.output)
    rate = snap_rate(args.rate) if args.rate else None
    request = ExportRequest(edit, result.tracks, edit, rate, args.legs == "mono")
    if kind == "wav":
        options = WaveOptions(args.names, args.stamp != "source")
        return export_waves(request, options, functools.partial(choose, ".waves"))
    return export_stems(dataclasses.replace(request, target=choose(f".stems.{kind}")))
