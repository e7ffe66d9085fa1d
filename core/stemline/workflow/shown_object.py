"""Where a clip shows the source of a sound, and the masks of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

from stemline.clips import ClipRange, TimeRange
from stemline.errors import UsageError
from stemline.media.pictures.cache import file_identity, picture_cache
from stemline.media.pictures.following import follow_both_ways, write_mask_film
from stemline.media.pictures.frames import FrameReader, Stop
from stemline.media.pictures.masks import ALPHA, FilmMasks, MaskSource, masks_of_clip, open_masks, pictures_in
from stemline.media.pictures.trackers import CORNERS, create_tracker, find_tracker
from stemline.media.pictures.tracking import TRACKED_PIXELS, Marks
from stemline.media.pictures.upright import PictureShape
from stemline.prompts import Box, Mask

_VERSION = 3  # of followed masks
_DEFAULT_RATE = Fraction(25)
_AROUND_S = 10  # more than handles and context
_ROUNDED_S = Fraction(1, 1000)  # ranges begin at whole samples


@dataclass(frozen=True, slots=True)
class ShownObject:
    """Where a clip shows the source of a sound: by a box at a time of its media, or by masks that start at one."""

    clip: ClipRange
    box: Box | None
    masks: Path | None
    time: Fraction

    def identity(self, tracker: str) -> list[object]:
        """Return JSON values that change with the masks, which `tracker` makes for a box. Raises StemlineError."""
        if self.box is not None:
            box = self.box
            place = [*map(str, (box.x, box.y, box.width, box.height, box.percent, self.time))]
            return ["box", *place, *_tracker_identity(tracker)]
        if self.masks is None or str(self.masks) == ALPHA:
            return [ALPHA]
        files = pictures_in(self.masks) if self.masks.is_dir() else [self.masks]
        return ["mask", str(self.time), [file_identity(file) for file in files]]


def shown_in(clip: ClipRange, box: Box | None, mask: Mask | None) -> ShownObject | None:
    """Return where a clip shows the object of a prompt; None where it does not. Raises UsageError for no such masks."""
    if mask is not None:
        path = _masks_of(mask, clip)
        start = clip.source_range.start if mask.start is None else mask.start
        return None if path is None else ShownObject(clip, None, path, start)
    if box is not None and clip.record_range.start - _ROUNDED_S <= box.time < clip.record_range.end:
        return ShownObject(clip, box, None, _media_time(clip, box.time))
    return None


@contextlib.contextmanager
def masks_of_shown(shown: ShownObject, reader: FrameReader, tracker: str, stop: Stop) -> Iterator[MaskSource]:
    """Open the masks of an object; that of a box is followed first.

    Args:
        shown: The object.
        reader: The media, for the shape and the rate of its pictures.
        tracker: Id of the tracker.
        stop: Asked between frames; true raises Cancelled.

    Raises:
        StemlineError: The masks or the media cannot be used.
    """
    rate = reader.frame_rate or _DEFAULT_RATE
    if shown.box is not None:
        source: MaskSource = _followed(reader, shown, tracker, stop)
    elif shown.masks is None or str(shown.masks) == ALPHA:
        source = FilmMasks(reader.path, reader.shape, Fraction(0), alpha=True, stop=stop)
    else:
        source = open_masks(shown.masks, reader.shape, shown.time, rate, stop)
    with contextlib.closing(source):
        yield source


def _followed(reader: FrameReader, shown: ShownObject, tracker: str, stop: Stop) -> MaskSource:
    """Return the masks of the boxed object through its shot, at most a little past the ends of the clip."""
    assert shown.box is not None  # noqa: S101 - callers check it
    played = shown.clip.source_range
    within = TimeRange(max(Fraction(0), played.start - _AROUND_S), played.end + _AROUND_S)
    marks = marks_of(shown.box, reader.shape)
    identity = [
        _VERSION,
        file_identity(reader.path),
        [str(marks.box), str(shown.time), str(within.start), str(within.end)],
        *_tracker_identity(tracker),
    ]

    def write(path: Path) -> None:
        masks = follow_both_ways(reader.path, partial(create_tracker, tracker), (shown.time, marks), within, stop)
        write_mask_film(path, masks, within.start)

    film = picture_cache().get(identity, ".mov", write)
    return FilmMasks(film, reader.shape, within.start, stop=stop)


def _tracker_identity(tracker: str) -> list[str]:
    """Return what names the masks of a tracker; nothing for `corners`, whose masks have `_VERSION`."""
    info = find_tracker(tracker)
    return [] if info.id == CORNERS else [info.id, info.revision]


def marks_of(box: Box, shape: PictureShape) -> Marks:
    """Return a box as marks in the picture that trackers work on. Raises UsageError for a box outside the picture."""
    width, height = shape.within(TRACKED_PIXELS)
    across, down = (100, 100) if box.percent else (shape.width, shape.height)
    if box.x >= across or box.y >= down:
        raise UsageError(
            f"The box lies outside the upright picture of {shape.width} x {shape.height} pixels.",
            advice="Give X,Y,WIDTH,HEIGHT from the upper left corner, in pixels or per cent.",
        )
    x, y = round(box.x * width / across), round(box.y * height / down)
    right = min(width, round((box.x + box.width) * width / across))
    bottom = min(height, round((box.y + box.height) * height / down))
    return Marks(box=(x, y, max(1, right - x), max(1, bottom - y)))


def _masks_of(mask: Mask, clip: ClipRange) -> Path | None:
    """Return the masks of a clip: by its name in a folder of an edit, else as given. None where it has none."""
    path = Path(mask.path)
    if mask.media and mask.media != clip.source.path:
        return None
    if mask.path == ALPHA or mask.start is not None:
        return path
    return masks_of_clip(path, clip.name)


def _media_time(clip: ClipRange, time: Fraction) -> Fraction:
    speed = clip.source_range.duration / clip.record_range.duration
    return clip.source_range.start + (time - clip.record_range.start) * speed
