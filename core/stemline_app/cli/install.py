"""`stemline install`: install the bridge of a host program or the entry of the panel, or remove it."""

from __future__ import annotations

import argparse

from stemline_app.cli.options import add_json
from stemline_app.cli.output import write_json, write_line

PANEL = "panel"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    from stemline.hosts.registry import host_list

    parser = subparsers.add_parser(
        "install",
        help="install the bridge of a host program, or the panel",
        description="Install the bridge of a host program, or remove it. `panel` adds the panel to the programs of a "
        "Linux desktop.",
    )
    targets = dict.fromkeys((*host_list().install_targets, PANEL))
    parser.add_argument("target", choices=tuple(targets), help="the host program, or panel")
    parser.add_argument("--uninstall", action="store_true", help="remove it")
    add_json(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Install or uninstall, and print what was done."""
    from stemline.hosts.registry import load_installer
    from stemline_app.install import panel

    host = panel if args.target == PANEL else load_installer(args.target)
    outcome = host.uninstall() if args.uninstall else host.install()
    if args.json:
        write_json([{"target": args.target, "done": outcome.done, "next_step": outcome.next_step}])
        return 0
    for sentence in outcome.done:
        write_line(sentence)
    if outcome.next_step:
        write_line(outcome.next_step)
    return 0
