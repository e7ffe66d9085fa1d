"""Run the jobs of parts on the server, and follow them to their end."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Sequence

from stemline.client import Client, Job, JobState, Model
from stemline.errors import Cancelled, StemlineError
from stemline.plan import Part
from stemline.workflow.progress import Hooks, Meter
from stemline.workflow.recipe import PartSound, part_request
from stemline.workflow.settings import RunSettings


class PartJobs:
    """The jobs of a run. May be used from several threads, each for other parts."""

    def __init__(self, client: Client, model: Model, settings: RunSettings, hooks: Hooks, meter: Meter) -> None:
        """Prepare for the jobs of a run."""
        self._client = client
        self._model = model
        self._settings = settings
        self._hooks = hooks
        self._meter = meter
        self._ended: dict[Part, Job] = {}

    @property
    def ended(self) -> dict[Part, Job]:
        """The jobs that have ended, with a result or without, by their parts."""
        return self._ended

    def of(self, sounds: Sequence[PartSound]) -> tuple[Job | None, ...]:
        """Return the ended jobs of the parts of a stem; None where none was needed."""
        return tuple(self._ended.get(sound.part) for sound in sounds)

    def run(self, sounds: Sequence[PartSound], on_ended: Callable[[Part], None]) -> None:
        """Run the jobs of these parts and wait for their end; in a chain one stem after the other.

        Args:
            sounds: The parts. Those of a chain come with all their stems.
            on_ended: Called with each part whose job has ended.

        Raises:
            Cancelled: The hooks say so.
            StemlineError: A prompt is refused, or the server is gone.
        """
        stems = list(dict.fromkeys(sound.part.stem for sound in sounds))
        rounds = [[stem] for stem in stems] if self._settings.chain else [stems]
        for names in rounds:
            self._run_round([s for s in sounds if s.part.stem in names and not s.part.prompt.is_empty], on_ended, stems)

    def _run_round(self, sounds: Sequence[PartSound], on_ended: Callable[[Part], None], stems: Sequence[str]) -> None:
        batch = str(uuid.uuid4())
        requests = {
            sound.part: part_request(sound, self._model, self._settings, self._before(sound.part, stems), batch)
            for sound in sounds
        }
        part_of = {request.request_id: part for part, request in requests.items()}
        self._check_cancelled()
        created = self._client.create_jobs(list(requests.values()))
        self._hooks.open_jobs.update(job.name for job in created)
        for job in self._client.watch(batch) if created else ():
            part = part_of[job.request.request_id]
            self._meter.job(part, 1.0 if job.ended else job.fraction, job.stage or "separating")
            if job.state is JobState.RUNNING:
                self._hooks.listener.on_running(part, job)
            if job.ended:
                self._hooks.open_jobs.discard(job.name)
                self._ended[part] = job
                self._hooks.listener.on_part(part, job)
                on_ended(part)
            self._check_cancelled()

    def cancel(self) -> None:
        """Cancel the jobs that have not ended. A server that is gone has none."""
        with contextlib.suppress(StemlineError):
            self._client.cancel(list(self._hooks.open_jobs))

    def _before(self, part: Part, stems: Sequence[str]) -> list[str]:
        """Return the media of the finished stems that come before this one in a chain."""
        if not self._settings.chain:
            return []
        stem_of = {other.stem: job.stem for other, job in list(self._ended.items()) if other.cell == part.cell}
        earlier = (stem_of.get(stem) for stem in stems[: stems.index(part.stem)])
        return [stem.media for stem in earlier if stem is not None]

    def _check_cancelled(self) -> None:
        if self._hooks.stopped():
            raise Cancelled
