"""`stemline separate`: stems of media files, or of a range of them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import stemline
from stemline_app.cli.options import (
    add_common,
    add_pictures,
    add_voice,
    parse_box,
    parse_mask,
    parse_span,
    parse_stem,
    parse_voices,
    preset_stems,
    settings_of,
)

if TYPE_CHECKING:
    from stemline import Run
    from stemline_app.cli.running import Stop

T = TypeVar("T")

_ENDS_ALL = (stemline.Cancelled, stemline.NoServerError)
_LONG_RUN_S, _LONG_SOUND_S = 10, 60  # from which on the time is said before: as estimated, or where no speed is known


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "separate",
        help="separate media files",
        description="Separate sounds from media files. Writes one file for each stem, and the residual.",
    )
    parser.add_argument("media", nargs="+", metavar="MEDIA", help="a file with audio")
    parser.add_argument(
        "--prompt", action="append", default=[], metavar="TEXT", help="a sound to pull out; may be repeated"
    )
    parser.add_argument(
        "--stem",
        action="append",
        default=[],
        metavar="NAME=TEXT",
        help="a sound and the name of its stem; may be repeated",
    )
    parser.add_argument(
        "--plus", action="append", default=[], metavar="[NAME=]START..END", help="where the sound is heard"
    )
    parser.add_argument(
        "--minus", action="append", default=[], metavar="[NAME=]START..END", help="where the sound is not heard"
    )
    parser.add_argument(
        "--box",
        action="append",
        default=[],
        metavar="[NAME=]X,Y,W,H@TIME",
        help="box around the object that makes the sound, at a time in seconds: in pixels of the upright picture, or "
        "in per cent (22%%,...)",
    )
    add_pictures(
        parser, "masks of the object that makes the sound: a film, a folder of pictures, or alpha for the media's own"
    )
    add_voice(parser)
    parser.add_argument("--in", dest="start", metavar="TIME", help="start: seconds, or source timecode HH:MM:SS:FF")
    parser.add_argument("--out", dest="end", metavar="TIME", help="end: seconds, or source timecode HH:MM:SS:FF")
    parser.add_argument("--stream", type=int, default=0, metavar="N", help="audio stream, counted from 0 (default 0)")
    parser.add_argument("--dry-run", action="store_true", help="print what would be done, and do nothing")
    add_common(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Separate each file by itself: a file that cannot be used does not stop the others."""
    from stemline_app.cli.output import print_json, print_results, say, say_notices, say_orders
    from stemline_app.cli.running import stop_by_signal

    request = _Request(args)
    if args.dry_run:
        return _print_plans(request, as_json=args.json)
    results: list[stemline.Result] = []
    errors: list[tuple[str, stemline.StemlineError]] = []
    with stop_by_signal() as stop:
        for path in request.media:
            try:
                results.append(request.separate(path, stop))
            except stemline.StemlineError as error:
                errors.append((path, error))
                if isinstance(error, _ENDS_ALL):
                    break  # finished results are printed all the same
    if args.json:
        print_json(
            [result.to_json() | request.overlaps.get(result.media, {}) for result in results],
            [{"input": path, **fault.to_json()} for path, fault in errors],
        )
    else:
        print_results(results, request.folder)
        say_orders(request.stems)
        for result in results:
            say_notices(result.notices)
    for _, fault in errors:
        say(f"stemline: {fault}")
    if not errors:
        return 0
    ended = not results or isinstance(errors[-1][1], _ENDS_ALL)
    return max(fault.exit_code for _, fault in errors) if ended else 1


def _print_plans(request: _Request, *, as_json: bool) -> int:
    """Print what each file needs."""
    from stemline_app.cli.output import FileReport, expectation, expectation_json, report_files

    def report(path: str) -> FileReport:
        with request.plan(path, request.expected_stems()) as planned:
            result = {"media": path, "dry_run": True, **expectation_json(planned)}
            return FileReport(result, [f"{Path(path).name}: {expectation(planned)}"])

    return report_files(request.media, report, as_json=as_json)


