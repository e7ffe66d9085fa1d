"""Edits from files, as Stemline opens and exports them: `stemline.hosts.EditFiles` over OpenTimelineIO."""

from __future__ import annotations

import functools
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from stemline.errors import Cancelled, StemlineError, UsageError
from stemline.hosts.edits import Delivered, DeliveryRequest, EditOptions, OpenRequest
from stemline.hosts.registry import load_dialect
from stemline_otio.export import (
    Exported,
    ExportRequest,
    LossyFormatError,
    WaveOptions,
    check_names,
    export_stems,
    export_waves,
    frame_rate_of_edit,
    rewrite_edit,
)
from stemline_otio.formats import AAF, FCP_XML, ReadOptions, require_adapter
from stemline_otio.host import OtioEdit, OtioTarget, open_edit
from stemline_otio.links import LinkRules

_WHOLE_EDITS = {"xml": FCP_XML, "aaf": AAF}


class OtioEditFiles:
    """Edits that OpenTimelineIO and its adapters read; results as OTIO, and as Final Cut 7 XML, AAF and WAV."""

    def check(self, options: EditOptions, sample_format: str | None) -> None:
        """Refuse what could not be written at the end. Raises UsageError, and EditError for a missing adapter."""
        whole = [kind for kind in options.to if kind in _WHOLE_EDITS]
        if options.rewrite and not whole:
            raise UsageError("--rewrite needs a format.", advice="Add --to xml or --to aaf.")
        if options.split_channels == "interleaved" and "aaf" in options.to:
            raise UsageError("An AAF holds mono tracks.", advice="Omit --split-channels, or write --to xml or wav.")
        if options.timecode and "wav" not in options.to:
            advice = "Add --to wav; the stem files carry the source timecode."
            raise UsageError("--timecode applies to the files of --to wav.", advice=advice)
        check_names(options.name_template)
        for kind in whole:
            require_adapter(_WHOLE_EDITS[kind])
        if options.to and sample_format == "flac":
            message = f"--to {options.to[0]} needs WAV stems."
            raise UsageError(message, advice="Omit --format, or give wav24 or wav32f.")

    def open_edit(self, request: OpenRequest) -> OtioEdit:
        """Open an edit of any readable format.

        Raises EditError and OutputError, and UsageError for an edit without the frame rate that `options.to` needs.
        """
        options = request.options
        target = OtioTarget(
            request.target, load_dialect(options.dialect), options.lanes == "checkerboard", request.report
        )
        links = LinkRules(request.edit.parent, tuple(options.path_map), options.roots)
        edit = open_edit(request.edit, target, links, ReadOptions(options.frame_rate, request.unpack_to))
        if options.to and options.frame_rate is None and not options.audition_s:
            frame_rate_of_edit(edit.timeline)
        return edit

    def deliver(self, request: DeliveryRequest) -> Delivered:
        """Write every format of `options.to`.

        A format that fails is listed and the others are written. A whole edit that a format cannot hold without loss
        is a note, not a failure: `rewrite` asks for it only where it is possible.
        """
        options = request.options
        paths: list[Path] = []
        notes: list[str] = []
        failed: list[StemlineError] = []

        def attempt(write: Callable[[], Exported]) -> None:
            try:
                written = write()
                request.note(written.path)
            except LossyFormatError as error:
                notes.append(str(error))
            except Cancelled:
                raise
            except StemlineError as error:
                failed.append(error)
            else:
                paths.append(written.path)
                notes.extend(f"{written.path.name}: {note}" for note in written.notes)

        for kind in dict.fromkeys(options.to):
            recipe = f"{kind} {options.split_channels}"
            attempt(functools.partial(_export, request, kind, recipe))
            if options.rewrite and kind in _WHOLE_EDITS:
                target = request.choose(f".whole.{kind}", recipe)
                attempt(functools.partial(rewrite_edit, request.edit, target))
        return Delivered(tuple(paths), tuple(notes), tuple(failed))


FILES = OtioEditFiles()


def _export(request: DeliveryRequest, kind: str, recipe: str) -> Exported:
    """Write the stems alone in one format."""
    options, rate = request.options, request.options.frame_rate
    mono = options.split_channels == "mono"
    if kind == "wav":

        def choose(digest: str) -> Path:
            return request.choose(".waves", recipe + digest)

        waves = WaveOptions(options.name_template, options.timecode != "source")
        return export_waves(_order(request, request.edit, rate, mono), waves, choose)
    return export_stems(_order(request, request.choose(f".stems.{kind}", recipe), rate, mono))


def _order(request: DeliveryRequest, target: Path, rate: Fraction | None, mono: bool) -> ExportRequest:
    return ExportRequest(request.edit, request.tracks, target, rate, mono)
