"""Write docs/command-line.md, which is not tracked, from the parsers of the commands."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

from stemline_app.cli.main import COMMANDS, build_parser

PAGE = Path(__file__).resolve().parent.parent / "docs" / "command-line.md"
INTRODUCTION = """\
# Command line

This page is generated from `stemline COMMAND --help`.

`--json` prints exactly one object to standard output; progress goes to standard error. Exit codes: 0 done (skipped
clips are listed), 1 something failed, 2 wrong usage or unreadable input, 3 no server, 130 interrupted.

| variable | purpose |
|---|---|
| `STEMLINE_SERVER` | server to use instead of the private one; `--server private` overrides it |
| `STEMLINE_TOKEN`, `STEMLINE_TOKEN_FILE` | token for that server |
| `STEMLINE_CA` | certificate authority for that server |
| `STEMLINE_CERTIFICATE`, `STEMLINE_KEY` | client certificate for that server, and its key if it is in another file |
| `STEMLINE_CACHE` | folder for everything that can be made again |
| `STEMLINE_MODELS` | folder for weights |
| `STEMLINE_HOME` | folder for settings and the record of this installation |
"""


def sections() -> Iterator[str]:
    """Yield one section for each command, in the order of `stemline --help`."""
    for name, summary in COMMANDS.items():
        parser = _subparser(build_parser([name]), name)
        title = summary[:1].upper() + summary[1:]
        yield f"## stemline {name}\n\n{title}.\n\n```text\n{parser.format_help().rstrip()}\n```\n"


def _subparser(parser: argparse.ArgumentParser, name: str) -> argparse.ArgumentParser:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found: argparse.ArgumentParser = action.choices[name]
            return found
    raise LookupError(name)


def main() -> None:
    """Write the page."""
    os.environ |= {"COLUMNS": "110", "NO_COLOR": "1"}
    PAGE.write_text("\n".join([INTRODUCTION, *sections()]), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
