"""Output of every command: one JSON object, or text and tables."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence

from stemline.errors import StemlineError

_SIZE_UNITS = ("B", "kB", "MB", "GB", "TB")


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
        table.add_row(*(Text(visible(cell)) for cell in row))
    console = Console()
    Console(width=console.width if console.is_terminal else 200).print(table)


def write_line(text: str) -> None:
    """Print a line to stdout."""
    sys.stdout.write(visible(text) + "\n")


def say(text: str) -> None:
    """Print a line to stderr."""
    sys.stderr.write(visible(text) + "\n")
    sys.stderr.flush()


def visible(text: str) -> str:
    """Return text with its control characters escaped, so that it cannot control the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def size_text(size_bytes: int) -> str:
    """Return a size for people: 1500000 gives "1.5 MB"."""
    value = float(size_bytes)
    for unit in _SIZE_UNITS[:-1]:
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} {_SIZE_UNITS[-1]}"
