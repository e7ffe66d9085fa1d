"""`stemline batch`: a whole edit in, the edit with stem tracks out."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import stemline
from stemline.hosts.edits import LANES, NAME_TEMPLATE, ORIGINALS, SPLITS, TIMECODES
from stemline.options import PLAYS
from stemline_app.cli.options import (
    add_common,
    add_hidden,
    add_pictures,
    add_voice,
    parse_mask,
    parse_stem,
    parse_voices,
    preset_stems,
    settings_of,
)

if TYPE_CHECKING:
    from stemline.api.running import Run

_DME = (("dialogue", "speech"), ("music", "music"))


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options. Dialects and formats are those that the installed hosts announce."""
    from stemline.hosts.registry import host_list

    hosts = host_list()
    parser = commands.add_parser(
        "batch",
        help="separate a whole edit",
        description="Separate sounds from every clip of an edit. Writes the edit with new audio tracks.",
    )
    parser.add_argument("edit", metavar="EDIT", help=f"an edit: {', '.join(hosts.read_suffixes)}")
    _add_stems(parser)
    parser.add_argument("--tracks", default="all", metavar="A1,A2|all", help="audio tracks to separate (default: all)")
    parser.add_argument(
        "--clip", action="append", default=[], metavar="NAME", help="a clip to separate (default: all); may be repeated"
    )
    parser.add_argument(
        "--extend",
        action="store_true",
        help="add the stems to the edit that an earlier run with --extend, or the panel, wrote into the same folder",
    )
    _add_tracks(parser)
    _add_media(parser)
    parser.add_argument(
        "--for",
        dest="dialect",
        choices=tuple(hosts.dialects),
        default="generic",
        help="write the .otio for this program (default: generic)",
    )
    _add_delivery(parser, hosts.formats)
    parser.add_argument(
        "--audition", type=int, metavar="SECONDS", help="separate only the first seconds of each clip; write no edit"
    )
    parser.add_argument("--no-previews", action="store_true", help="write no previews of the clips' mix for the report")
    parser.add_argument("--dry-run", action="store_true", help="print what would be done, and do nothing")
    add_common(parser)
    parser.set_defaults(func=run)


def _add_stems(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--stem", action="append", default=[], metavar="NAME=TEXT", help="a stem to make; may be repeated"
    )
    add_pictures(
        parser,
        "masks of the object that makes the sound: a folder with a film or a folder of pictures for each clip, by name",
    )
    parser.add_argument(
        "--stems-from",
        metavar="FILE",
        help="make the stems of an earlier .stems.otio, with their marks, boxes and masks",
    )
    add_voice(parser)
    parser.add_argument("--dme", action="store_true", help="make dialogue and music; effects are the residual")


def _add_tracks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--handles", default="2", metavar="SECONDS", help="extra media in stem files (default: 2)")
    parser.add_argument("--enable", choices=PLAYS, default="all", help="new tracks to enable (default: all)")
    add_hidden(parser, "--play", dest="enable", choices=PLAYS)
    parser.add_argument(
        "--originals",
        choices=ORIGINALS,
        default="disable",
        help="disable the separated clips (default), or keep them enabled",
    )
    parser.add_argument(
        "--lanes",
        choices=LANES,
        default="fit",
        help="a second track only where clips overlap (default), or neighbours on alternating tracks",
    )


def _add_media(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--media-root", action="append", default=[], metavar="DIR", help="search this folder for missing media"
    )
    parser.add_argument(
        "--path-map",
        action="append",
        default=[],
        metavar="FROM=TO",
        help="look for the media of folder FROM in folder TO",
    )
    parser.add_argument(
        "--rate", metavar="FPS", help="frame rate of an edit that does not state it (EDL): 25, 29.97, 24000/1001"
    )


def _add_delivery(parser: argparse.ArgumentParser, formats: tuple[str, ...]) -> None:
    group = parser.add_argument_group("delivery", "The stems alone, beside the .otio, in formats of other programs.")
    group.add_argument(
        "--to",
        action="append",
        choices=formats,
        default=[],
        help="a sequence of the stems (xml, aaf) or a broadcast wave for each clip (wav); may be repeated",
    )
    group.add_argument(
        "--rewrite", action="store_true", help="also write the whole edit as xml or aaf, if no clip gets lost"
    )
    group.add_argument(
        "--split-channels",
        choices=SPLITS,
        help="a file and a track for each channel, or all channels in one (default: aaf mono, xml and wav interleaved)",
    )
    group.add_argument(
        "--timecode", choices=TIMECODES, help="timecode in the files of --to wav: the edit's (default) or the media's"
    )
    group.add_argument(
        "--name-template",
        default=NAME_TEMPLATE,
        metavar="TEMPLATE",
        help="file names of --to wav (default: %(default)s; also {edit} {stem} {source} {number})",
    )
    add_hidden(group, "--legs", dest="split_channels", choices=SPLITS)
    add_hidden(group, "--stamp", dest="timecode", choices=TIMECODES)
    add_hidden(group, "--names", dest="name_template", metavar="TEMPLATE")