class _Request:
    """The command line, checked before any file is opened."""

    def __init__(self, args: argparse.Namespace) -> None:
        from stemline.api.stems import exact_time

        if args.stream < 0:
            raise stemline.UsageError(
                f"--stream counts from 0, not {args.stream}.", advice="Use 0 for the first stream."
            )
        self.media = list(dict.fromkeys(str(Path(media).absolute()) for media in args.media))
        self.folder = Path(args.output).absolute()
        self.stems = _stems(args)
        self._range = tuple(exact_time(time) if time else None for time in (args.start, args.end))
        self._stream: int = args.stream
        self._settings = settings_of(args)
        self._voices = parse_voices(args.voice)
        self.overlaps: dict[str, dict[str, object]] = {}
        self._says_time = not args.json

    def plan(self, path: str, stems: Sequence[stemline.Stem]) -> Run[stemline.Result]:
        """Return the planned run of a file. Raises StemlineError."""
        from stemline.api.files import plan_file

        return plan_file(
            path,
            stems,
            output=self.folder,
            settings=self._settings,
            range=(self._range[0], self._range[1]),
            stream=self._stream,
            beside=self.media,
        )

    def expected_stems(self) -> Sequence[stemline.Stem]:
        """Return the stems, with whole speech for each voice: its turns are not known before a run."""
        return [*self.stems, *(stemline.Stem(name, "speech") for name in self._voices)]

    def separate(self, path: str, stop: Stop) -> stemline.Result:
        """Separate one file. Raises StemlineError, for a fault of Stemline itself, too: media are untrusted."""
        from stemline.crash_reports import report_crash
        from stemline_app.cli.output import expectation, progress_bar, say

        try:
            planned = self.plan(path, [*self.stems, *self._voice_stems(path, stop)])
            needed = planned.estimate
            if self._says_time and (
                needed.audio_s >= _LONG_SOUND_S if needed.total_s is None else needed.total_s >= _LONG_RUN_S
            ):
                say(f"{Path(path).name}: {expectation(planned)}")
            with progress_bar(Path(path).name) as show, stop.gently():
                return planned.follow(show, stop.asked).result()
        except stemline.StemlineError:
            raise
        except Exception as error:
            raise report_crash(error) from error

    def _voice_stems(self, path: str, stop: Stop) -> Sequence[stemline.Stem]:
        """Return the stems of `--voice`. Raises StemlineError."""
        from stemline_app.cli.output import progress_bar, say

        if not self._voices:
            return ()
        with progress_bar(Path(path).name) as show, stop.gently():
            found = stemline.find_voices(
                path,
                self._voices,
                server=self._settings.server,
                range=(self._range[0], self._range[1]),
                stream=self._stream,
                progress=show,
                cancelled=stop.asked,
            )
        self.overlaps[path] = {"overlaps": found.overlaps_json()}
        if warning := found.overlap_warning():
            say(warning)
        return found


def _stems(args: argparse.Namespace) -> list[stemline.Stem]:
    """Return the stems with their spans. Raises UsageError for a span that belongs to no stem."""
    from stemline.api.stems import stem_list

    named = [
        *preset_stems(args),
        *((stem.name, stem.prompt.text) for stem in stem_list(args.prompt)),
        *map(parse_stem, args.stem),
    ]
    spans = [parse_span(text, sounds=True) for text in args.plus]
    spans += [parse_span(text, sounds=False) for text in args.minus]
    boxes, masks = list(map(parse_box, args.box)), list(map(parse_mask, args.mask))
    if not named and (spans or boxes or masks):
        named = [(next((name for name, _ in (*boxes, *masks) if name), "target"), "")]
    names = {name for name, _ in named}
    for option, given in (("span", spans), ("box", boxes), ("mask", masks)):
        for stem, _ in given:
            if stem not in names and (stem or len(names) != 1):
                raise stemline.UsageError(
                    f"The {option} {stem + '=' if stem else ''}… belongs to no stem.",
                    advice=f"Write NAME=… with one of: {', '.join(sorted(names))}.",
                )
    return [
        stemline.Stem(name, stemline.Prompt(text, _spans_of(name, spans), _last_of(name, boxes), _last_of(name, masks)))
        for name, text in named
    ]


def _last_of(name: str, given: Sequence[tuple[str, T]]) -> T | None:
    return next((value for stem, value in reversed(given) if stem in ("", name)), None)


def _spans_of(name: str, spans: Sequence[tuple[str, stemline.Span]]) -> tuple[stemline.Span, ...]:
    return tuple(span for stem, span in spans if stem in ("", name))
