"""Where a stem's strip goes: in sync to the sample with its original as it is now."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from . import compat
from .link import from_exact
from .reading import Pick
from .strips import place_of, playing_rate

_NOISE = Fraction(1, 100_000)  # of a sample: what Blender's floating point may be wrong by


@dataclass(frozen=True)
class Spot:
    """The place of a stem strip.

    `left` and `right` are frames (half-open); `content_start` is the frame where the file would begin, and
    `sound_offset_s` how much later it does begin. `cut`: the stem covers only a part of its original.
    """

    left: int
    right: int
    content_start: int
    sound_offset_s: float
    cut: bool


def spot_of(stem: dict[str, Any], pick: Pick, original: Any, scene: Any) -> Spot | None:
    """Return the place of a stem. None: the original no longer plays anything that the stem file holds."""
    rate, sample_rate, held = playing_rate(scene), stem["sample_rate"], stem["file_range"]
    left, right = compat.left(original), compat.right(original)
    if pick.render_reason:
        into_media = (left - compat.content_start(original) - pick.sound_start) / rate
    else:
        into_media = place_of(original, rate).source_start
    into_file = into_media - Fraction(held["start_sample"], sample_rate)
    length_s = Fraction(held["end_sample"] - held["start_sample"], sample_rate)
    begins, ends = left - into_file * rate, left + (length_s - into_file) * rate
    first, end = max(left, math.ceil(begins)), min(right, math.floor(ends))
    if first >= end:
        return None
    frames = round(into_file * rate)
    clock = _Clock(left / rate, scene.render.ffmpeg.audio_mixrate, sample_rate)
    offset_s = clock.offset_s(into_media, held["start_sample"], frames / rate)
    return Spot(first, end, left - frames, float(offset_s), (first, end) != (left, right))


@dataclass(frozen=True)
class _Clock:
    """How Blender finds the sample that a strip begins with.

    It starts at the first sample of the mix that is not before `start` (seconds), and truncates the position in the
    media, first to samples of the mix, then to samples of the file. It computes in floating point, so a position on a
    whole sample may come out as the one before.
    """

    start: Fraction
    mix_rate: int
    sample_rate: int

    def offset_s(self, into_media: Fraction, file_start_sample: int, frames_s: Fraction) -> Fraction:
        """Return the `sound_offset` with which a file plays what the media plays.

        The file begins at `file_start_sample` of the media and its strip begins `frames_s` into it. The offset is half
        a sample of the mix away from where rounding could change the result.
        """
        late = Fraction(math.ceil(self.start * self.mix_rate)) / self.mix_rate - self.start
        mix_sample = math.floor((into_media + late) * self.mix_rate + _NOISE)
        media_sample = math.floor(Fraction(mix_sample * self.sample_rate, self.mix_rate) + _NOISE)
        wanted = media_sample - file_start_sample
        target = math.ceil(Fraction(wanted * self.mix_rate, self.sample_rate)) + Fraction(1, 2)
        return frames_s + late - target / self.mix_rate


def differs(stem: dict[str, Any], original: Any, rate: Fraction) -> bool:
    """Return whether the original was moved or trimmed since it was read."""
    then = stem["record_range"]
    now = (compat.left(original) / rate, compat.right(original) / rate)
    return now != (from_exact(then["start"]), from_exact(then["end"]))
