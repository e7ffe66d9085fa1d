"""Names of the sounds that are made from finished stems, and which tracks play when there are some."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from stemline.clips import RESIDUAL
from stemline.errors import UsageError
from stemline.workflow.settings import Settings

REMIX = "remix"
KEPT = "residual.kept"
"""The residual, faded down where a fill replaces a removed stem."""


def fill_name(stem: str) -> str:
    """Return the name of the track that fills the place of `stem`."""
    return f"fill {stem}"


def derived_names(settings: Settings) -> tuple[str, ...]:
    """Return the names of all derived sounds of a run, in the order of their tracks."""
    kept = (KEPT,) if any(fill.fades_residual for fill in settings.replace.values()) else ()
    return (*kept, *map(fill_name, settings.replace), *((REMIX,) if settings.remix else ()))


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
        name: {"file": Path(fill.path).name, "instead": fill.fades_residual, "gain_db": fill.gain_db}
        for name, fill in settings.replace.items()
    }
    remix = {"remix": gains_json(settings.remix)} if settings.remix else {}
    return {**remix, **({"replace": fills} if fills else {})}


def check_names(settings: Settings, stems: Sequence[str]) -> None:
    """Raise UsageError where a remix or a fill names a stem that is not made, or a stem has the name of one of them."""
    for option, names in (("remix", settings.remix), ("replace", settings.replace)):
        for name in names:
            if name not in stems and not (option == "remix" and name == RESIDUAL):
                known = ", ".join([*stems, *([RESIDUAL] if option == "remix" else [])])
                raise UsageError(f"--{option} names {name!r}, which is not a stem.", advice=f"Choose from: {known}.")
    for name in derived_names(settings):
        if name in stems:
            raise UsageError(f"The stem name {name!r} is reserved here.", advice="Give the stem another name.")


def gains_json(gains_db: Mapping[str, float]) -> dict[str, float | str]:
    """Return the gains in dB by stem; "off" instead of minus infinity, which JSON cannot hold."""
    return {name: gain if gain > -math.inf else "off" for name, gain in sorted(gains_db.items())}
