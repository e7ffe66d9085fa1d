"""`stemline batch`: a whole edit in, the edit with stem tracks out."""

from __future__ import annotations

import argparse

from stemline.options import PLAYS
from stemline_app.cli.options import add_common


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "batch",
        help="stems of a whole edit",
        description="Pull sounds out of every clip of an edit; get the edit back with new audio tracks.",
    )
    parser.add_argument("edit", metavar="EDIT", help="an edit: .otio, .otioz, .otiod, Final Cut 7 .xml, .aaf or .edl")
    parser.add_argument("--stem", action="append", default=[], metavar="NAME=TEXT", help="may be repeated")
    parser.add_argument("--dme", action="store_true", help="dialogue, music, and effects as the residual")
    parser.add_argument("--tracks", default="all", metavar="A1,A2|all", help="which audio tracks (default: all)")
    parser.add_argument("--handles", default="2", metavar="SECONDS", help="extra media in stem files (default 2)")
    parser.add_argument("--play", choices=PLAYS, default="all", help="new tracks that sound")
    parser.add_argument(
        "--originals", choices=("disable", "keep"), default="disable", help="the separated clips (default: disable)"
    )
    parser.add_argument(
        "--lanes",
        choices=("fit", "checkerboard"),
        default="fit",
        help="a further track only where clips overlap (default), or neighbours on alternating tracks",
    )
    parser.add_argument("--media-root", action="append", default=[], metavar="DIR", help="where to look for media")
    parser.add_argument("--path-map", action="append", default=[], metavar="FROM=TO", help="where a folder is now")
    parser.add_argument(
        "--rate", metavar="FPS", help="frame rate of an EDL, which does not say it: 25, 29.97, 24000/1001"
    )
    parser.add_argument(
        "--for", dest="dialect", choices=("generic", "resolve"), default="generic", help="who opens the .otio"
    )
    _add_delivery(parser)
    parser.add_argument("--audition", type=int, metavar="SECONDS", help="only the first of each clip")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    add_common(parser)
    parser.set_defaults(func=run)


def _add_delivery(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("delivery", "The stems alone, beside the .otio, as other programs take them.")
    group.add_argument(
        "--to",
        action="append",
        choices=("xml", "aaf", "wav"),
        default=[],
        help="a sequence of the stems (Final Cut 7 XML, AAF), or a broadcast wave per clip; may be repeated",
    )
    group.add_argument(
        "--rewrite", action="store_true", help="the whole edit as xml or aaf too, if no clip of it gets lost"
    )
    group.add_argument(
        "--legs",
        choices=("mono", "interleaved"),
        help="a file and a track per channel, or all channels in one (default: aaf mono, xml and wav interleaved)",
    )
    group.add_argument(
        "--stamp", choices=("record", "source"), help="timecode in the files of --to wav: edit's (default) or source's"
    )
    group.add_argument(
        "--names",
        default="{track}_{record}_{clip}",
        metavar="TEMPLATE",
        help="names of the files of --to wav (default: %(default)s; also {edit} {stem} {source} {number})",
    )


def run(args: argparse.Namespace) -> int:
    from stemline_app.cli.batching import batch

    return batch(args)
