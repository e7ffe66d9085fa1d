"""Follow jobs to their end through lost streams, killed servers and silence.

The answer of GetJob decides; events only say when to look.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

import grpc

from stemline.client.link import ATTEMPTS, Link, Stubs
from stemline.client.status import details_of, status_of
from stemline.client.values import Job, JobFailure, JobRequest, JobState, job_of, state_numbers
from stemline.errors import Code, SeparationError
from stemline.prompts import SamplePrompt
from stemline.v1 import separation_pb2

# how often a stream is renewed and the jobs are polled, in case it went silent without an error
_STREAM_TIMEOUT_S = 30.0
_PAGE_SIZE = 500


def list_jobs(link: Link, batch_id: str = "", states: tuple[JobState, ...] = ()) -> Iterator[Job]:
    """Yield jobs, newest first; of all batches and in all states unless given."""
    token = ""
    while True:
        request = separation_pb2.ListJobsRequest(
            batch_id=batch_id, states=state_numbers(states), page_size=_PAGE_SIZE, page_token=token
        )
        page = link.call(lambda stubs: stubs.jobs.ListJobs, request)
        yield from map(job_of, page.jobs)
        token = page.next_page_token
        if not token:
            return


def get_job(link: Link, name: str) -> Job:
    """Return one job. Raises SeparationError (JOB_UNKNOWN)."""
    return job_of(link.call(lambda stubs: stubs.jobs.GetJob, separation_pb2.GetJobRequest(name=name)))


class JobWatch:
    """Yield each job whenever it changes, until all have ended.

    `batch_id` or `names` selects the jobs. A batch consists of the jobs that it has when the watch begins.
    """

    def __init__(self, link: Link, batch_id: str = "", names: Sequence[str] = ()) -> None:
        """Watch the jobs of a batch, or those of the given names."""
        self._link = link
        self._batch_id = batch_id
        self._pending: dict[str, Job | None] = dict.fromkeys(names)
        """Jobs that have not ended, in their last known state."""
        self._last_sequence = 0

    def jobs(self) -> Generator[Job, None, None]:
        """Yield the jobs. Raises StemlineError."""
        if self._batch_id:
            self._pending = {job.name: None for job in list_jobs(self._link, self._batch_id)}
        yield from self._poll()
        failures = 0
        while self._pending:
            stubs = self._link.stubs
            moved = False
            try:
                for job in self._events(stubs):
                    moved = True
                    yield job
            except grpc.RpcError as error:
                if not _is_time_to_poll(error):
                    failures = 1 if moved else failures + 1
                    self._link.recover(error, failures, stubs)
            else:
                failures = 0 if moved else failures + 1
                self._pause(failures)
            yield from self._poll()

    def _events(self, stubs: Stubs) -> Iterator[Job]:
        """Yield changes until all jobs have ended or the stream ends. Raises grpc.RpcError."""
        request = separation_pb2.WatchJobsRequest(
            names=() if self._batch_id else self._pending,
            batch_id=self._batch_id,
            after_sequence=self._last_sequence or min(map(self._sequence_of, self._pending)),
        )
        stream = stubs.jobs.WatchJobs(request, timeout=_STREAM_TIMEOUT_S, metadata=stubs.endpoint.metadata)
        try:
            for event in stream:
                self._last_sequence = max(self._last_sequence, event.sequence)
                job = job_of(event.job)
                if job.name in self._pending and not 0 < event.sequence <= self._sequence_of(job.name):
                    yield self._seen(job)
                if not self._pending:
                    return
        finally:
            stream.cancel()

    def _poll(self) -> Iterator[Job]:
        """Ask for each job that has not ended; yield those that changed without an event."""
        batch = {job.name: job for job in list_jobs(self._link, self._batch_id)} if self._batch_id else {}
        for name, before in list(self._pending.items()):
            job = (batch.get(name) if self._batch_id else self._ask(name)) or _lost(name, before)
            if before is None or job.ended or job.last_sequence != before.last_sequence:
                yield self._seen(job)

    def _ask(self, name: str) -> Job | None:
        try:
            return get_job(self._link, name)
        except SeparationError as error:
            if error.code is Code.JOB_UNKNOWN:
                return None
            raise

    def _seen(self, job: Job) -> Job:
        if job.ended:
            self._pending.pop(job.name, None)
        else:
            self._pending[job.name] = job
        return job

    def _sequence_of(self, name: str) -> int:
        job = self._pending[name]
        return job.last_sequence if job else 0

    def _pause(self, failures: int) -> None:
        """Wait. A server that stops ends its streams without an error, and may do so again at once."""
        if failures:
            time.sleep(min(0.1 * 2 ** min(failures, ATTEMPTS), 2.0))


def _is_time_to_poll(error: grpc.RpcError) -> bool:
    """Return whether the stream ended without a failure: its time was up, or a job has been deleted."""
    return status_of(error) is grpc.StatusCode.DEADLINE_EXCEEDED or details_of(error).reason == Code.JOB_UNKNOWN


def _lost(name: str, before: Job | None) -> Job:
    job = before or Job(name, JobRequest("", SamplePrompt()), JobState.QUEUED)
    failure = JobFailure(Code.JOB_UNKNOWN, "The server no longer knows this job.", "Run the command again.")
    return replace(job, state=JobState.FAILED, error=failure)
