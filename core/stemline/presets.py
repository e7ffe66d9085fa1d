"""Presets: stems and amounts under a name. Some are built in; a user's own are in `presets.json` of `home_dir()`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stemline.clips import RESIDUAL
from stemline.errors import UsageError
from stemline.files import printable, write_json
from stemline.locks import file_lock, lock_of
from stemline.paths import home_dir
from stemline.prompts import clean_name, clean_text

_KEY, _VERSION = "stemline_presets", 1
_MAX_FILE_BYTES = 1 << 20
_MAX_PRESETS = 1000
_MAX_STEMS = 32
_MAX_GAIN_DB = 24.0
_OFF = "off"


@dataclass(frozen=True, slots=True)
class Preset:
    """Stems to make under one name, and how loud each is in the remix.

    Attributes:
        name: Name of the preset.
        stems: Words of the prompt by name of the stem.
        amounts: Gain in dB of a stem, or of "residual", in the remix; minus infinity turns it off. Empty for no remix.

    Raises:
        UsageError: A name, a text or an amount cannot be used, or an amount names a stem that is not made.

    Examples:
        >>> import stemline
        >>> preset = stemline.Preset("Quiet fridge", {"fridge": "fridge hum"}, {"fridge": -14})
        >>> preset.amounts
        {'fridge': -14.0}
    """

    name: str
    stems: Mapping[str, str]
    amounts: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Clean and check the values."""
        stems = {clean_name(name): clean_text(text) for name, text in self.stems.items()}
        amounts = {_stem_or_residual(name): float(gain) for name, gain in self.amounts.items()}
        if not 1 <= len(stems) <= _MAX_STEMS:
            raise UsageError(f"A preset has 1 to {_MAX_STEMS} stems, not {len(stems)}.")
        for name, gain in amounts.items():
            if name not in stems and name != RESIDUAL:
                raise UsageError(f"The preset {self.name[:80]!r} has an amount for {name!r}, which it does not make.")
            if math.isnan(gain) or gain > _MAX_GAIN_DB:
                raise UsageError(f"An amount is at most {_MAX_GAIN_DB:g} dB, not {gain}.")
        object.__setattr__(self, "name", clean_text(self.name))
        object.__setattr__(self, "stems", stems)
        object.__setattr__(self, "amounts", amounts)

    def to_json(self) -> dict[str, Any]:
        """Return the preset as preset files hold it."""
        amounts = {name: gain if gain > -math.inf else _OFF for name, gain in self.amounts.items()}
        return {"name": self.name, "stems": dict(self.stems), **({"amounts": amounts} if amounts else {})}


BUILT_IN = (
    Preset("Dialogue", {"dialogue": "speech"}),
    Preset("Dialogue, music and effects", {"dialogue": "speech", "music": "music"}),
    Preset("Music", {"music": "music"}),
    Preset("Singing voice", {"vocals": "singing"}),
    Preset("Applause and crowd", {"applause": "applause", "crowd": "crowd"}),
    Preset("Footsteps", {"footsteps": "footsteps"}),
    Preset("Dog", {"dog": "dog barking"}),
    Preset("Rain and wind", {"rain": "rain", "wind": "wind"}),
    Preset("Traffic", {"traffic": "traffic"}),
)
"""The presets that come with Stemline. "Dialogue, music and effects" leaves the effects in the residual."""


def list_presets() -> tuple[Preset, ...]:
    """Return the user's own presets and then the built-in ones. An own preset replaces a built-in one of its name.

    Raises:
        UsageError: The file of own presets is damaged.

    Examples:
        >>> import stemline
        >>> "Dialogue" in [preset.name for preset in stemline.list_presets()]
        True
    """
    return _merged(own_presets(), BUILT_IN)


def find_preset(name: str) -> Preset:
    """Return the preset of a name; capitals do not matter.

    Raises:
        UsageError: There is no such preset.

    Examples:
        >>> import stemline
        >>> stemline.find_preset("dialogue").stems
        {'dialogue': 'speech'}
    """
    presets = list_presets()
    for preset in presets:
        if preset.name.casefold() == name.strip().casefold():
            return preset
    known = ", ".join(preset.name for preset in presets)
    raise UsageError(f"There is no preset {name[:80]!r}.", advice=f"`stemline presets` lists them: {known}.")


def own_presets() -> tuple[Preset, ...]:
    """Return the user's own presets. Raises UsageError where their file is damaged."""
    path = _own_path()
    return read_presets(path) if path.exists() else ()


