"""Write docs/errors.md from the table of error codes. With --check, print what differs and return 1 instead."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from stemline.error_table import ERRORS, WARNINGS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "errors.md"
INTRODUCTION = """\
# Error codes

This page is generated from `core/stemline/error_table.py` by `python scripts/errors_page.py`.

Codes are stable: a published code keeps its meaning. They appear in `--json` errors (`code`, `message`, `advice`), in
`report.json`, in skipped clips, and as the `reason` of gRPC's `ErrorInfo` (domain `stemline`). The exit code is that of
a command that ends with the error; a command that goes on without one clip ends with 1.
"""
WARNINGS_INTRODUCTION = """\
## Warnings

A warning appears beside a stem; the stem was written nevertheless.
"""


def page() -> str:
    """Return the text of the page."""
    return "\n".join(
        [
            INTRODUCTION,
            *_table(
                ("code", "exit code", "what it means", "what to do"),
                ((f"`{row.code}`", str(row.kind.exit_code), row.meaning, row.advice) for row in ERRORS),
            ),
            "",
            WARNINGS_INTRODUCTION,
            *_table(("code", "what it means"), ((f"`{code}`", meaning) for code, meaning in WARNINGS.items())),
            "",
        ]
    )


def _table(columns: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def main(arguments: list[str]) -> int:
    """Write or check the page."""
    if "--check" in arguments:
        current = PAGE.read_text(encoding="utf-8") == page()
        if not current:
            sys.stderr.write("docs/errors.md is out of date: run python scripts/errors_page.py\n")
        return 0 if current else 1
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
