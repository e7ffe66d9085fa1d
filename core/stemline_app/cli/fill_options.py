"""`--replace` and its options: what takes the place of a removed stem, for every such stem or for one by name."""

from __future__ import annotations

import argparse
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import stemline
from stemline.options import FILL_PLACES, check_choice


@dataclass(frozen=True, slots=True)
class _Option:
    """An option of `--replace`.

    Attributes:
        flag: Its name on the command line.
        metavar: The form of its value, without the name of a stem.
        help: What it does.
        read: Returns fields of `Replace` from the value. Raises ValueError or UsageError.
        kinds: The kinds of fills that the value without a name concerns; the others go without.
        names_a_stem: Whether the value itself may be NAME=NUMBER. Without a name, it does not concern the stem NAME.
    """

    flag: str
    metavar: str
    help: str
    read: Callable[[str], Mapping[str, Any]]
    kinds: tuple[str, ...] = ("room", "file", "words")
    names_a_stem: bool = False

    @property
    def dest(self) -> str:
        """Name of the parsed argument."""
        return self.flag.removeprefix("--").replace("-", "_")


def add_fills(parser: argparse.ArgumentParser) -> None:
    """Add `--replace` and its options."""
    group = parser.add_argument_group(
        "in the place of a stem",
        "The options after --replace hold for every stem that it names. With NAME= before the value they hold for that "
        "stem alone, and may be repeated: --replace-gain -3 --replace-gain knock=2.",
    )
    group.add_argument(
        "--replace",
        action="append",
        default=[],
        metavar="NAME=room|file:PATH|words:TEXT",
        help="add a track in the place of this stem: room tone, a file, or a sound made from words; may be repeated",
    )
    for option in _OPTIONS:
        metavar = f"[NAME=]{option.metavar}"
        group.add_argument(option.flag, action="append", default=[], metavar=metavar, help=option.help)


def fills_of(args: argparse.Namespace) -> dict[str, stemline.Replace]:
    """Return what `--replace` and its options ask for, by stem name. Raises UsageError."""
    asked = {name: (kind, value) for name, kind, value in map(_parse_replace, args.replace)}
    if not asked:
        given = next((option.flag for option in _OPTIONS if getattr(args, option.dest)), "")
        if given:
            raise stemline.UsageError(f"{given} belongs to --replace.", advice="For example --replace dialogue=room.")
    fields: dict[str, dict[str, Any]] = {
        name: {"path": value if kind == "file" else "", "words": value if kind == "words" else ""}
        for name, (kind, value) in asked.items()
    }
    for option in _OPTIONS:
        values = [_split(option, argument, asked) for argument in getattr(args, option.dest)]
        for name, value in sorted(values, key=lambda pair: pair[0] != ""):  # those for one stem come last
            read = _read(option, value)
            chosen = [name] if name else [stem for stem, (kind, _) in asked.items() if kind in option.kinds]
            for stem in chosen:
                if name or not option.names_a_stem or read["duck"] != stem:
                    fields[stem].update(read)
    return {name: stemline.Replace(**values) for name, values in fields.items()}


def stem_name(name: str) -> str:
    """Return a name in the form of stem names: composed, with single spaces."""
    return " ".join(unicodedata.normalize("NFC", name).split())


def _parse_replace(argument: str) -> tuple[str, str, str]:
    """Return stem name, kind, and path or words of NAME=room, NAME=file:PATH or NAME=words:TEXT. Raises UsageError."""
    name, _, method = argument.partition("=")
    kind, _, value = method.strip().partition(":")
    kind = kind.lower()
    if not name.strip() or (kind, bool(value.strip())) not in (("room", False), ("file", True), ("words", True)):
        raise stemline.UsageError(
            f"--replace takes NAME=room, NAME=file:PATH or NAME=words:TEXT, not {argument[:80]!r}.",
            advice="For example --replace dialogue=room.",
        )
    return stem_name(name), kind, value


def _split(option: _Option, argument: str, asked: Mapping[str, object]) -> tuple[str, str]:
    """Return the stem that a value is for, empty for all, and the value.

    Text before the first equals sign is a stem only if `--replace` names it; `--replace-duck music=-6` lowers all
    fills under `music`.
    """
    name, equals, value = argument.partition("=")
    known = stem_name(name)
    if not equals or known not in asked or (option.names_a_stem and _is_number(value)):
        return "", argument
    return known, value


def _read(option: _Option, value: str) -> Mapping[str, Any]:
    try:
        return option.read(value)
    except ValueError as error:
        raise stemline.UsageError(
            f"{option.flag} takes {option.metavar}, or NAME={option.metavar} for a stem that --replace names, "
            f"not {value[:80]!r}."
        ) from error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _place(value: str) -> Mapping[str, Any]:
    check_choice("--replace-at", value, FILL_PLACES)
    return {"at": value}


def _mode(value: str) -> Mapping[str, Any]:
    check_choice("--replace-mode", value, ("instead", "under"))
    return {"instead": value == "instead"}


def _duck(value: str) -> Mapping[str, Any]:
    name, _, gain_db = value.partition("=")
    return {"duck": stem_name(name), **({"duck_db": float(gain_db)} if gain_db else {})}


def _range(value: str) -> Mapping[str, Any]:
    from stemline.workflow.replacing import parse_room_range

    return {"room_from": parse_room_range(value)}


_OPTIONS = (
    _Option("--replace-gain", "DB", "gain of the fill (default 0)", lambda value: {"gain_db": float(value)}),
    _Option(
        "--replace-mode",
        "instead|under",
        "fade the residual down where the stem is heard (default for room), or keep it (default otherwise)",
        _mode,
    ),
    _Option(
        "--room-from",
        "START..END",
        "learn the room tone where you hear the room alone, in seconds of the file or of the edit's timeline "
        "(default: in the pauses of the stem)",
        _range,
        ("room",),
    ),
    _Option(
        "--replace-at",
        "|".join(FILL_PLACES),
        "play a file or a sound from words once on each event, where the stem is heard, or throughout "
        "(default: files below 3 seconds on each event, others where the stem is heard)",
        _place,
    ),
    _Option(
        "--replace-nudge",
        "MS",
        "milliseconds by which to move it later; negative: earlier",
        lambda value: {"nudge_s": float(value) / 1000},
    ),
    _Option(
        "--replace-eq",
        "PERCENT",
        "match this share of the stem's spectrum",
        lambda value: {"match_eq": float(value) / 100},
    ),
    _Option(
        "--replace-room",
        "small|medium|large|FILE",
        "reverberation: a size, or the impulse response in a file",
        lambda value: {"room": value},
    ),
    _Option(
        "--replace-duck",
        "STEM[=DB]",
        "lower it under another stem (default by 6 dB)",
        _duck,
        names_a_stem=True,
    ),
    _Option(
        "--replace-vary",
        "PERCENT",
        "make the sound from words a variation of the stem",
        lambda value: {"vary": float(value) / 100},
        ("words",),
    ),
    _Option(
        "--generator",
        "ID",
        "generator for words; `stemline models` lists them",
        lambda value: {"generator": value},
        ("words",),
    ),
    _Option(
        "--takes",
        "N",
        "number of sounds to make from words, each on a track (default 1)",
        lambda value: {"takes": int(value)},
        ("words",),
    ),
)
