"""How the small commands answer: one JSON object, or tables for people."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence

from stemline.errors import StemlineError

_SIZE_UNITS = ("B", "kB", "MB", "GB", "TB")


def write_json(results: Sequence[Mapping[str, object]], errors: Iterable[tuple[str, StemlineError]] = ()) -> None:
    """The one object that `--json` promises. Each error comes with the input that it is about."""
    print_json(results, [{"input": about, **error.to_json()} for about, error in errors])


def print_json(results: Sequence[Mapping[str, object]], errors: Sequence[Mapping[str, str]]) -> None:
    """The same with errors that are objects already. ASCII: names that are not Unicode come through as well."""
    import json  # here, so that `--help` stays fast

    sys.stdout.write(json.dumps({"version": 1, "results": list(results), "errors": list(errors)}) + "\n")
    sys.stdout.flush()


def write_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on stdout. Cells are shown as they are: no markup, no control characters."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))
    console = Console()
    Console(width=console.width if console.is_terminal else 200).print(table)


def write_line(text: str) -> None:
    sys.stdout.write(visible(text) + "\n")


def say(text: str) -> None:
    """A line on stderr, beside what was asked for."""
    sys.stderr.write(visible(text) + "\n")
    sys.stderr.flush()


def visible(text: str) -> str:
    """Text of unknown origin with control characters spelled out, so that it cannot steer the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def size_text(size_bytes: int) -> str:
    """1500000 -> "1.5 MB"."""
    value = float(size_bytes)
    for unit in _SIZE_UNITS[:-1]:
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} {_SIZE_UNITS[-1]}"
