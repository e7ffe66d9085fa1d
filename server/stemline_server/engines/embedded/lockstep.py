"""Several streams over the same sound, brought to blocks of equal length."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import TypeVar

from stemline_server.engines.base import Waveform

Key = TypeVar("Key", bound=Hashable)


def in_step(streams: Mapping[Key, Iterator[Waveform]], length_samples: int) -> Iterator[dict[Key, Waveform]]:
    """For each stream of blocks [rows, n] the same next samples, until `length_samples` are through."""
    waiting: dict[Key, Waveform] = {}
    done = 0
    while done < length_samples:
        for key, stream in streams.items():
            if key not in waiting or not waiting[key].shape[-1]:
                waiting[key] = next(stream)
        samples = min((block.shape[-1] for block in waiting.values()), default=length_samples - done)
        yield {key: block[..., :samples] for key, block in waiting.items()}
        waiting = {key: block[..., samples:] for key, block in waiting.items()}
        done += samples