def run(args: argparse.Namespace) -> int:
    """Read, plan, say what it will take, separate, write, report."""
    from stemline.api.edits import plan_edit
    from stemline_app.cli.output import expectation, progress_bar, say, say_orders
    from stemline_app.cli.running import stop_by_signal

    edit = Path(args.edit).absolute()
    stems, options, settings = _stems(args), _options(args), settings_of(args)
    overlaps: dict[str, object] = {}
    if voices := parse_voices(args.voice):
        with stop_by_signal() as stop, progress_bar(edit.name) as show, stop.gently():
            found = stemline.find_voices(
                edit, voices, server=settings.server, options=options, progress=show, cancelled=stop.asked
            )
        stems += found
        overlaps = {"overlaps": found.overlaps_json()}
        if warning := found.overlap_warning():
            say(warning)
    with (
        stop_by_signal() as stop,
        plan_edit(edit, stems, output=args.output, settings=settings, options=options, extend=args.extend) as planned,
    ):
        if args.dry_run:
            _print_plan(args, edit, planned, overlaps)
            return 0
        if not args.json:
            say(expectation(planned))
            say_orders(stems)
        with progress_bar(edit.name) as show, stop.gently():
            result = planned.follow(show, stop.asked).result()
    _print_result(args, result, overlaps)
    return 1 if result.failed or result.export_errors else 0


def _stems(args: argparse.Namespace) -> list[stemline.Stem]:
    pairs = [*preset_stems(args), *map(parse_stem, args.stem)]
    if args.dme:
        if pairs:
            raise stemline.UsageError("--dme names the stems itself.", advice="Give --dme alone.")
        pairs = list(_DME)
    masks = dict(map(parse_mask, args.mask))
    named = {name for name, _ in pairs}
    for name in masks.keys() - named:
        raise stemline.UsageError(f"The mask {name}=… belongs to no stem.", advice="Add --stem NAME=TEXT for it.")
    earlier = stemline.recorded_stems(args.stems_from) if args.stems_from else ()
    return [
        *(stem for stem in earlier if stem.name not in named),
        *(stemline.Stem(name, stemline.Prompt(text, mask=masks.get(name))) for name, text in pairs),
    ]


def _options(args: argparse.Namespace) -> stemline.EditOptions:
    if args.audition is not None and args.audition < 1:
        raise stemline.UsageError("--audition takes whole seconds above 0.")
    tracks = () if args.tracks == "all" else tuple(name.strip() for name in args.tracks.split(",") if name.strip())
    return stemline.EditOptions(
        tracks=tracks,
        clips=args.clip,
        handle_s=args.handles,
        enable=args.enable,
        originals=args.originals,
        lanes=args.lanes,
        dialect=args.dialect,
        rate=args.rate,
        media_roots=args.media_root,
        path_map=tuple(map(_path_pair, args.path_map)),
        audition_s=args.audition or 0,
        to=args.to,
        rewrite=args.rewrite,
        split_channels=args.split_channels,
        timecode=args.timecode,
        name_template=args.name_template,
        previews=not args.no_previews,
    )


def _path_pair(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not (old and equals):
        raise stemline.UsageError(
            f"--path-map takes FROM=TO, not {text[:80]!r}.", advice=r"For example 'Z:\Show=/mnt/show'."
        )
    return old, new


def _print_result(args: argparse.Namespace, result: stemline.EditResult, overlaps: Mapping[str, object]) -> None:
    from stemline.workflow.outputs import relative_to
    from stemline_app.cli.output import print_json, print_results, say, say_edit_notices, write_line

    if args.json:
        failed = [{"input": f.clip, **f.to_json()} for f in result.failed]
        failed += [{"input": result.edit, **e.to_json()} for e in result.export_errors]
        print_json([{**result.to_json(), **overlaps}], failed)
        return
    print_results(result.clips, Path(result.report).parent)
    say_edit_notices(result)
    for error in result.export_errors:
        say(f"failed: {error}")
    for path in (result.output, *result.exports) if result.output else ():
        write_line(relative_to(Path.cwd(), path))
    write_line(relative_to(Path.cwd(), result.report))


def _print_plan(args: argparse.Namespace, edit: Path, planned: Run[Any], overlaps: Mapping[str, object]) -> None:
    from stemline.report.build import skip_of
    from stemline_app.cli.output import expectation, expectation_json, print_json, skip_line, write_line

    prepared = planned.plan.prepared
    if args.json:
        result = {
            "edit": str(edit),
            "dry_run": True,
            "clips": len(prepared.clips),
            "skipped": [skip_of(skip) for skip in prepared.skipped],
            **expectation_json(planned),
            **overlaps,
        }
        print_json([result], [])
        return
    write_line(expectation(planned))
    for segment in prepared.plan.segments:
        rate = prepared.facts[segment.source].sample_rate
        start_s, end_s = segment.range.start_sample / rate, segment.range.end_sample / rate
        write_line(f"{Path(segment.source.path).name}: {start_s:.3f}-{end_s:.3f} s")
    for skip in prepared.skipped:
        write_line(skip_line(skip))
