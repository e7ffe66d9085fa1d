"""The one place where the policy of a server is enforced, and what was done is logged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from stemline.errors import OutputError
from stemline.trust.audit_log import AuditLog, hashed_words
from stemline.v1 import separation_pb2 as pb
from stemline_server.jobs.record import JobRecord, NewJob, media_read_by
from stemline_server.policy.rules import JobFacts, Policy, denied
from stemline_server.seats.access import caller, client_address
from stemline_server.seats.seat_file import Seat

_log = logging.getLogger(__name__)

_ACCEPTED = {pb.JOB_KIND_SUGGEST: "suggested"}
"""Events of jobs whose end is not logged."""
_KINDS = {pb.JOB_KIND_SUGGEST: "suggest", pb.JOB_KIND_GENERATE: "generate"}
_ENDED = {pb.STATE_SUCCEEDED: "done", pb.STATE_FAILED: "failed", pb.STATE_CANCELLED: "cancelled"}


class Gate:
    """Admits jobs by the policy, and writes the log. Without a policy it admits everything and writes nothing."""

    def __init__(self, policy: Policy, state: Path) -> None:
        """Open the log. `state` is the folder of its key. Raises OutputError."""
        self._policy = policy
        self._words = policy.audit.words if policy.audit else "omit"
        self._key = state / "audit.key"
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="audit")
        self._log = AuditLog(policy.audit.path, keep_days=policy.audit.keep_days) if policy.audit else None

    def use(self, policy: Policy) -> bool:
        """Apply other rules from now on. Return whether their `[audit]` is the same: it needs a restart to change."""
        is_same_log = policy.audit == self._policy.audit
        self._policy = replace(policy, audit=self._policy.audit)
        return is_same_log

    async def check(self, jobs: Sequence[NewJob], forget: Callable[[str], Awaitable[None]]) -> None:
        """Check new jobs before they are stored.

        Args:
            jobs: The jobs of one call.
            forget: Deletes a sound from the store. Called for those of denied jobs, so that nothing of them stays.
                Sound that only the other jobs read stays: their caller may ask for them again.

        Raises:
            UsageError: The policy denies one of them (POLICY_DENIED); then none is stored.
            OutputError: The log cannot be written.
        """
        if not self._policy.rules and self._policy.default_allow:
            return
        denials: list[tuple[NewJob, JobFacts, str]] = []
        for number, job in enumerate(jobs):
            facts = facts_of(job)
            objection = self._policy.objection(facts)
            if objection:
                denials.append((job, facts, objection))
            if number % 500 == 499:
                await asyncio.sleep(0)  # let other calls run
        if denials:
            for name in {name for job, _, _ in denials for name in media_read_by(job.spec)}:
                await forget(name)
            await self._write([self._entry("denied", facts, outcome=objection) for _, facts, objection in denials])
            raise denied(denials[0][2])

    async def check_suggestion(self, facts: JobFacts, forget: Callable[[str], Awaitable[None]]) -> None:
        """Check a call that hears a sound without storing a job, and log it.

        Args:
            facts: The call, of the kind "suggest".
            forget: Deletes a sound from the store. Called for that of a denied call.

        Raises:
            UsageError: The policy denies it (POLICY_DENIED).
            OutputError: The log cannot be written.
        """
        objection = self._policy.objection(facts)
        if objection:
            await forget(facts.media)
            await self._write([self._entry("denied", facts, outcome=objection)])
            raise denied(objection)
        await self._write([self._entry("suggested", facts)])

    def accepted(self, requests: Sequence[NewJob], jobs: Sequence[JobRecord]) -> None:
        """Log jobs that were stored.

        They run even where the log cannot be written; that is an error in the server's own log.
        """
        pairs = zip(requests, jobs, strict=True) if self._log is not None else ()
        self._write_later(
            [self._entry(_ACCEPTED.get(new.kind, "accepted"), facts_of(new), job=job.name) for new, job in pairs]
        )

    def ended(self, jobs: Iterable[JobRecord]) -> None:
        """Log the jobs among these that have ended, likewise. For any thread; does not wait for the disk."""
        self._write_later(
            [
                {"event": _ENDED[job.state], "who": job.owned_by, "job": job.name, "model": job.model}
                for job in jobs
                if job.state in _ENDED and job.kind not in _ACCEPTED
            ]
        )

    def close(self) -> None:
        """Write what waits for the disk."""
        self._writer.shutdown()

    async def fetched(self, media: str) -> None:
        """Log a sound that the caller downloads. Raises OutputError."""
        await self._write([{"event": "fetched", "who": caller().name, "client": client_address(), "media": media}])

    async def _write(self, entries: list[dict[str, object]]) -> None:
        if self._log is not None and entries:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._log.write, entries)

    def _write_later(self, entries: list[dict[str, object]]) -> None:
        if self._log is not None and entries:
            self._writer.submit(_write_or_report, self._log, entries)

    def _entry(self, event: str, facts: JobFacts, **more: str) -> dict[str, object]:
        entry: dict[str, object] = {
            "event": event,
            "who": facts.who[0].partition(":")[2],
            "client": facts.client,
            "kind": facts.kind,
            "model": facts.model,
            "words": hashed_words(facts.words, self._words, self._key),
            "media": facts.media,
            "origin_sample": facts.origin_sample,
            "end_sample": facts.origin_sample + facts.length_samples,
            "reason": facts.reason,
            **more,
        }
        return {name: value for name, value in entry.items() if value != ""}


def _write_or_report(log: AuditLog, entries: list[dict[str, object]]) -> None:
    try:
        log.write(entries)
    except OutputError as error:
        _log.error("%d jobs are missing in the audit log: %s", len(entries), error)


def facts_of(job: NewJob) -> JobFacts:
    """Return what the policy and the log see of a new job."""
    spec = job.spec
    words = spec.prompt.text if isinstance(spec, pb.SeparationSpec) else getattr(spec, "text", "")
    return JobFacts(
        who=names_of(job.seat),
        kind=_KINDS.get(job.kind, "separate"),
        model=job.model,
        words=words,
        media=getattr(spec, "media", ""),
        origin_sample=getattr(spec, "origin_sample", 0),
        length_samples=job.length_samples,
        reason=job.reason,
        client=client_address(),
    )


def names_of(seat: Seat) -> tuple[str, ...]:
    """Return the names by which rules know a seat."""
    return (f"token:{seat.name}", *((f"cn:{seat.certificate}",) if seat.certificate else ()))
