"""Turn boxes and masks into picture tracks on the server, and name these in the prompts of jobs."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np

from stemline.client import Client, Model
from stemline.clips import ClipRange, TimeRange
from stemline.crash_reports import report_crash
from stemline.errors import Cancelled, Code, NoServerError, OutputError, StemlineError, UsageError
from stemline.media.pictures.cache import file_identity, picture_cache
from stemline.media.pictures.following import follow_both_ways, write_mask_film
from stemline.media.pictures.frames import FrameReader
from stemline.media.pictures.masks import (
    ALPHA,
    FilmMasks,
    MaskSource,
    masks_of_clip,
    open_masks,
    pictures_in,
    scaled_mask,
)
from stemline.media.pictures.model_picture import model_picture
from stemline.media.pictures.picture_track import PictureTrackWriter
from stemline.media.pictures.trackers import CORNERS, create_tracker, find_tracker
from stemline.media.pictures.tracking import TRACKED_PIXELS, Marks
from stemline.media.pictures.upright import PictureShape
from stemline.plan import Extent, PlannedJob
from stemline.prompts import Box, Mask, StemRequest
from stemline.workflow.prepare import Prepared
from stemline.workflow.progress import Hooks
from stemline.workflow.results import Progress

_REFUSED = "refused"
_VERSION = 2  # of followed masks and picture tracks
_LONGEST = 1920
_DEFAULT_RATE = Fraction(25)
_AROUND_S = 10  # more than handles and context


def check_model(model: Model, stems: tuple[StemRequest, ...], tracker: str) -> None:
    """Raise UsageError where a stem has a box or a mask and the model takes no pictures, or the tracker cannot run."""
    shown = [stem for stem in stems if stem.prompt.has_picture]
    if shown and not model.takes_pictures:
        raise UsageError(
            f"The model {model.id} does not take pictures, which the stem {shown[0].name!r} shows.",
            code=Code.PROMPT_UNSUPPORTED,
            advice="Name the sound in words or mark where it is heard, or choose a model that takes pictures.",
        )
    if any(stem.prompt.box is not None and stem.prompt.mask is None for stem in shown):
        find_tracker(tracker)


@dataclass(frozen=True, slots=True)
class _Shown:
    """Where a clip shows the source of a sound: by a box at a time of its media, or by masks that start at one."""

    clip: ClipRange
    box: Box | None
    masks: Path | None
    time: Fraction


class PicturePrompts:
    """Makes the picture tracks of a run, extent by extent.

    A clip that no box touches and no mask is named after goes by the other parts of its prompt.
    """

    def __init__(self, client: Client, prepared: Prepared, per_second: int, tracker: str, hooks: Hooks) -> None:
        """Prepare for the stems of a run, at so many pictures per second and with the tracker of that id."""
        self._client, self._prepared = client, prepared
        self._per_second, self._tracker, self._hooks = per_second, tracker, hooks
        self._stems = {stem.name: stem for stem in prepared.stems}
        self.refused: dict[Extent, StemlineError] = {}

    def prepared(self) -> Prepared:
        """Return the run with the names of picture tracks in its prompts, which are on the server then.

        Extents whose pictures cannot be made are in `refused` afterwards.

        Raises:
            OutputError: A disk or the server's store is full.
            Cancelled: The run was cancelled.
            NoServerError: The server is gone.
        """
        plan = self._prepared.plan
        jobs = []
        for number, job in enumerate(plan.jobs):
            self._hooks.on_progress(Progress("following pictures", number, len(plan.jobs)))
            jobs.append(self._named_or_refused(job.extent, job))
        return dataclasses.replace(self._prepared, plan=dataclasses.replace(plan, jobs=tuple(jobs)))

    def _named_or_refused(self, extent: Extent, job: PlannedJob) -> PlannedJob:
        try:
            return self._named(extent, job)
        except (Cancelled, NoServerError, OutputError):
            raise
        except StemlineError as error:
            self.refused.setdefault(extent, error)
        except Exception as error:  # noqa: BLE001 - media is untrusted: one file must not stop the others
            self.refused.setdefault(extent, report_crash(error))
        return dataclasses.replace(job, prompt=dataclasses.replace(job.prompt, mask=_REFUSED))

    def _named(self, extent: Extent, job: PlannedJob) -> PlannedJob:
        stem = self._stems[job.stem]
        shown = list(self._shown(extent, stem)) if stem.prompt.has_picture else []
        if not shown:
            return job
        rate = self._prepared.facts[extent.source].sample_rate
        seconds = TimeRange(Fraction(extent.range.start_sample, rate), Fraction(extent.range.end_sample, rate))
        identity = [
            _VERSION,
            file_identity(extent.source.path),
            [str(seconds.start), str(seconds.end), self._per_second],
            [self._identity(one) for one in shown],
            *(_tracker_identity(self._tracker) if any(one.box is not None for one in shown) else ()),
        ]
        track = picture_cache().get(identity, ".pictures", lambda path: self._write(path, extent, seconds, shown))
        name = self._client.ensure_pictures(track, self._on_sent).name
        return dataclasses.replace(job, prompt=dataclasses.replace(job.prompt, mask=name))

    def _shown(self, extent: Extent, stem: StemRequest) -> Iterator[_Shown]:
        """Yield the clips of the extent that show the sound's source."""
        rate = self._prepared.facts[extent.source].sample_rate
        start, end = Fraction(extent.range.start_sample, rate), Fraction(extent.range.end_sample, rate)
        for clip in self._prepared.clips:
            if clip.source != extent.source or not clip.source_range.overlaps(TimeRange(start, end)):
                continue
            box, mask = stem.prompt.box, stem.prompt.mask
            if mask is not None:
                path = _masks_of(mask, clip)
                if path is not None:
                    yield _Shown(clip, None, path, clip.source_range.start if mask.start is None else mask.start)
            elif box is not None and clip.record_range.start <= box.time < clip.record_range.end:
                yield _Shown(clip, box, None, _media_time(clip, box.time))

    def _identity(self, shown: _Shown) -> list[object]:
        if shown.box is not None:
            box = shown.box
            return ["box", *map(str, (box.x, box.y, box.width, box.height, box.percent, shown.time))]
        if shown.masks is None or str(shown.masks) == ALPHA:
            return [ALPHA]
        files = pictures_in(shown.masks) if shown.masks.is_dir() else [shown.masks]
        return ["mask", str(shown.time), [file_identity(file) for file in files]]

    def _write(self, path: Path, extent: Extent, seconds: TimeRange, shown: list[_Shown]) -> None:
        """Write the picture track of an extent: the nearest frame to each time, where a mask shows the object."""
        count = max(1, math.ceil(seconds.duration * self._per_second))
        ticks = [Fraction(tick, self._per_second) for tick in range(count)]
        with contextlib.ExitStack() as stack:
            reader = stack.enter_context(FrameReader(extent.source.path, longest=_LONGEST, stop=self._stopped))
            masks = [stack.enter_context(self._masks(one, reader, seconds)) for one in shown]
            writer = stack.enter_context(PictureTrackWriter(path, ticks_per_second=self._per_second))
            for tick, frame in enumerate(reader.nearest([seconds.start + time for time in ticks])):
                height, width = frame.pixels.shape[:2]
                seen = np.zeros((height, width), bool)
                for source in masks:
                    mask = source.at(frame.time)
                    if mask is not None:
                        seen |= scaled_mask(mask, height, width)
                writer.add(tick, model_picture(frame.pixels, seen))

    @contextlib.contextmanager
    def _masks(self, shown: _Shown, reader: FrameReader, seconds: TimeRange) -> Iterator[MaskSource]:
        rate = reader.frame_rate or _DEFAULT_RATE
        if shown.box is not None:
            source = self._followed(reader, shown.box, shown)
        elif shown.masks is None or str(shown.masks) == ALPHA:
            source = FilmMasks(reader.path, reader.shape, Fraction(0), alpha=True, stop=self._stopped)
        else:
            source = open_masks(shown.masks, reader.shape, shown.time, rate, self._stopped)
        with contextlib.closing(source):
            yield source

    def _followed(self, reader: FrameReader, box: Box, shown: _Shown) -> MaskSource:
        """Return the masks of the boxed object through its shot, at most a little past the ends of the clip."""
        played = shown.clip.source_range
        within = TimeRange(max(Fraction(0), played.start - _AROUND_S), played.end + _AROUND_S)
        marks = marks_of(box, reader.shape)
        identity = [
            _VERSION,
            file_identity(reader.path),
            [str(marks.box), str(shown.time), str(within.start), str(within.end)],
            *_tracker_identity(self._tracker),
        ]

        def write(path: Path) -> None:
            create = partial(create_tracker, self._tracker)
            masks = follow_both_ways(reader.path, create, (shown.time, marks), within, self._stopped)
            write_mask_film(path, masks, within.start)

        film = picture_cache().get(identity, ".mov", write)
        return FilmMasks(film, reader.shape, within.start, stop=self._stopped)

    def _on_sent(self, _sent_bytes: int, _all_bytes: int) -> None:
        self._stopped()

    def _stopped(self) -> bool:
        if self._hooks.stopped():
            raise Cancelled
        return False


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
