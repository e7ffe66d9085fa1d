"""The work of `stemline separate`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from stemline.clips import MediaFacts, MediaSource, Prompt, StemRequest, TimeRange
from stemline.crash_reports import report_crash
from stemline.errors import Cancelled, Code, NoServerError, StemlineError, UsageError
from stemline.hosts.plain_files import PlainFile
from stemline.media import media_facts
from stemline.plan import PlanSettings
from stemline.prompts import TypedSpan, clean_text, merge_ranges, name_from_text, parse_span, parse_stem, parse_time
from stemline.workflow import FileNamer, Hooks, RunResult, RunSettings, prepare, run_prepared
from stemline.workflow.estimate import check_room, estimate
from stemline_app.cli.answers import print_json, say
from stemline_app.cli.output import print_clips, progress_bar, say_notices, say_orders
from stemline_app.cli.stopping import Stop, stop_by_signal

_ENDS_ALL = (Cancelled, NoServerError)


def separate(args: argparse.Namespace) -> int:
    """Separates each file by itself: one that cannot be used does not stop the others."""
    asked = _Asked(args)
    folder = Path(args.output).absolute()
    settings = RunSettings(
        output_dir=folder,
        server=args.server,
        model=args.model,
        seed=args.seed,
        quality=args.quality,
        channels=args.channels,
        sample_format=args.format,
        chain=args.chain,
        overwrite=args.overwrite,
    )
    results: list[RunResult] = []
    errors: list[tuple[str, StemlineError]] = []
    with stop_by_signal() as stop:
        for path in dict.fromkeys(str(Path(media).absolute()) for media in args.media):
            try:
                results.append(_one(path, asked, settings, stop))
            except StemlineError as error:
                errors.append((path, error))
                if isinstance(error, _ENDS_ALL):
                    break  # what is done is told all the same
            except Exception as error:  # noqa: BLE001 - media is untrusted: one file's fault is not the others' end
                errors.append((path, report_crash(error)))
    failures = [(path, failure) for result in results for path, failure in _failures(result)]
    if args.json:
        print_json(
            [_as_json(result) for result in results if result.clips],
            [{"input": path, "code": str(error.code), "message": str(error)} for path, error in errors]
            + [{"input": path, "code": code, "message": message} for path, (code, message) in failures],
        )
    else:
        print_clips([clip for result in results for clip in result.clips], folder)
        say_orders(StemRequest(name, Prompt(text)) for name, text in asked.stems)
        for result in results:
            say_notices(result)
    _say_errors(errors)
    if errors:
        ended = not results or isinstance(errors[-1][1], _ENDS_ALL)
        return max(error.exit_code for _, error in errors) if ended else 1
    return 1 if failures else 0


class _Asked:
    """The command line, checked before any file is opened."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.media: list[str] = args.media
        self.stream: int = args.stream
        if args.stream < 0:
            raise UsageError("--stream counts from 0.")
        self.stems = [(name_from_text(text), clean_text(text)) for text in args.prompt]
        self.stems += [parse_stem(stem) for stem in args.stem]
        self.plus: list[TypedSpan] = [parse_span(span) for span in args.plus]
        self.minus: list[TypedSpan] = [parse_span(span) for span in args.minus]
        if not self.stems and (self.plus or self.minus):
            self.stems = [("target", "")]
        self.start = parse_time(args.start) if args.start else None
        self.end = parse_time(args.end) if args.end else None
        names = {name for name, _ in self.stems}
        for span in [*self.plus, *self.minus]:
            if span.stem not in names and (span.stem or len(names) != 1):
                raise UsageError(
                    f"The span {span.stem + '=' if span.stem else ''}… belongs to no stem.",
                    advice=f"Write NAME=START..END with one of: {', '.join(sorted(names))}.",
                )

    def requests(self, facts: MediaFacts, played: TimeRange) -> list[StemRequest]:
        """The stems with their spans in seconds of this file, of which `played` is separated.

        Raises UsageError (MEDIA_OUT_OF_RANGE) for a span that lies outside of that.
        """

        def within(typed: TypedSpan) -> TimeRange:
            span = typed.resolve(facts)
            if span.end <= played.start or span.start >= played.end:
                raise UsageError(
                    f"The span {float(span.start):g}..{float(span.end):g} lies outside of what is separated, "
                    f"{float(played.start):.3f} to {float(played.end):.3f} s.",
                    code=Code.MEDIA_OUT_OF_RANGE,
                    advice="Mark where the sound is, in seconds from the file's start.",
                )
            return span

        def spans(typed: Sequence[TypedSpan], name: str) -> tuple[TimeRange, ...]:
            return merge_ranges([within(span) for span in typed if span.stem in ("", name)])

        return [
            StemRequest(name, Prompt(text, spans(self.plus, name), spans(self.minus, name)))
            for name, text in self.stems
        ]


def _one(path: str, asked: _Asked, settings: RunSettings, stop: Stop) -> RunResult:
    source = MediaSource(path, asked.stream)
    facts = media_facts(source)
    start = asked.start.resolve(facts) if asked.start else None
    end = asked.end.resolve(facts) if asked.end else None
    host = PlainFile(source, facts, start, end)
    played = host.played
    settings = replace(settings, plan=PlanSettings(handle=Fraction(0)))
    prepared = prepare(host, asked.requests(facts, played), settings)
    check_room(estimate(prepared, settings), settings.output_dir)
    namer = _namer(asked, settings.output_dir, source, played if start is not None or end is not None else None)
    with progress_bar(Path(path).name) as show, stop.gently():
        return run_prepared(host, prepared, settings, namer, Hooks(show, stop.asked))


def _namer(asked: _Asked, folder: Path, source: MediaSource, played: TimeRange | None) -> FileNamer:
    every = list(dict.fromkeys(str(Path(media).absolute()) for media in asked.media))
    return FileNamer(folder, every, {source.path: (played.start, played.end)} if played else {})


def _failures(result: RunResult) -> list[tuple[str, tuple[str, str]]]:
    return [(failure.clip, (str(failure.code), failure.message)) for failure in result.failed]


def _say_errors(errors: Sequence[tuple[str, StemlineError]]) -> None:
    for _, error in errors:
        say(f"stemline: {error}")


def _as_json(result: RunResult) -> dict[str, Any]:
    clip = result.clips[0]
    return {
        "media": clip.media,
        "model": clip.model,
        "seed": clip.seed,
        "sample_rate": clip.sample_rate,
        "channels": clip.channels,
        "length_samples": clip.length_samples,
        "null": clip.null.as_dict(),
        "stems": [
            {
                "name": stem.stem,
                "prompt": stem.prompt,
                "path": stem.path,
                "found": stem.found,
                "confidence": stem.confidence,
                "matched": stem.matched,
            }
            for stem in clip.stems
        ],
        "residual": clip.residual,
        "warnings": [
            {"stem": notice.stem, "code": str(notice.code), "message": notice.message} for notice in result.notices
        ],
        "elapsed_s": round(result.elapsed_s, 3),
        "engine_s": round(result.engine_s, 3),
    }
