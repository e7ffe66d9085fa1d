"""`stemline panel`: open the panel on a file, an edit, or the host program that starts it."""

from __future__ import annotations

import argparse

from stemline_app.cli.host import doctor_report


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "panel",
        help="open the panel",
        description="Open the panel on a media file, on an edit, or on the clips of the host program that starts it.",
    )
    parser.add_argument(
        "input", nargs="?", metavar="FILE|EDIT", help="a media file, or an edit that `stemline batch` reads"
    )
    parser.add_argument(
        "--host",
        action="store_true",
        help="for host programs: speak the host protocol over stdin and stdout",
    )
    parser.add_argument("--server", metavar="ADDR", help="server to use (default: this user's private one)")
    parser.add_argument("-o", "--output", metavar="DIR", help="folder for the stems (default: beside the media)")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Open the panel. With `--host`, claims the standard streams before any import that may print."""
    import importlib
    import sys

    from stemline.companion.process import claim_standard_streams
    from stemline.errors import UsageError
    from stemline.extras import install_command

    streams = None
    if args.host:
        if args.input:
            raise UsageError("--host shows the clips of the host program and takes no file.")
        if sys.stdin is None or sys.stdout is None or sys.stdin.isatty():
            raise UsageError(
                "`stemline panel --host` is started by a host program, not by hand.",
                advice="Run `stemline panel` without --host, or `stemline install` to install the bridge of your host.",
            )
        streams = claim_standard_streams()
    try:
        importlib.import_module("stemline_panel.system_check").check_system()
        app = importlib.import_module("stemline_panel.app")
    except ImportError as error:
        raise UsageError(
            f"The packages of the panel cannot be loaded ({error}).", advice=f"Run: {install_command('panel')}"
        ) from error
    return int(app.main(app.Launch(args.input, args.server, args.output, streams, doctor_report)))
