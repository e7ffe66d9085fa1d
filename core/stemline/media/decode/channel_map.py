"""Map the channels of one layout to those of another without mixing them."""

from __future__ import annotations

from collections.abc import Sequence

from av.audio.layout import AudioLayout

_FRONT = ("FL", "FR")
_SAME = {"SL": "BL", "SR": "BR", "BL": "SL", "BR": "SR"}  # 5.1 and 5.1(side) name one pair of speakers differently


def channel_names(layout: AudioLayout) -> tuple[str, ...]:
    """Return the names of a layout's channels, numbered where the layout does not name each."""
    names = tuple(channel.name for channel in layout.channels)
    count = layout.nb_channels
    return names if len(set(names)) == count else tuple(f"{number}" for number in range(count))


def channel_sources(given: Sequence[str], wanted: Sequence[str]) -> tuple[int | None, ...] | None:
    """Return, for each channel of `wanted`, the channel of `given` that it plays; None for silence.

    A single channel that `wanted` does not name plays on both front channels. The result is None where a channel of
    `given` has no place in `wanted`.
    """
    places = {name: number for number, name in enumerate(given)}
    if len(given) == len(wanted):
        return tuple(range(len(given)))
    if len(given) == 1 and given[0] not in wanted and all(name in wanted for name in _FRONT):
        return tuple(0 if name in _FRONT else None for name in wanted)
    found = [name if name in places else _SAME.get(name, "") for name in wanted]
    sources = tuple(places.get(name) for name in found)
    used = {source for source in sources if source is not None}
    return sources if len(used) == len(given) else None


def widest(layouts: Sequence[tuple[str, ...]]) -> tuple[str, ...] | None:
    """Return the layout that has a place for the channels of all layouts; None where none has."""
    for layout in sorted(layouts, key=len, reverse=True):
        if all(channel_sources(other, layout) is not None for other in layouts):
            return layout
    return None
