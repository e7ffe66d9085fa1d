"""`stemline serve`: run the separation server in the foreground."""

from __future__ import annotations

import argparse

from stemline.errors import NoServerError


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "serve",
        help="run the separation server",
        description="Run the separation server in the foreground, for this machine or, with TLS, for others.",
    )
    try:
        from stemline_server.config import add_arguments  # imports no more than argparse
    except ModuleNotFoundError:
        parser.add_argument("options", nargs="*")
    else:
        add_arguments(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Run until the server is stopped. Raises NoServerError when it is not installed or cannot listen."""
    from stemline.extras import install_command

    try:
        from stemline_server.app import serve
        from stemline_server.config import from_arguments
    except ModuleNotFoundError as error:
        raise NoServerError(
            f"The separation server is not installed here ({error.name} is missing).",
            advice=f"Run: {install_command('server')}",
        ) from error
    reads_files = args.config is not None or args.policy is not None
    return serve(from_arguments(args), (lambda: from_arguments(args)) if reads_files else None)
