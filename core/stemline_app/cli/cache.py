"""`stemline cache`: show, limit and clear the files that Stemline keeps to save work."""

from __future__ import annotations

import argparse
import re
import shutil

from stemline.errors import UsageError
from stemline_app.cli.options import add_json
from stemline_app.cli.output import size_text, write_json, write_line, write_table

_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?\s*$", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SMALLEST_LIMIT_BYTES = 100_000_000


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "cache",
        help="show, limit and clear the cache",
        description="Show, limit and clear the files that Stemline keeps to save work.",
    )
    parser.add_argument("action", nargs="?", choices=("show", "limit", "clear"), default="show")
    parser.add_argument("size", nargs="?", metavar="SIZE", help="for limit: the most that stems may take, such as 20GB")
    add_json(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Do the action, and print what it did."""
    if (args.size is None) == (args.action == "limit"):
        raise UsageError(
            "Only `stemline cache limit SIZE` takes a size.", advice="For example `stemline cache limit 20GB`."
        )
    if args.action == "limit":
        return _limit(args)
    return _clear(args) if args.action == "clear" else _show(args)


def parse_size(text: str) -> int:
    """Return bytes: "20GB" gives 20000000000. Raises UsageError for a size below 100 MB and for other text."""
    match = _SIZE.match(text)
    size_bytes = int(float(match[1]) * 1000 ** _POWERS[match[2].lower()]) if match else 0
    if size_bytes < _SMALLEST_LIMIT_BYTES:
        raise UsageError(f"{text!r} is not a size of 100 MB or more.", advice="For example 20GB.")
    return size_bytes


def _show(args: argparse.Namespace) -> int:
    from stemline import paths
    from stemline.client.cache_admin import cache_parts
    from stemline.client.managed_server import store_limit_bytes

    parts, limit = cache_parts(), store_limit_bytes()
    free = shutil.disk_usage(
        next(path for path in (paths.cache_dir(), *paths.cache_dir().parents) if path.exists())
    ).free
    if args.json:
        facts = [{"name": part.name, "bytes": part.size_bytes, "in_use": part.in_use} for part in parts]
        write_json([{"folder": str(paths.cache_dir()), "parts": facts, "limit_bytes": limit, "free_bytes": free}])
        return 0
    rows = [(part.name, size_text(part.size_bytes), "in use" if part.in_use else "") for part in parts]
    write_table(("part", "size", ""), rows)
    shown = size_text(limit) if limit else "the server's own"
    write_line(f"In {paths.cache_dir()}; {size_text(free)} free on that disk; limit: {shown}.")
    return 0


def _limit(args: argparse.Namespace) -> int:
    from stemline.client import find_private
    from stemline.client.managed_server import set_store_limit_bytes

    size_bytes = parse_size(args.size)
    set_store_limit_bytes(size_bytes)
    running = find_private() is not None
    if args.json:
        write_json([{"limit_bytes": size_bytes, "applies_after_restart": running}])
    else:
        when = "after the private server restarts (`stemline stop`)" if running else "from now on"
        write_line(f"The limit is {size_text(size_bytes)} {when}.")
    return 0


def _clear(args: argparse.Namespace) -> int:
    from stemline.client.cache_admin import clear_cache

    cleared = clear_cache()
    if args.json:
        write_json([{"freed_bytes": cleared.freed_bytes, "kept": list(cleared.not_cleared)}])
        return 0
    write_line(f"{size_text(cleared.freed_bytes)} freed.")
    for reason in cleared.not_cleared:
        write_line(reason)
    return 0
