"""`stemline install`: puts a bridge where its host program looks for it."""

from __future__ import annotations

import argparse

from stemline_app.cli.answers import write_json, write_line
from stemline_app.cli.options import add_json


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from stemline.hosts.registry import host_list

    parser = subparsers.add_parser("install", help="put a bridge into a host program", description=__doc__)
    parser.add_argument("target", choices=host_list().install_targets, help="the host program")
    parser.add_argument("--uninstall", action="store_true", help="take it away again")
    add_json(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from stemline.hosts.registry import load_installer

    host = load_installer(args.target)
    outcome = host.uninstall() if args.uninstall else host.install()
    if args.json:
        write_json([{"target": args.target, "done": outcome.done, "next_step": outcome.next_step}])
        return 0
    for sentence in outcome.done:
        write_line(sentence)
    if outcome.next_step:
        write_line(outcome.next_step)
    return 0
