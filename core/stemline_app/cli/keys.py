"""`stemline keys`: the key that signs records, and the keys of others that this installation trusts."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from stemline.errors import UsageError
from stemline_app.cli.options import add_json
from stemline_app.cli.output import write_json, write_line, write_table

if TYPE_CHECKING:
    from stemline.trust.certificates import Certificate

_WITH_FILE = ("export", "trust")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "keys",
        help="make, show and exchange the keys that sign records",
        description="Make the key that signs records, show and export its certificate, and trust those of others.",
    )
    parser.add_argument("action", nargs="?", choices=("init", "show", "export", "trust", "list"), default="show")
    parser.add_argument("file", nargs="?", metavar="FILE", help="for export and trust: the file with the certificate")
    parser.add_argument("--name", help="for init: the name that others see in signatures")
    add_json(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Do the action, and print what it did."""
    from stemline.trust import keys

    if (args.file is None) == (args.action in _WITH_FILE):
        raise UsageError(
            "`stemline keys export` and `stemline keys trust` take a file, the other actions none.",
            advice="For example `stemline keys export studio.pem`.",
        )
    if args.name is not None and args.action != "init":
        raise UsageError("Only `stemline keys init` takes --name.")
    if args.action == "list":
        return _list(args)
    if args.action == "init":
        root, done = keys.make_key(args.name or keys.DEFAULT_NAME).root, "Records are signed from now on"
    elif args.action == "export":
        root, done = keys.export(Path(args.file)), f"The certificate is in {args.file}"
    elif args.action == "trust":
        root, done = keys.trust(Path(args.file)), "This key is trusted from now on"
    else:
        root, done = keys.own_key().root, f"The key of this installation is in {keys.keys_dir()}"
    if args.json:
        write_json([_facts(root)])
        return 0
    write_line(f"{done}.")
    write_line(f"  name         {root.name}")
    write_line(f"  fingerprint  {root.fingerprint}")
    write_line(f"  valid        {root.valid_from:%Y-%m-%d} to {root.valid_until:%Y-%m-%d}")
    return 0


def _list(args: argparse.Namespace) -> int:
    from stemline.trust import keys

    own = keys.own_root()
    roots = [*([own] if own else []), *keys.trusted_roots()]
    if args.json:
        write_json([_facts(root) | {"own": root is own} for root in roots])
        return 0
    if not roots:
        write_line("No keys. `stemline keys init` makes one; `stemline keys trust FILE` adds that of another.")
        return 0
    rows = [(root.name, "own" if root is own else "trusted", root.fingerprint, _date(root)) for root in roots]
    write_table(("name", "", "fingerprint", "valid until"), rows)
    return 0


def _facts(root: Certificate) -> dict[str, object]:
    return {
        "name": root.name,
        "fingerprint": root.fingerprint,
        "valid_from": root.valid_from.isoformat(),
        "valid_until": root.valid_until.isoformat(),
    }


def _date(root: Certificate) -> str:
    return f"{root.valid_until:%Y-%m-%d}"
