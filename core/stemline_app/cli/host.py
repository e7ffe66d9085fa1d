"""`stemline host`: the companion of a host program, which starts it and talks to it over its standard streams."""

from __future__ import annotations

import argparse
from typing import Any


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "host",
        help="run the companion of a host program",
        description="Bridges start this command inside host programs. It speaks JSON-RPC over standard input and "
        "output (docs/host-protocol.md), and ends when its input ends.",
    )
    parser.add_argument("--server", metavar="ADDR", help="server to use (default: this user's private one)")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Serve the host until it is gone, then return 0. Claims the standard streams before any import that may print."""
    import sys

    from stemline.companion.process import claim_standard_streams
    from stemline.errors import UsageError

    if sys.stdin is None or sys.stdout is None or sys.stdin.isatty():
        raise UsageError(
            "`stemline host` is started by a host program, not by hand.",
            advice="Run `stemline install` to install the bridge of your host, or `stemline separate` for files.",
        )
    incoming, outgoing = claim_standard_streams()

    from stemline.companion.process import Companion, serve
    from stemline.companion.services import EditServices

    return serve(Companion(incoming, outgoing, EditServices(args.server, doctor_report)))


def doctor_report() -> dict[str, Any]:
    """Run the checks of `stemline doctor` for a host."""
    from stemline_app.doctor import report

    return report()
