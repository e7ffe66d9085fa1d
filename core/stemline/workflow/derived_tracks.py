"""Names of the sounds that are made from finished stems, and which tracks play when there are some."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from stemline.clips import RESIDUAL
from stemline.errors import UsageError
from stemline.fill import ROOMS
from stemline.plan import plain_part
from stemline.trust.privacy import recorded_media, recorded_words
from stemline.workflow.replacing import Replace
from stemline.workflow.settings import Settings

REMIX = "remix"
KEPT = "residual.kept"
"""The residual, faded down where a fill replaces a removed stem."""


def fill_name(stem: str, take: int = 1) -> str:
    """Return the name of the track that fills the place of `stem`; takes count from 1."""
    return f"fill {stem}" if take == 1 else f"fill {stem} take {take}"


def fill_names(settings: Settings) -> tuple[str, ...]:
    """Return the names of all fills of a run, in the order of their tracks."""
    return tuple(fill_name(stem, take) for stem, fill in settings.replace.items() for take in range(1, fill.takes + 1))


def derived_names(settings: Settings) -> tuple[str, ...]:
    """Return the names of all derived sounds of a run, in the order of their tracks."""
    kept = (KEPT,) if any(fill.fades_residual for fill in settings.replace.values()) else ()
    return (*kept, *fill_names(settings), *((REMIX,) if settings.remix else ()))


def playing_names(settings: Settings, stems: Sequence[str]) -> frozenset[str]:
    """Return which tracks are enabled when there are derived ones: together they are the intended mix."""
    fills = set(map(fill_name, settings.replace))
    if settings.remix:
        return frozenset({REMIX, *fills})
    base = KEPT if KEPT in derived_names(settings) else RESIDUAL
    return frozenset({*(name for name in stems if name not in settings.replace), base, *fills})


def derived_json(settings: Settings) -> dict[str, object]:
    """Return the settings of remix and fills for the record of a run; nothing where there are none."""
    fills = {
        name: {
            "file": recorded_fill(fill, settings),
            "instead": fill.fades_residual,
            "gain_db": fill.gain_db,
            **fill_options(fill, settings),
            **({"words": recorded_words(fill.words, settings.record_words)} if fill.words else {}),
            **({"takes": fill.takes} if fill.takes > 1 else {}),
        }
        for name, fill in settings.replace.items()
    }
    remix = {"remix": gains_json(settings.remix)} if settings.remix else {}
    return {**remix, **({"replace": fills} if fills else {})}


def recorded_fill(fill: Replace, settings: Settings) -> str:
    """Return how records name the file of a fill; empty for room tone."""
    return recorded_media(str(Path(fill.path).absolute()), settings.record_paths) if fill.path else ""


def fill_options(fill: Replace, settings: Settings) -> dict[str, object]:
    """Return the further options of a fill for records; the file of a room is named as records name media."""
    options = fill.further_options()
    if fill.room and fill.room not in ROOMS:
        options["room"] = recorded_media(str(Path(fill.room).absolute()), settings.record_paths)
    return options


def remix_gains(settings: Settings) -> dict[str, float]:
    """Return the gains of a remix in dB. A stem with a fill in its place is off unless it has a gain of its own."""
    return {**dict.fromkeys(settings.replace, -math.inf), **settings.remix}


def check_names(settings: Settings, stems: Sequence[str]) -> None:
    """Check the names of all sounds of a run.

    Raises:
        UsageError: A remix or a fill names a stem that is not made, or two sounds would be written to one file.
    """
    for option, names in (("remix", settings.remix), ("replace", settings.replace)):
        for name in names:
            if name not in stems and not (option == "remix" and name == RESIDUAL):
                known = ", ".join([*stems, *([RESIDUAL] if option == "remix" else [])])
                raise UsageError(f"--{option} names {name!r}, which is not a stem.", advice=f"Choose from: {known}.")
    for name, fill in settings.replace.items():
        if fill.duck and (fill.duck not in stems or fill.duck == name):
            others = ", ".join(stem for stem in stems if stem != name) or "no other stem"
            raise UsageError(
                f"The fill of {name!r} cannot be lowered under {fill.duck!r}.", advice=f"Choose from: {others}."
            )
    taken = {_file_name(name): name for name in (RESIDUAL, *derived_names(settings))}
    for name in stems:
        other = taken.setdefault(_file_name(name), name)
        if other in (RESIDUAL, *derived_names(settings)):
            raise UsageError(f"The stem name {name!r} is reserved here.", advice="Give the stem another name.")
        if other != name:
            raise UsageError(
                f"The stems {other!r} and {name!r} have the same file name.", advice="Give one of them another name."
            )


def _file_name(name: str) -> str:
    """Return the name of a sound in file names, as file systems compare them that ignore case."""
    return plain_part(name).casefold()


def gains_json(gains_db: Mapping[str, float]) -> dict[str, float | str]:
    """Return the gains in dB by stem; "off" instead of minus infinity, which JSON cannot hold."""
    return {name: gain if gain > -math.inf else "off" for name, gain in sorted(gains_db.items())}
