"""Entry point of `python -m stemline_server`, which `stemline serve` runs."""

from __future__ import annotations

import argparse
import sys

from stemline.errors import StemlineError
from stemline_server.config import add_arguments, from_arguments


def main() -> int:
    """Run the server that the command line describes, and return the exit code."""
    parser = argparse.ArgumentParser(prog="stemline serve", description="The gRPC server that separates sound.")
    add_arguments(parser)
    try:
        args = parser.parse_args()
        config = from_arguments(args)
        from stemline_server.app import serve  # noqa: PLC0415 - only now is it worth the time

        reads_files = args.config is not None or args.policy is not None
        return serve(config, (lambda: from_arguments(args)) if reads_files else None)
    except StemlineError as error:
        sys.stderr.write(f"stemline: {error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
