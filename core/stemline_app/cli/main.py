"""`stemline`: finds the command, runs it, and turns every error into one sentence and an exit code."""

from __future__ import annotations

import argparse
import importlib
import sys

from stemline._version import __version__

COMMANDS = {
    "separate": "stems of files",
    "batch": "stems of a whole edit",
    "verify": "what a stem file says of its making, and whether it still is that",
    "serve": "run the inference server",
    "stop": "stop the private server",
    "models": "models, and what they can do here",
    "jobs": "list, cancel or retry the server's jobs",
    "cache": "show, limit or clear what is kept",
    "doctor": "what works, what does not, and what to do",
    "panel": "the panel: hear, mark, separate, compare, put back",
    "host": "the companion process of a host program",
    "install": "put a bridge into a host program",
}
"""Shown by `--help` without importing the commands themselves."""


def build_parser(argv: list[str]) -> argparse.ArgumentParser:
    """A parser that knows the options of the one command that `argv` names."""
    parser = argparse.ArgumentParser(
        prog="stemline",
        description="Pull any sound out of a file or an edit by saying what it is.",
        epilog="Exit codes: 0 done, 1 something failed, 2 wrong usage or unreadable input, 3 no server, "
        "130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"stemline {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    named = next((word for word in argv if not word.startswith("-")), "")
    if named in COMMANDS:
        importlib.import_module(f"stemline_app.cli.{named}").add_parser(commands)
    else:
        for name, summary in COMMANDS.items():
            commands.add_parser(name, help=summary)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Runs one command; the exit code is the return value."""
    argv = sys.argv[1:] if argv is None else argv
    args = build_parser(argv).parse_args(argv)

    from stemline_app.cli.running import run  # after parsing: `--help` stays fast

    return run(args)
