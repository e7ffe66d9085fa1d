"""Options that several commands share, and the syntax of their values. Imports nothing heavy: `--help` is fast."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import stemline
from stemline.options import (
    C2PA,
    CHANNELS,
    FORMATS,
    MARK,
    MAX_SEED,
    QUALITIES,
    RECORD_PATHS,
    RECORD_WORDS,
    SIGN,
)
from stemline_app.cli.fill_options import add_fills, fills_of, stem_name


def add_common(parser: argparse.ArgumentParser, *, output: str = "here") -> None:
    """Add the options of every command that separates. `output` names the default folder for the help."""
    add_server(parser)
    parser.add_argument(
        "--preset",
        metavar="NAME",
        help="make the stems of a preset, with its amounts; `stemline presets` lists them",
    )
    parser.add_argument(
        "--model", metavar="ID", default="", help="model to use; `stemline models` lists them (default: the server's)"
    )
    parser.add_argument("--seed", type=_seed, default=0, metavar="N", help="seed of models that draw noise (default 0)")
    parser.add_argument(
        "--quality", choices=QUALITIES, default="standard", help="speed against quality (default: standard)"
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="format of the stems (default: wav24, or wav32f for media with more than 24 bits)",
    )
    parser.add_argument(
        "--channels",
        choices=CHANNELS,
        default="linked",
        help="one estimate for all channels (default), every channel by itself, or a fold-down to mono",
    )
    parser.add_argument(
        "--chain", action="store_true", help="separate each stem from the residual of the stems before it"
    )
    _add_derived(parser)
    _add_record(parser)
    _add_credentials(parser)
    parser.add_argument(
        "--accept-peaks", action="store_true", help="separate media with peaks of more than 60 dB over full scale"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing results")
    add_json(parser)
    parser.add_argument(
        "-o", "--output", metavar="DIR", type=_folder, default=".", help=f"folder for the results (default: {output})"
    )


def _add_derived(parser: argparse.ArgumentParser) -> None:
    """Add the options of tracks that are made from stems."""
    parser.add_argument(
        "--remix",
        action="append",
        default=[],
        metavar="NAME=DB[,NAME=DB]",
        help="add a track, remix, with these stems louder or softer, such as dialogue=-12; off removes a stem",
    )
    add_fills(parser)


def add_pictures(parser: argparse.ArgumentParser, mask_help: str) -> None:
    """Add the options of prompts that show the source of a sound in the picture."""
    parser.add_argument("--mask", action="append", default=[], metavar="NAME=PATH", help=mask_help)
    parser.add_argument(
        "--pictures-per-second",
        type=int,
        default=0,
        metavar="N",
        help="pictures per second for --box and --mask (default: the server's, 25 on a GPU and 4 on a CPU)",
    )
    add_tracker(parser)


def add_tracker(parser: argparse.ArgumentParser) -> None:
    """Add `--tracker`."""
    parser.add_argument(
        "--tracker",
        default="",
        metavar="ID",
        help="tracker that follows the object in a box; `stemline models --trackers` lists them (default: corners)",
    )


def _add_record(parser: argparse.ArgumentParser) -> None:
    """Add the options of what records say about the user."""
    parser.add_argument(
        "--record-paths",
        choices=RECORD_PATHS,
        default="name",
        help="how records and reports name your media: by name (default), by full path, or not at all",
    )
    parser.add_argument(
        "--record-words",
        choices=RECORD_WORDS,
        default="full",
        help="how records and reports name your prompts: in full (default), as a keyed hash, or not at all",
    )
    parser.add_argument(
        "--sign",
        choices=SIGN,
        default="auto",
        help="sign records: if `stemline keys init` made a key (default), never, or always, and fail without a key",
    )


def _add_credentials(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--c2pa",
        choices=C2PA,
        default="auto",
        help="add Content Credentials: if the key and c2pa-python are there (default), never, or always",
    )
    parser.add_argument(
        "--reason",
        default="",
        metavar="TEXT",
        help="why you need the stems, if the policy of the server asks; it is recorded",
    )
    parser.add_argument(
        "--mark", choices=MARK, default="auto", help="mark sounds made from words, so that `stemline detect` finds them"
    )


def add_json(parser: argparse._ActionsContainer) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="print exactly one JSON object on stdout")


def add_server(parser: argparse.ArgumentParser) -> None:
    """Add `--server`."""
    parser.add_argument(
        "--server",
        metavar="ADDR",
        help="HOST:PORT on this machine or https://HOST:PORT (default: STEMLINE_SERVER, else the private server)",
    )


def add_hidden(parser: argparse._ActionsContainer, flag: str, **options: Any) -> None:
    """Add an option under its earlier name: it works and is not listed."""
    parser.add_argument(flag, default=argparse.SUPPRESS, help=argparse.SUPPRESS, **options)


def settings_of(args: argparse.Namespace) -> stemline.Settings:
    """Return the settings that `add_common` reads. Raises UsageError."""
    return stemline.Settings(
        server=args.server,
        model=args.model,
        seed=args.seed,
        quality=args.quality,
        channels=args.channels,
        sample_format=args.format,
        chain=args.chain,
        overwrite=args.overwrite,
        record_paths=args.record_paths,
        record_words=args.record_words,
        sign=args.sign,
        c2pa=args.c2pa,
        mark=args.mark,
        reason=args.reason,
        remix=_remix(args),
        replace=fills_of(args),
        accept_peaks=args.accept_peaks,
        pictures_per_second=getattr(args, "pictures_per_second", 0),
        tracker=getattr(args, "tracker", ""),
    )


def preset_stems(args: argparse.Namespace) -> list[tuple[str, str]]:
    """Return names and texts of the stems of `--preset`, nothing without it. Raises UsageError."""
    return list(stemline.find_preset(args.preset).stems.items()) if args.preset else []


def _remix(args: argparse.Namespace) -> dict[str, float]:
    amounts = dict(stemline.find_preset(args.preset).amounts) if args.preset else {}
    return amounts | dict(pair for argument in args.remix for pair in parse_remix(argument))


def parse_remix(argument: str) -> list[tuple[str, float]]:
    """Return names and gains in dB of NAME=DB[,NAME=DB]; "off" is minus infinity. Raises UsageError."""
    pairs = []
    for part in argument.split(","):
        name, _, amount = part.rpartition("=")
        try:
            gain_db = -math.inf if amount.strip().lower() == "off" else float(amount)
        except ValueError:
            gain_db = math.nan
        if not name.strip() or math.isnan(gain_db) or (math.isinf(gain_db) and amount.strip().lower() != "off"):
            raise stemline.UsageError(
                f"--remix takes NAME=DB, not {part[:80]!r}.", advice="For example --remix dialogue=-12,music=off."
            )
        pairs.append((stem_name(name), gain_db))
    return pairs


def parse_stem(argument: str) -> tuple[str, str]:
    """Return name and text of NAME=TEXT; the text may be empty where spans mark the sound. Raises UsageError."""
    name, equals, text = argument.partition("=")
    if not equals:
        raise stemline.UsageError(
            f"--stem takes NAME=TEXT, not {argument[:80]!r}.", advice="For example --stem dialogue=speech."
        )
    stem = stemline.Stem(name, text)
    return stem.name, stem.prompt.text


def parse_span(argument: str, *, sounds: bool) -> tuple[str, stemline.Span]:
    """Return stem name (empty: the only stem) and span of [NAME=]START..END. Raises UsageError."""
    name, _, times = argument.rpartition("=")
    start, dots, end = times.partition("..")
    if not dots:
        raise stemline.UsageError(
            f"{argument[:80]!r} is not a span.", advice="Write [NAME=]START..END, for example 3.5..4.2."
        )
    return stemline.Stem(name, "").name if name else "", stemline.Span(start, end, sounds)


def parse_box(argument: str) -> tuple[str, stemline.Box]:
    """Return stem name (empty: the only stem) and box of [NAME=]X,Y,W,H@TIME, pixels or per cent. Raises UsageError."""
    place, at, time = argument.rpartition("@")
    name, _, numbers = place.rpartition("=")
    parts = [part.strip() for part in numbers.split(",")]
    percent = all(part.endswith("%") for part in parts)
    if percent:
        parts = [part.removesuffix("%") for part in parts]
    try:
        x, y, width, height = (float(part) for part in parts)
        seconds = float(time)
    except ValueError:
        at = ""
    if not at:
        raise stemline.UsageError(
            f"--box takes NAME=X,Y,WIDTH,HEIGHT@SECONDS, not {argument[:80]!r}.",
            advice="For example --box dog=420,180,200,240@3.5, or in per cent --box dog=22%,16%,10%,22%@3.5.",
        )
    box = stemline.Box(x, y, width, height, time=seconds, percent=percent)
    return stemline.Stem(name, "").name if name else "", box


def parse_mask(argument: str) -> tuple[str, stemline.Mask]:
    """Return stem name and mask of NAME=PATH. Raises UsageError."""
    name, equals, path = argument.partition("=")
    if not equals or not path.strip():
        raise stemline.UsageError(
            f"--mask takes NAME=PATH, not {argument[:80]!r}.", advice="For example --mask dog=mattes/dog.mov."
        )
    if path != "alpha" and not Path(path).exists():
        raise stemline.UsageError(f"There is no mask {path[:200]!r}.", advice="Check the path.")
    return stemline.Stem(name, "").name, stemline.Mask(path if path == "alpha" else str(Path(path).absolute()))


def add_voice(parser: argparse.ArgumentParser) -> None:
    """Add `--voice`."""
    parser.add_argument(
        "--voice",
        action="append",
        default=[],
        metavar="NAME=START..END",
        help="make a stem of one voice's turns, from a place where it speaks alone; mark each voice (extra `voices`)",
    )


def parse_voices(arguments: list[str]) -> dict[str, list[stemline.Span]]:
    """Return the marks of each voice of `--voice`. Raises UsageError."""
    voices: dict[str, list[stemline.Span]] = {}
    for argument in arguments:
        name, span = parse_span(argument, sounds=True)
        if not name:
            raise stemline.UsageError(
                f"--voice takes NAME=START..END, not {argument[:80]!r}.", advice="Name the voice."
            )
        voices.setdefault(name, []).append(span)
    return voices


def _folder(text: str) -> str:
    if "\0" in text:
        raise argparse.ArgumentTypeError("no folder's name holds a NUL character")
    return text


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) > MAX_SEED:
        raise argparse.ArgumentTypeError(f"a seed is a whole number from 0 to {MAX_SEED}")
    return int(text)
