"""Options that several commands share. Imports nothing heavy: `--help` is fast."""

from __future__ import annotations

import argparse

from stemline.options import CHANNELS, FORMATS, MAX_SEED, QUALITIES


def add_common(parser: argparse.ArgumentParser) -> None:
    """The options of every command that separates."""
    add_server(parser)
    parser.add_argument("--model", metavar="ID", default="", help="model to use; `stemline models` lists them")
    parser.add_argument("--seed", type=_seed, default=0, metavar="N", help="seed of models that draw noise (default 0)")
    parser.add_argument("--quality", choices=QUALITIES, default="standard")
    parser.add_argument("--format", choices=FORMATS, help="of the stems (default wav24; wav32f for deeper media)")
    parser.add_argument(
        "--channels",
        choices=CHANNELS,
        default="linked",
        help="one estimate carried to all channels, every channel by itself, or a fold-down to mono",
    )
    parser.add_argument("--chain", action="store_true", help="take each stem from what the ones before it left")
    parser.add_argument("--overwrite", action="store_true", help="replace results that are there already")
    add_json(parser)
    parser.add_argument(
        "-o", "--output", metavar="DIR", type=_folder, default=".", help="folder for the results (default: here)"
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print exactly one JSON object on stdout")


def add_server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--server",
        metavar="ADDR",
        help="HOST:PORT on this machine or https://HOST:PORT (default: STEMLINE_SERVER, else the private server)",
    )


def _folder(text: str) -> str:
    if "\0" in text:
        raise argparse.ArgumentTypeError("no folder's name holds a NUL character")
    return text


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) > MAX_SEED:
        raise argparse.ArgumentTypeError(f"a seed is a whole number from 0 to {MAX_SEED}")
    return int(text)
