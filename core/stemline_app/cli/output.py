"""Output of the commands that separate: a table, notes, and a progress bar."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from stemline import ClipOutcome, Progress, Result, Stem
from stemline.clips import Skip
from stemline.workflow.outputs import relative_to
from stemline.workflow.results import Failure, Notice, RunResult
from stemline_app.cli.answers import say, visible
from stemline_bridge.stem_names import asks_to_remove

if TYPE_CHECKING:
    from collections.abc import Callable


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[Progress], None]]:
    """Show a bar on stderr if that is a terminal, and a line for each tenth otherwise."""
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(title)
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task(visible(title), total=1.0)

        def show(progress: Progress) -> None:
            bar.update(task, completed=progress.fraction, description=visible(f"{title}: {progress.stage}"))

        yield show


_WIDE = 200


class _Lines:
    """Progress for a log: one line for each tenth."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._tenth = 0

    def __call__(self, progress: Progress) -> None:
        tenth = int(progress.fraction * 10)
        if tenth > self._tenth:
            self._tenth = tenth
            say(f"{self._title}: {tenth * 10} %, {progress.stage}")


def print_results(results: Sequence[ClipOutcome | Result], folder: Path) -> None:
    """Print a table of clips or files: name, stem, file, null, speed. Print nothing where there are none."""
    if not results:
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("clip", "stem", "file"):
        table.add_column(title, overflow="fold")
    for title in ("null dBFS", "speed"):
        table.add_column(title, justify="right", no_wrap=True)
    for clip in results:
        name = clip.name if isinstance(clip, ClipOutcome) else Path(clip.media).name
        rows = [(f"{stem.stem}{'' if stem.found else ' (not found)'}", stem.path) for stem in clip.stems]
        rows.append(("residual", clip.residual))
        rows += [(f"{sound} (not in the sum)", path) for sound, path in _derived(clip)]
        for i, (stem, path) in enumerate(rows):
            shown = relative_to(folder, path)
            first = (name, f"{clip.null.dbfs:g}", _speed(clip)) if i == 0 else ("", "", "")
            table.add_row(*(Text(visible(cell)) for cell in (first[0], stem, shown)), first[1], first[2])
    Console(width=None if sys.stdout.isatty() else _WIDE).print(table)


def _derived(clip: ClipOutcome | Result) -> list[tuple[str, str]]:
    if isinstance(clip, ClipOutcome):
        return [(sound.name, sound.path) for sound in clip.derived]
    return list(clip.derived.items())


def _speed(clip: ClipOutcome | Result) -> str:
    if clip.reused:
        return "reused"
    return f"{clip.speed:.1f}x" if clip.speed else "-"


def say_orders(stems: Iterable[Stem]) -> None:
    """Print, for each prompt that asks to remove a sound, which file holds it and which is without it."""
    for stem in stems:
        if asks_to_remove(stem.prompt.text):
            say(f"note: {stem.prompt.text!r}: the stem {stem.name} holds that sound, the residual is without it.")


def say_notices(notices: Iterable[Notice]) -> None:
    """Print what the user should know about stems, on stderr."""
    for notice in notices:
        say(f"note: {notice.clip}: {notice.message}")


def say_edit_notices(result: RunResult) -> None:
    """Print notices, notes, and the clips that were skipped or failed, on stderr."""
    say_notices(result.notices)
    for note in result.notes:
        say(f"note: {note}")
    for skip in result.skipped:
        say(skip_line(skip))
    for failure in result.failed:
        say(f"failed: {_place(failure)}: {failure.sentence} [{failure.code}]")


def skip_line(skip: Skip) -> str:
    """Return the line for a skipped clip."""
    return f"skipped: {_place(skip)}: {skip.reason} [{skip.code}]"


def _place(of: Skip | Failure) -> str:
    """Return clip and track; a media file is both."""
    return of.clip if of.clip == of.track else f"{of.clip} on {of.track}"
