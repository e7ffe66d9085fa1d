"""`stemline separate`: stems of plain media files, or of a range of them."""

from __future__ import annotations

import argparse

from stemline_app.cli.options import add_common


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "separate",
        help="stems of files",
        description="Pull sounds out of media files: one file per stem, and the rest.",
    )
    parser.add_argument("media", nargs="+", metavar="MEDIA")
    parser.add_argument(
        "--prompt",
        action="append",
        default=[],
        metavar="TEXT",
        help="what to pull out: speech, rain, ...; may be repeated",
    )
    parser.add_argument(
        "--stem", action="append", default=[], metavar="NAME=TEXT", help="a named stem; may be repeated"
    )
    parser.add_argument("--plus", action="append", default=[], metavar="[NAME=]START..END", help="where the sound is")
    parser.add_argument("--minus", action="append", default=[], metavar="[NAME=]START..END", help="where it is not")
    parser.add_argument("--in", dest="start", metavar="TIME", help="seconds, or source timecode HH:MM:SS:FF")
    parser.add_argument("--out", dest="end", metavar="TIME")
    parser.add_argument("--stream", type=int, default=0, metavar="N", help="audio stream, counted from 0")
    add_common(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from stemline_app.cli.separating import separate

    return separate(args)
