"""The work of `stemline batch`."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from stemline.clips import Prompt, StemRequest
from stemline.errors import UsageError
from stemline.files import write_json, write_text
from stemline.hosts.base import Selection
from stemline.options import MAX_HANDLE_S
from stemline.plan import PlanSettings, safe_part
from stemline.prompts import checked_requests, parse_stem, parse_time
from stemline.report import render_page, report_of
from stemline.report.build import skip_of, summary_of
from stemline.timebase import snap_rate
from stemline.workflow import EditNamer, Hooks, Prepared, RunResult, RunSettings, prepare, run_prepared
from stemline.workflow.estimate import check_room, estimate
from stemline.workflow.outputs import OutputLedger, relative_to
from stemline.workflow.results import Estimate
from stemline_app.cli.answers import print_json, say, write_line
from stemline_app.cli.exporting import Exports, check_formats, export_results
from stemline_app.cli.output import print_clips, progress_bar, say_notices, say_orders, skip_line
from stemline_app.cli.stopping import Stop, stop_by_signal
from stemline_otio import Dialect, LinkRules, OtioTarget, ReadOptions, open_edit

_DME = (("dialogue", "speech"), ("music", "music"))


def batch(args: argparse.Namespace) -> int:
    """Reads, plans, says what it will take, separates, writes, reports."""
    stems = _stems(args)
    check_formats(args)
    settings = _settings(args)
    with stop_by_signal() as stop, OutputLedger(settings.output_dir) as ledger:
        return _Batch(args, stems, settings, ledger).run(stop)


class _Batch:
    """One run of the command, and the names of what it writes."""

    def __init__(
        self,
        args: argparse.Namespace,
        stems: tuple[StemRequest, ...],
        settings: RunSettings,
        ledger: OutputLedger,
    ) -> None:
        self._args, self._stems, self._ledger = args, stems, ledger
        self._edit = Path(args.edit).absolute()
        self._recipe = _recipe(self._edit, stems, settings, args)
        self._target = self._choose(safe_part(self._edit.stem, 120), ".stems.otio")
        self._page, self._data = (self._choose("report", suffix) for suffix in (".html", ".json"))
        self._settings = settings

    def _choose(self, base: str, suffix: str) -> Path:
        return self._ledger.choose(base, suffix, self._recipe, overwrite=self._args.overwrite)

    def run(self, stop: Stop) -> int:
        args, settings = self._args, self._settings
        namer = EditNamer(settings.output_dir)
        host = open_edit(
            self._edit,
            OtioTarget(self._target, Dialect(args.dialect), settings.checkerboard, self._data.name),
            _links(args, self._edit),
            _reading(args, self._edit, settings.output_dir),
        )
        prepared = prepare(host, self._stems, settings, namer.folder)
        expected = estimate(prepared, settings)
        if args.dry_run:
            return _say_plan(args, prepared, expected)
        check_room(expected, settings.output_dir)
        if not args.json:
            say(_expectation(prepared, expected))
            say_orders(self._stems)
        with progress_bar(self._edit.name) as show, stop.gently():
            result = run_prepared(host, prepared, settings, namer, Hooks(show, stop.asked))
        exports = Exports()
        if result.output:
            self._ledger.note(self._target, self._recipe)
            exports = export_results(args, result, self._ledger, self._recipe)
            result = dataclasses.replace(result, notes=(*result.notes, *exports.notes))
        self._report(result)
        self._tell(result, exports)
        return 1 if result.failed or exports.failed else 0

    def _report(self, result: RunResult) -> None:
        report = report_of(str(self._edit), result, self._stems, self._settings)
        write_json(self._data, report)
        write_text(self._page, render_page(report))
        for path in (self._data, self._page):
            self._ledger.note(path, self._recipe)

    def _tell(self, result: RunResult, exports: Exports) -> None:
        if self._args.json:
            failed = [{"input": f.clip, "code": str(f.code), "message": f.message} for f in result.failed]
            failed += [{"input": str(self._edit), "code": str(e.code), "message": str(e)} for e in exports.failed]
            print_json([{**summary_of(str(self._edit), result), "exports": list(exports.paths)}], failed)
            return
        print_clips(result.clips, self._settings.output_dir)
        say_notices(result)
        for error in exports.failed:
            say(f"failed: {error}")
        for path in (result.output, *exports.paths) if result.output else ():
            write_line(relative_to(Path.cwd(), path))
        write_line(relative_to(Path.cwd(), str(self._page)))


def _stems(args: argparse.Namespace) -> tuple[StemRequest, ...]:
    pairs = [parse_stem(stem) for stem in args.stem]
    if args.dme:
        if pairs:
            raise UsageError("--dme names the stems itself.", advice="Give either --dme or --stem.")
        pairs = list(_DME)
    return checked_requests([StemRequest(name, Prompt(text)) for name, text in pairs])


def _settings(args: argparse.Namespace) -> RunSettings:
    handle = parse_time(args.handles).seconds
    if handle is None or handle > MAX_HANDLE_S:
        raise UsageError(f"--handles takes seconds, at most {MAX_HANDLE_S}.")
    if args.audition is not None and args.audition < 1:
        raise UsageError("--audition takes whole seconds above 0.")
    tracks = () if args.tracks == "all" else tuple(name.strip() for name in args.tracks.split(",") if name.strip())
    folder = Path(args.output).absolute()
    return RunSettings(
        output_dir=folder / "audition" if args.audition else folder,
        selection=Selection(tracks),
        plan=PlanSettings(handle=Fraction(handle)),
        server=args.server,
        model=args.model,
        seed=args.seed,
        quality=args.quality,
        channels=args.channels,
        sample_format=args.format,
        chain=args.chain,
        play=args.play,
        checkerboard=args.lanes == "checkerboard",
        disable_originals=args.originals == "disable",
        overwrite=args.overwrite,
        audition_s=args.audition or 0,
    )


def _links(args: argparse.Namespace, edit: Path) -> LinkRules:
    maps = []
    for pair in args.path_map:
        old, equals, new = pair.partition("=")
        if not (old and equals):
            raise UsageError(
                f"--path-map takes FROM=TO, not {pair[:80]!r}.", advice=r"For example 'Z:\Show=/mnt/show'."
            )
        maps.append((old, new))
    roots = tuple(Path(root).absolute() for root in args.media_root)
    for root in roots:
        if not root.is_dir():
            raise UsageError(f"The media root {root} is not a folder.")
    return LinkRules(edit.parent, tuple(maps), roots)


def _reading(args: argparse.Namespace, edit: Path, folder: Path) -> ReadOptions:
    rate = snap_rate(args.rate) if args.rate else None
    if rate is not None and not 1 <= rate <= 1000:
        raise UsageError(f"--rate takes frames per second, not {args.rate}.", advice="For example --rate 25.")
    return ReadOptions(rate, folder / f"{safe_part(edit.stem, 120)}.media")


def _recipe(edit: Path, stems: Sequence[StemRequest], settings: RunSettings, args: argparse.Namespace) -> str:
    """A digest of what the user asked for: the same command writes the same edit again."""
    asked = [
        os.path.relpath(edit, settings.output_dir) if edit.drive == settings.output_dir.drive else str(edit),
        [[stem.name, stem.prompt.text] for stem in stems],
        [settings.model, settings.seed, settings.quality, settings.channels, settings.chain, settings.sample_format],
        [str(settings.plan.handle), settings.play, settings.disable_originals, settings.selection.tracks, args.dialect],
        [settings.checkerboard],
    ]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def _expectation(prepared: Prepared, expected: Estimate) -> str:
    time = f"about {max(1, round(expected.engine_s))} s of computing" if expected.engine_s else "time not known yet"
    return (
        f"{len(prepared.clips)} clips, {expected.audio_s:.0f} s of sound to separate ({time}), "
        f"{expected.files} files of {expected.output_bytes / 1e6:.0f} MB; {len(prepared.skipped)} clips skipped."
    )


def _say_plan(args: argparse.Namespace, prepared: Prepared, expected: Estimate) -> int:
    if args.json:
        plan = {
            "edit": str(Path(args.edit).absolute()),
            "dry_run": True,
            "clips": len(prepared.clips),
            "skipped": [skip_of(skip) for skip in prepared.skipped],
            "jobs": expected.jobs,
            "files": expected.files,
            "audio_s": round(expected.audio_s, 3),
            "estimated_engine_s": None if expected.engine_s is None else round(expected.engine_s, 1),
            "output_bytes": expected.output_bytes,
            "cache_bytes": expected.cache_bytes,
            "free_bytes": expected.free_bytes,
        }
        print_json([plan], [])
        return 0
    write_line(_expectation(prepared, expected))
    for cut in prepared.plan.segments:
        rate = prepared.facts[cut.source].sample_rate
        write_line(
            f"{Path(cut.source.path).name}: {cut.range.start_sample / rate:.3f}-{cut.range.end_sample / rate:.3f} s"
        )
    for skip in prepared.skipped:
        write_line(skip_line(skip))
    return 0