def save_presets(presets: Iterable[Preset]) -> None:
    """Add presets to the user's own, replacing those of the same names.

    Raises:
        UsageError: The file of own presets is damaged, or holds too many.
        OutputError: It cannot be written.

    Examples:
        >>> import stemline
        >>> stemline.save_presets([stemline.Preset("Quiet fridge", {"fridge": "fridge hum"}, {"fridge": -14})])
        >>> stemline.find_preset("quiet fridge").amounts
        {'fridge': -14.0}
    """
    _change_own(lambda own: _merged(presets, own))


def remove_preset(name: str) -> None:
    """Remove one of the user's own presets.

    Raises:
        UsageError: There is no such own preset, or the file is damaged.
        OutputError: The file cannot be written.

    Examples:
        >>> import stemline
        >>> stemline.save_presets([stemline.Preset("Rain", {"rain": "rain"})])
        >>> stemline.remove_preset("rain")
    """
    folded = name.strip().casefold()
    if all(preset.name.casefold() != folded for preset in own_presets()):
        built_in = any(preset.name.casefold() == folded for preset in BUILT_IN)
        raise UsageError(
            f"You have no preset {name[:80]!r} of your own.",
            advice="Built-in presets stay." if built_in else "`stemline presets` lists them.",
        )
    _change_own(lambda own: [preset for preset in own if preset.name.casefold() != folded])


def read_presets(path: Path | str) -> tuple[Preset, ...]:
    """Read a file of presets, which is untrusted.

    Raises:
        UsageError: The file cannot be read, is not a file of presets, or holds a preset that cannot be used.

    Examples:
        >>> import stemline
        >>> stemline.write_presets("show.json", [stemline.Preset("Rain", {"rain": "rain"})])
        >>> stemline.read_presets("show.json")
        (Preset(name='Rain', stems={'rain': 'rain'}, amounts={}),)
    """
    place = Path(path)
    try:
        with place.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
        document = json.loads(content) if len(content) <= _MAX_FILE_BYTES else None
        items = document[_KEY] if isinstance(document, dict) and document.get("version") == _VERSION else None
    except OSError as error:
        raise UsageError(f"{printable(place)} cannot be read: {error.strerror}.", advice="Check the path.") from error
    except (ValueError, RecursionError, KeyError):
        items = None
    if not isinstance(items, list) or len(items) > _MAX_PRESETS:
        raise UsageError(
            f"{printable(place)} is not a file of presets.", advice="`stemline presets export FILE` writes one."
        )
    return tuple(_preset_of(item, place) for item in items)


def write_presets(path: Path | str, presets: Sequence[Preset]) -> None:
    """Write presets to a file that `read_presets` reads.

    Raises:
        OutputError: The file cannot be written.

    Examples:
        >>> import stemline
        >>> stemline.write_presets("show.json", stemline.list_presets())
    """
    write_json(Path(path), {_KEY: [preset.to_json() for preset in presets], "version": _VERSION}, durable=True)


def _preset_of(item: object, path: Path) -> Preset:
    if isinstance(item, dict):
        name, stems, amounts = item.get("name"), item.get("stems"), item.get("amounts", {})
        if isinstance(name, str) and isinstance(stems, dict) and _is_texts(stems) and _is_amounts(amounts):
            gains = {stem: -math.inf if gain == _OFF else gain for stem, gain in amounts.items()}
            return Preset(name, stems, gains)
    raise UsageError(f"{printable(path)} holds a preset without a name, stems or amounts that can be used.")


def _is_texts(value: Mapping[str, object]) -> bool:
    return all(isinstance(text, str) for text in value.values())


def _is_amounts(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    return all(gain == _OFF or type(gain) in (int, float) for gain in value.values())


def _stem_or_residual(name: str) -> str:
    return RESIDUAL if name == RESIDUAL else clean_name(name)


def _merged(first: Iterable[Preset], then: Iterable[Preset]) -> tuple[Preset, ...]:
    merged = {preset.name.casefold(): preset for preset in first}
    for preset in then:
        merged.setdefault(preset.name.casefold(), preset)
    return tuple(merged.values())


def _own_path() -> Path:
    return home_dir() / "presets.json"


def _change_own(change: Callable[[tuple[Preset, ...]], Sequence[Preset]]) -> None:
    path = _own_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    with file_lock(lock_of(path)):
        write_presets(path, change(own_presets()))
