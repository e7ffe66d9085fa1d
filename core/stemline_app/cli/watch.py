"""`stemline watch`: separate files as they appear in a folder."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

import stemline
from stemline_app.cli.options import add_common, parse_stem, preset_stems, settings_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from stemline import Progress, WatchEvent

_RESOLVE = (
    "In DaVinci Resolve, export to the folder with File > Export > Timeline... (OpenTimelineIO), and bring a result in "
    "with File > Import > Timeline..., into the same project."
)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    from stemline.hosts.registry import host_list

    parser = commands.add_parser(
        "watch",
        help="separate files as they appear in a folder",
        description="Separate every edit and media file that appears in a folder, until it is stopped. "
        "The files stay where they are; results go to the folder Stemline in it.",
    )
    parser.add_argument("folder", metavar="DIR", help="folder to watch, without its subfolders")
    parser.add_argument(
        "--stem", action="append", default=[], metavar="NAME=TEXT", help="a stem to make; may be repeated"
    )
    parser.add_argument(
        "--for",
        dest="dialect",
        choices=tuple(host_list().dialects),
        default="generic",
        help="write each .otio for this program (default: generic)",
    )
    parser.add_argument("--once", action="store_true", help="end when every file there is done or failed")
    parser.add_argument("--retry", action="store_true", help="try files again that failed before")
    add_common(parser, output="the folder Stemline in the watched one")
    parser.set_defaults(func=run, output=None)


def run(args: argparse.Namespace) -> int:
    """Separate until stopped; the exit code is 1 where a file failed."""
    from stemline_app.cli.output import print_json, say
    from stemline_app.cli.running import stop_by_signal

    stems = [stemline.Stem(name, text) for name, text in [*preset_stems(args), *map(parse_stem, args.stem)]]
    if not stems:
        raise stemline.UsageError("Nothing to make.", advice="Give --preset NAME or --stem NAME=TEXT.")
    ended: list[WatchEvent] = []
    say(f"Watching {args.folder}. Ctrl-C stops.")
    if args.dialect == "resolve":
        say(_RESOLVE)
    with stop_by_signal() as stop, stop.gently(), _FileProgress() as show:
        events = stemline.watch(
            args.folder,
            stems,
            output=args.output,
            settings=settings_of(args),
            options=stemline.EditOptions(dialect=args.dialect),
            once=args.once,
            retry_failed=args.retry,
            progress=show,
            stopped=stop.asked,
        )
        for event in events:
            say(_line(event))
            show.event(event)
            if event.state in ("done", "failed"):
                ended.append(event)
    failed = [event for event in ended if event.state == "failed"]
    if args.json:
        done = [
            {"input": str(event.path), "output": event.output, **({"message": event.message} if event.message else {})}
            for event in ended
            if event.state == "done"
        ]
        print_json(done, [{"input": str(event.path), "message": event.message} for event in failed])
    return 1 if failed else 0


class _FileProgress:
    """Shows the progress of the file that is separated now."""

    def __init__(self) -> None:
        self._bar = ExitStack()
        self._show: Callable[[Progress], None] | None = None

    def event(self, event: WatchEvent) -> None:
        """End the bar of the last file, and begin one for a file that is separated."""
        from stemline_app.cli.output import progress_bar

        self._show = None
        self._bar.close()
        if event.state == "working":
            self._show = self._bar.enter_context(progress_bar(event.path.name))

    def __call__(self, progress: Progress) -> None:
        """Show progress, from any thread."""
        if self._show is not None:
            self._show(progress)

    def __enter__(self) -> Self:
        """Return this object."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the bar."""
        self._bar.close()


def _line(event: WatchEvent) -> str:
    text = f"{event.state}: {event.path.name}"
    if event.output:
        text += f" -> {event.output}"
    return f"{text}: {event.message}" if event.message else text
