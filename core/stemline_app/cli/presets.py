"""`stemline presets`: list, save, remove and exchange presets."""

from __future__ import annotations

import argparse

import stemline
from stemline_app.cli.options import add_json, parse_remix, parse_stem
from stemline_app.cli.output import write_json, write_line, write_table

_ACTIONS = ("list", "save", "remove", "export", "import")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "presets",
        help="list, save and exchange presets",
        description="List presets, save your own, and exchange them as a file. `--preset NAME` uses one.",
    )
    parser.add_argument("action", nargs="?", choices=_ACTIONS, default="list")
    parser.add_argument("subject", nargs="?", metavar="NAME|FILE", help="the name (save, remove) or the file (others)")
    parser.add_argument(
        "--stem", action="append", default=[], metavar="NAME=TEXT", help="for save: a stem to make; may be repeated"
    )
    parser.add_argument(
        "--remix", action="append", default=[], metavar="NAME=DB", help="for save: an amount, for example fridge=-14"
    )
    add_json(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Do the action, and print what it did."""
    if (args.subject is None) != (args.action == "list"):
        raise stemline.UsageError(
            "save and remove take a name, export and import a file, list neither.",
            advice='For example `stemline presets save "Quiet fridge" --stem fridge="fridge hum" --remix fridge=-14`.',
        )
    if (args.stem or args.remix) and args.action != "save":
        raise stemline.UsageError("Only `stemline presets save` takes --stem and --remix.")
    if args.action == "list":
        return _list(args)
    if args.action == "save":
        amounts = dict(pair for argument in args.remix for pair in parse_remix(argument))
        made = [stemline.Preset(args.subject, dict(map(parse_stem, args.stem)), amounts)]
        stemline.save_presets(made)
    elif args.action == "import":
        made = list(stemline.read_presets(args.subject))
        stemline.save_presets(made)
    elif args.action == "export":
        from stemline.presets import own_presets

        made = list(own_presets())
        stemline.write_presets(args.subject, made)
    else:
        stemline.remove_preset(args.subject)
        made = []
    if args.json:
        write_json([preset.to_json() for preset in made])
    else:
        write_line(f"{args.action}: {args.subject if args.action == 'remove' else _names(made)}")
    return 0


def _names(presets: list[stemline.Preset]) -> str:
    return ", ".join(preset.name for preset in presets) or "no preset"


def _list(args: argparse.Namespace) -> int:
    presets = stemline.list_presets()
    if args.json:
        write_json([preset.to_json() for preset in presets])
        return 0
    rows = []
    for preset in presets:
        stems = ", ".join(name if name == text else f"{name}={text}" for name, text in preset.stems.items())
        amounts = ", ".join(f"{name} {amount}" for name, amount in preset.to_json().get("amounts", {}).items())
        rows.append((preset.name, stems, amounts))
    write_table(("preset", "stems", "amounts (dB)"), rows)
    return 0
