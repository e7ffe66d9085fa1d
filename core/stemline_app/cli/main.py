"""The `stemline` command: find the subcommand, parse its options, run it."""

from __future__ import annotations

import argparse
import importlib
import sys

from stemline._version import __version__

COMMANDS = {
    "separate": "separate media files",
    "batch": "separate a whole edit",
    "take-back": "take stems out of an edit again",
    "suggest": "list the sounds of a media file or an edit",
    "watch": "separate files as they appear in a folder",
    "presets": "list, save and exchange presets",
    "verify": "check stem files against their records",
    "detect": "look for records, signatures and marks in sound files",
    "sign": "sign a finished mix or film with Content Credentials",
    "keys": "make, show and exchange the keys that sign records",
    "audit": "check the audit log of a server",
    "serve": "run the separation server",
    "seats": "create, list and revoke the seats of a server",
    "stop": "stop the private server",
    "models": "list models and whether they can run",
    "jobs": "list, cancel and retry the server's jobs",
    "cache": "show, limit and clear the cache",
    "doctor": "check this installation and list what to do",
    "panel": "open the panel: hear, mark, separate, compare, apply",
    "host": "run the companion of a host program",
    "install": "install the bridge of a host program",
}
"""Shown by `--help` without importing the commands themselves."""


def build_parser(argv: list[str]) -> argparse.ArgumentParser:
    """Return a parser with the options of the one command that `argv` names."""
    parser = argparse.ArgumentParser(
        prog="stemline",
        description="Separate any sound from a file or an edit by naming it.",
        epilog="Exit codes: 0 done, 1 something failed, 2 wrong usage or unreadable input, 3 no server, "
        "130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"stemline {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    named = next((word for word in argv if not word.startswith("-")), "")
    if named in COMMANDS:
        importlib.import_module(f"stemline_app.cli.{named.replace('-', '_')}").add_parser(commands)
    else:
        for name, summary in COMMANDS.items():
            commands.add_parser(name, help=summary)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        args = build_parser(argv).parse_args(argv)

        from stemline_app.cli.running import run  # after parsing: `--help` stays fast
    except KeyboardInterrupt:  # while the command is imported
        sys.stderr.write("stemline: Stopped.\n")
        return 130
    return run(args)
