"""`stemline suggest`: the sounds that are heard in a media file, or clip by clip in an edit."""

from __future__ import annotations

import argparse
import sys
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import stemline
from stemline_app.cli.options import add_json, add_server, add_tracker, parse_box, parse_mask

if TYPE_CHECKING:
    from stemline.clips import Skip

_COLUMNS = ("clip", "track", "timecode", "start_s", "end_s", "sound", "likelihood")
_SHOWN_SPANS = 4


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "suggest",
        help="list the sounds of a media file or an edit",
        description="List the sounds that are heard in a media file, or in each clip of an edit, with their times. "
        "Quiet sounds are often missed.",
    )
    parser.add_argument("source", metavar="MEDIA|EDIT", help="a file with audio, or an edit")
    parser.add_argument("--tagger", default="", metavar="ID", help="tagger to use (default: the best that can run)")
    parser.add_argument("--in", dest="start", metavar="TIME", help="media: start, seconds or source timecode")
    parser.add_argument("--out", dest="end", metavar="TIME", help="media: end, seconds or source timecode")
    parser.add_argument("--stream", type=int, default=0, metavar="N", help="media: audio stream, from 0 (default 0)")
    parser.add_argument("--tracks", default="all", metavar="A1,A2|all", help="edit: audio tracks (default: all)")
    parser.add_argument(
        "--media-root", action="append", default=[], metavar="DIR", help="edit: search this folder for missing media"
    )
    parser.add_argument("--rate", metavar="FPS", help="edit: frame rate of an edit that does not state it (EDL)")
    parser.add_argument(
        "--box",
        metavar="X,Y,W,H@TIME",
        help="list where the object in this box may sound: for struck things in sync with their sound",
    )
    parser.add_argument("--mask", metavar="PATH", help="the same for the object that these masks show")
    add_tracker(parser)
    parser.add_argument("--markers", metavar="FILE.otio", help="edit: write a copy of the edit with markers")
    add_server(parser)
    output = parser.add_mutually_exclusive_group()
    add_json(output)
    output.add_argument("--csv", action="store_true", help="print a line for each span, separated by commas")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Listen, and print what is heard."""
    from stemline.api.stems import exact_time
    from stemline_app.cli.output import print_json, progress_bar, say, skip_line
    from stemline_app.cli.running import stop_by_signal

    _check(args)
    if args.box or args.mask:
        return _suggest_spans(args)
    limits = tuple(exact_time(time) if time else None for time in (args.start, args.end))
    with stop_by_signal() as stop, progress_bar(Path(args.source).name) as show, stop.gently():
        found = stemline.suggest(
            args.source,
            tagger=args.tagger,
            server=args.server,
            range=None if limits == (None, None) else (limits[0], limits[1]),
            stream=args.stream,
            options=_options(args),
            markers=args.markers,
            progress=show,
            cancelled=stop.asked,
        )
    if args.json:
        print_json([_facts(found)], [_skip_facts(skip) for skip in found.skipped])
    elif args.csv:
        _write_csv(found)
    else:
        _write_table(found)
    for skip in found.skipped:
        say(skip_line(skip))
    return 0


def _suggest_spans(args: argparse.Namespace) -> int:
    """Print where an object sounds, and the sounds that are heard there."""
    from stemline.api.object_spans import ADVICE
    from stemline.api.stems import exact_time
    from stemline_app.cli.output import print_json, progress_bar, say
    from stemline_app.cli.running import stop_by_signal

    shown = parse_box(args.box)[1] if args.box else parse_mask(f"object={args.mask}")[1]
    limits = tuple(exact_time(time) if time else None for time in (args.start, args.end))
    part = None if limits == (None, None) else (limits[0], limits[1])
    with stop_by_signal() as stop, progress_bar(Path(args.source).name) as show, stop.gently():
        found = stemline.suggest_spans(
            args.source,
            shown,
            range=part,
            stream=args.stream,
            tracker=args.tracker,
            options=_options(args),
            progress=show,
            cancelled=stop.asked,
        )
        heard: tuple[stemline.Suggestion, ...] = ()
        if found.spans:
            heard = _heard_there(args, part, found)
    if args.json:
        print_json([_span_facts(found, heard)], [])
        return 0
    _write_spans(found, heard)
    say(ADVICE)
    return 0


def _heard_there(
    args: argparse.Namespace,
    part: tuple[Fraction | str | None, Fraction | str | None] | None,
    found: stemline.ObjectSpans,
) -> tuple[stemline.Suggestion, ...]:
    """Return the sounds that are heard where the object sounds; none where no server can listen."""
    try:
        heard = stemline.suggest(
            args.source,
            tagger=args.tagger,
            server=args.server,
            range=part,
            stream=args.stream,
            options=_options(args),
        )
    except (stemline.NoServerError, stemline.SeparationError):
        return ()
    return found.words(heard.sounds)


def _write_spans(found: stemline.ObjectSpans, heard: tuple[stemline.Suggestion, ...]) -> None:
    from stemline_app.cli.output import write_line

    write_line(found.text)
    for span in found.spans:
        write_line(f"--plus {_times_of(span)}")
    if heard:
        write_line(f"Heard there: {', '.join(f'{sound.sound} ({sound.likelihood:.0%})' for sound in heard)}")


def _span_facts(found: stemline.ObjectSpans, heard: tuple[stemline.Suggestion, ...]) -> dict[str, object]:
    return {
        "spans": [[float(Fraction(span.start)), float(Fraction(span.end))] for span in found.spans],
        "stops": found.stops,
        "onsets": found.onsets,
        "text": found.text,
        "words": [sound.sound for sound in heard],
    }


def _check(args: argparse.Namespace) -> None:
    """Raise UsageError for options that do not fit together, and for markers that are not an OTIO file."""
    if args.box and args.mask:
        raise stemline.UsageError("--box and --mask show the same object.", advice="Give one of them.")
    if (args.box or args.mask) and (args.markers or args.csv):
        raise stemline.UsageError("--markers and --csv list sounds, not an object.", advice="Use --json.")
    if args.markers and Path(args.markers).suffix.lower() != ".otio":
        raise stemline.UsageError("--markers writes an .otio file.", advice="For example --markers edit.sounds.otio.")


def _options(args: argparse.Namespace) -> stemline.EditOptions:
    tracks = () if args.tracks == "all" else tuple(name.strip() for name in args.tracks.split(","))
    return stemline.EditOptions(tracks=tracks, media_roots=args.media_root, rate=args.rate)


def _facts(found: stemline.Suggestions) -> dict[str, object]:
    return {
        "source": found.source,
        "tagger": found.tagger,
        "markers": found.markers,
        "sounds": [sound.to_json() for sound in found.sounds],
    }


def _skip_facts(skip: Skip) -> dict[str, str]:
    return {"input": skip.clip, "code": str(skip.code), "message": skip.reason, "advice": ""}


def _write_csv(found: stemline.Suggestions) -> None:
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for sound in found.sounds:
        for number, span in enumerate(sound.spans):
            timecode = sound.timecodes[number] if sound.timecodes else ""
            times = (f"{float(Fraction(time)):.3f}" for time in (span.start, span.end))
            likelihood = f"{sound.likelihood:.2f}"
            writer.writerow((sound.clip, sound.track, timecode, *times, sound.sound, likelihood))


def _write_table(found: stemline.Suggestions) -> None:
    from stemline_app.cli.output import write_line, write_table

    if not found.sounds:
        write_line("No sound is likely enough to be listed.")
    several = len({(sound.clip, sound.track) for sound in found.sounds}) > 1
    columns = (*(("clip", "track") if several else ()), "sound", "likelihood", "heard")
    rows = [
        (*((sound.clip, sound.track) if several else ()), sound.sound, f"{sound.likelihood:.0%}", _times(sound))
        for sound in found.sounds
    ]
    if rows:
        write_table(columns, rows)
    if found.markers:
        write_line(f"Edit with markers: {found.markers}")


def _times(sound: stemline.Suggestion) -> str:
    """Return the spans as START..END in seconds, as `--plus` takes them."""
    spans = list(map(_times_of, sound.spans))
    more = f" and {len(spans) - _SHOWN_SPANS} more" if len(spans) > _SHOWN_SPANS else ""
    return " ".join((*sound.timecodes[:1], *spans[:_SHOWN_SPANS])) + more


def _times_of(span: stemline.Span) -> str:
    """Return a span as `--plus` takes it."""
    return f"{float(Fraction(span.start)):.2f}..{float(Fraction(span.end)):.2f}"
