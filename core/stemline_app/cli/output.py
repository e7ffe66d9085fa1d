"""Output of commands: one JSON object, or text, tables and a progress bar. Imports nothing heavy."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import stemline
from stemline.errors import StemlineError
from stemline.files import escape_controls

if TYPE_CHECKING:
    from collections.abc import Callable

    from stemline import ClipOutcome, Progress, Result, Run, Stem
    from stemline.clips import Skip
    from stemline.workflow.results import Failure, Notice, RunResult

_SIZE_UNITS = ("B", "kB", "MB", "GB", "TB")
_WIDE = 200


def write_json(results: Sequence[Mapping[str, object]], errors: Iterable[tuple[str, StemlineError]] = ()) -> None:
    """Print the one object of `--json`. Each error comes with the input that it is about."""
    print_json(results, [{"input": about, **error.to_json()} for about, error in errors])


def print_json(results: Sequence[Mapping[str, object]], errors: Sequence[Mapping[str, str]]) -> None:
    """Print the one object of `--json` with errors as objects, in ASCII: file names may not be valid Unicode."""
    import json  # here, so that `--help` stays fast

    sys.stdout.write(json.dumps({"version": 1, "results": list(results), "errors": list(errors)}) + "\n")
    sys.stdout.flush()


def write_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table to stdout. Cells are plain text: markup and control characters are shown, not applied."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(escape_controls(cell)) for cell in row))
    console = Console()
    Console(width=console.width if console.is_terminal else _WIDE).print(table)


def write_line(text: str) -> None:
    """Print a line to stdout."""
    sys.stdout.write(escape_controls(text) + "\n")


def say(text: str) -> None:
    """Print a line to stderr."""
    sys.stderr.write(escape_controls(text) + "\n")
    sys.stderr.flush()


@dataclass(frozen=True, slots=True)
class FileReport:
    """What a command says about one of its files: its JSON form, its lines, and a fault found in it, in JSON."""

    result: dict[str, Any]
    lines: Sequence[str]
    fault: dict[str, str] | None = None


def report_files(files: Iterable[str], report: Callable[[str], FileReport], *, as_json: bool) -> int:
    """Print the report of each file by itself, then what is wrong with some of them.

    Returns:
        The worst exit code: that of an error that `report` raises, or 1 for a fault.
    """
    results: list[dict[str, Any]] = []
    errors: list[dict[str, str]] = []
    code = 0
    for file in files:
        try:
            found = report(file)
        except stemline.StemlineError as error:
            errors.append({"input": file, **error.to_json()})
            code = max(code, error.exit_code)
            continue
        results.append(found.result)
        if found.fault is not None:
            errors.append({"input": file, **found.fault})
            code = max(code, 1)
        for line in () if as_json else found.lines:
            write_line(line)
    if as_json:
        print_json(results, errors)
    for wrong in errors:
        say(f"stemline: {wrong['input']}: {wrong['message']} {wrong['advice']}".rstrip())
    return code


def size_text(size_bytes: int) -> str:
    """Return a size for people: 1500000 gives "1.5 MB"."""
    value = float(size_bytes)
    for unit in _SIZE_UNITS[:-1]:
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} {_SIZE_UNITS[-1]}"


def expectation(planned: Run[Any]) -> str:
    """Return what a run needs, as one sentence: the sound, the time, the files, what is skipped."""
    expected, prepared = planned.estimate, planned.plan.prepared
    time = f"{expected.write_s:.0f} s of writing; the time of computing is not known yet"
    if expected.total_s is not None:
        time = f"about {max(1, round(expected.total_s))} s, of which {expected.write_s:.0f} s for writing"
    clips = f"{len(prepared.clips)} clips, " if len(prepared.clips) > 1 or prepared.skipped else ""
    skipped = f"; {len(prepared.skipped)} clips skipped" if clips else ""
    return (
        f"{clips}{expected.audio_s:.0f} s of sound to separate ({time}), "
        f"{expected.files} files of {expected.output_bytes / 1e6:.0f} MB{skipped}."
    )


def expectation_json(planned: Run[Any]) -> dict[str, Any]:
    """Return what a run needs, for `--json`."""
    expected = planned.estimate
    return {
        "jobs": expected.jobs,
        "files": expected.files,
        "audio_s": round(expected.audio_s, 3),
        "estimated_engine_s": None if expected.engine_s is None else round(expected.engine_s, 1),
        "estimated_s": None if expected.total_s is None else round(expected.total_s, 1),
        "output_bytes": expected.output_bytes,
        "cache_bytes": expected.cache_bytes,
        "free_bytes": expected.free_bytes,
    }


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[Progress], None]]:
    """Show a bar on stderr if that is a terminal, and a line for each tenth otherwise."""
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(title)
        return
    left = TextColumn("{task.fields[left]}", markup=False)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), left)
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task(escape_controls(title), total=1.0, left="")

        def show(progress: Progress) -> None:
            said = escape_controls(f"{title}: {progress.stage}")
            bar.update(task, completed=progress.fraction, description=said, left=_left(progress))

        yield show


def _left(progress: Progress) -> str:
    """Return the time that is left as minutes and seconds; empty where it is not known."""
    if progress.left_s is None:
        return ""
    minutes, seconds = divmod(round(progress.left_s), 60)
    return f"{minutes}:{seconds:02} left"


class _Lines:
    """Progress for a log: one line for each tenth."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._tenth = 0

    def __call__(self, progress: Progress) -> None:
        tenth = int(progress.fraction * 10)
        if tenth > self._tenth:
            self._tenth = tenth
            left = _left(progress)
            say(f"{self._title}: {tenth * 10} %, {progress.stage}{f', {left}' if left else ''}")


def print_results(results: Sequence[ClipOutcome | Result], folder: Path) -> None:
    """Print a table of clips or files: name, stem, file, null, speed. Print nothing where there are none."""
    if not results:
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from stemline.workflow.outputs import relative_to

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("clip", "stem", "file"):
        table.add_column(title, overflow="fold")
    for title in ("null dBFS", "speed"):
        table.add_column(title, justify="right", no_wrap=True)
    for clip in results:
        name = clip.name if isinstance(clip, stemline.ClipOutcome) else Path(clip.media).name
        rows = [(f"{stem.stem}{'' if stem.found else ' (not found)'}", stem.path) for stem in clip.stems]
        rows.append(("residual", clip.residual))
        rows += [(f"{sound} (not in the sum)", path) for sound, path in _derived(clip)]
        for i, (stem, path) in enumerate(rows):
            shown = relative_to(folder, path)
            first = (name, f"{clip.null.dbfs:g}", _speed(clip)) if i == 0 else ("", "", "")
            table.add_row(*(Text(escape_controls(cell)) for cell in (first[0], stem, shown)), first[1], first[2])
    Console(width=None if sys.stdout.isatty() else _WIDE).print(table)


def _derived(clip: ClipOutcome | Result) -> list[tuple[str, str]]:
    if isinstance(clip, stemline.ClipOutcome):
        return [(sound.name, sound.path) for sound in clip.derived]
    return list(clip.derived.items())


def _speed(clip: ClipOutcome | Result) -> str:
    if clip.reused:
        return "reused"
    return f"{clip.speed:.1f}x" if clip.speed else "-"


def say_orders(stems: Iterable[Stem]) -> None:
    """Print, for each prompt that asks to remove a sound, which file holds it and which is without it."""
    from stemline_bridge.stem_names import asks_to_remove

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
