"""Turn boxes and masks into picture tracks on the server, and name these in the prompts of jobs."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from stemline.client import Client, Model
from stemline.clips import TimeRange
from stemline.crash_reports import report_crash
from stemline.errors import Cancelled, Code, NoServerError, OutputError, StemlineError, UsageError
from stemline.media.pictures.cache import file_identity, picture_cache
from stemline.media.pictures.frames import FrameReader
from stemline.media.pictures.masks import scaled_mask
from stemline.media.pictures.model_picture import model_picture
from stemline.media.pictures.picture_track import PictureTrackWriter
from stemline.media.pictures.trackers import find_tracker
from stemline.plan import Extent, PlannedJob
from stemline.prompts import StemRequest
from stemline.workflow.prepare import Prepared
from stemline.workflow.progress import Hooks
from stemline.workflow.results import Progress
from stemline.workflow.shown_object import ShownObject, masks_of_shown, shown_in

_REFUSED = "refused"
_VERSION = 3  # of picture tracks
_LONGEST = 1920


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
            [one.identity(self._tracker) for one in shown],
        ]
        track = picture_cache().get(identity, ".pictures", lambda path: self._write(path, extent, seconds, shown))
        name = self._client.ensure_pictures(track, self._on_sent).name
        return dataclasses.replace(job, prompt=dataclasses.replace(job.prompt, mask=name))

    def _shown(self, extent: Extent, stem: StemRequest) -> Iterator[ShownObject]:
        """Yield where clips of the extent show the sound's source."""
        rate = self._prepared.facts[extent.source].sample_rate
        start, end = Fraction(extent.range.start_sample, rate), Fraction(extent.range.end_sample, rate)
        for clip in self._prepared.clips:
            if clip.source == extent.source and clip.source_range.overlaps(TimeRange(start, end)):
                shown = shown_in(clip, stem.prompt.box, stem.prompt.mask)
                if shown is not None:
                    yield shown

    def _write(self, path: Path, extent: Extent, seconds: TimeRange, shown: list[ShownObject]) -> None:
        """Write the picture track of an extent: the nearest frame to each time, where a mask shows the object."""
        count = max(1, math.ceil(seconds.duration * self._per_second))
        ticks = [Fraction(tick, self._per_second) for tick in range(count)]
        with contextlib.ExitStack() as stack:
            reader = stack.enter_context(FrameReader(extent.source.path, longest=_LONGEST, stop=self._stopped))
            masks = [stack.enter_context(masks_of_shown(one, reader, self._tracker, self._stopped)) for one in shown]
            writer = stack.enter_context(PictureTrackWriter(path, ticks_per_second=self._per_second))
            for tick, frame in enumerate(reader.nearest([seconds.start + time for time in ticks])):
                height, width = frame.pixels.shape[:2]
                seen = np.zeros((height, width), bool)
                for source in masks:
                    mask = source.at(frame.time)
                    if mask is not None:
                        seen |= scaled_mask(mask, height, width)
                writer.add(tick, model_picture(frame.pixels, seen))

    def _on_sent(self, _sent_bytes: int, _all_bytes: int) -> None:
        self._stopped()

    def _stopped(self) -> bool:
        if self._hooks.stopped():
            raise Cancelled
        return False
