# SPDX-License-Identifier: GPL-3.0-or-later
"""The clips of an edit as rows of a table: their times, and what the runs found in them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction

from stemline.clips import ClipRange, MediaFacts, MediaSource, Skip
from stemline.hosts.base import ReadClips
from stemline.workflow.results import ClipOutcome
from stemline_panel.model.formatting import TimeFormat, format_confidence, time_format_of, time_label, translate
from stemline_panel.model.queue import ItemState, QueueItem

_FULL_SCALE = 1000


class ClipState(StrEnum):
    """How far a clip is."""

    NOT_YET = "not yet"
    WAITING = "waiting"
    RUNNING = "running"
    FOUND = "found"
    SILENT = "silent"
    FAILED = "failed"
    SKIPPED = "skipped"

    @property
    def label(self) -> str:
        """The state in the user's language."""
        return {
            ClipState.NOT_YET: translate("ClipState", "not yet"),
            ClipState.WAITING: translate("ClipState", "waiting"),
            ClipState.RUNNING: translate("ClipState", "running"),
            ClipState.FOUND: translate("ClipState", "found"),
            ClipState.SILENT: translate("ClipState", "not found"),
            ClipState.FAILED: translate("ClipState", "failed"),
            ClipState.SKIPPED: translate("ClipState", "skipped"),
        }[self]


@dataclass(frozen=True, slots=True)
class ClipStatus:
    """What the runs say about one clip.

    Attributes:
        state: How far it is.
        found: What was found and how sure the model is, for each stem.
        confidence: The lowest confidence of its stems (0 to 1); -1 if nothing is known.
        level_db: The highest peak of its stems in dBFS; None if nothing is known.
        reason: Why it failed or is skipped.
        applied: Whether its stems are in the edit.
        number: The number of the run with its result, 0 if there is none.
    """

    state: ClipState = ClipState.NOT_YET
    found: str = ""
    confidence: float = -1.0
    level_db: float | None = None
    reason: str = ""
    applied: bool = False
    number: int = 0

    @property
    def text(self) -> str:
        """The state in a few words."""
        if self.reason:
            return f"{self.state.label}: {self.reason}"
        return (
            translate("ClipState", "{state}, applied").format(state=self.state.label)
            if self.applied
            else (self.state.label)
        )


@dataclass(frozen=True, slots=True)
class ClipRow:
    """One clip of the table, or one that cannot be separated, with its times as text.

    `clip` is None for a skipped clip; `start` and `duration` are in seconds of the timeline.
    """

    clip: ClipRange | None
    name: str
    track: str
    start: Fraction
    duration: Fraction
    record: str
    length: str
    source: str = ""
    source_start: Fraction = Fraction(0)
    status: ClipStatus = ClipStatus()

    @property
    def state(self) -> str:
        """The state in a word; a tick says that the stems are applied."""
        return f"{self.status.state.label} ✓" if self.status.applied else self.status.state.label

    @property
    def level(self) -> str:
        """The peak of its stems as text."""
        level_db = self.status.level_db
        if level_db is None:
            return ""
        return f"{level_db:.0f} dBFS" if level_db > -math.inf else translate("ClipTable", "silent")


@dataclass(frozen=True, slots=True)
class ClipFilter:
    """Which rows of the table are shown: those with a text, on a track, in a state; empty for all."""

    text: str = ""
    track: str = ""
    state: str = ""

    def accepts(self, row: ClipRow) -> bool:
        """Return whether a row is shown."""
        words = self.text.casefold().split()
        about = f"{row.name} {row.track} {row.status.found} {row.status.reason}".casefold()
        return (
            all(word in about for word in words)
            and self.track in ("", row.track)
            and self.state in ("", str(row.status.state))
        )


def clip_rows(read: ReadClips) -> list[ClipRow]:
    """Return the rows of all clips in the order of the edit, then those of the skipped ones. No run is known yet."""
    rows = [_row_of(read, clip) for clip in read.clips]
    rate = next((clip.frame_rate for clip in read.clips if clip.frame_rate), None)
    times = TimeFormat(rate, read.timeline_start, read.drop_frame)
    return rows + [_row_of_skip(skip, times) for skip in read.skipped]


def with_source_times(row: ClipRow, facts: MediaFacts) -> ClipRow:
    """Return the row with its source timecode, which needs the facts of its media."""
    clip = row.clip
    if clip is None:
        return row
    rate = facts.frame_rate or clip.frame_rate
    start = clip.source_range.start + facts.timecode_sample / facts.sample_rate
    return replace(row, source_start=start, source=time_label(start, rate, drop_frame=facts.drop_frame))


class ClipStatuses:
    """Finds the status of each clip in the runs, and remembers what finished runs say."""

    def __init__(self) -> None:
        """Start without runs."""
        self._cache: dict[int, tuple[object, dict[str, ClipStatus]]] = {}

    def of(self, items: Iterable[QueueItem], document_key: str) -> dict[str, ClipStatus]:
        """Return the status of each clip that a run of this document is about, by clip id. Later runs win."""
        statuses: dict[str, ClipStatus] = {}
        for item in items:
            if item.document_key != document_key or item.request.audition:
                continue
            if item.state in (ItemState.WAITING, ItemState.RUNNING) and not item.restored:
                state = ClipState.RUNNING if item.state is ItemState.RUNNING else ClipState.WAITING
                for clip in item.request.clips:
                    statuses[clip.clip_id] = replace(statuses.get(clip.clip_id, ClipStatus()), state=state, reason="")
            elif item.state in (ItemState.DONE, ItemState.FAILED):
                statuses |= self._ended(item)
        return statuses

    def _ended(self, item: QueueItem) -> dict[str, ClipStatus]:
        mark = (id(item.outcome), id(item.error), item.applied is not None, item.state)
        known = self._cache.get(item.number)
        if known is None or known[0] != mark:
            known = self._cache[item.number] = (mark, _statuses_of(item))
        return known[1]


def sources_of(rows: Iterable[ClipRow]) -> Iterator[MediaSource]:
    """Yield the source of each row's clip once."""
    yield from dict.fromkeys(row.clip.source for row in rows if row.clip is not None)


def _row_of(read: ReadClips, clip: ClipRange) -> ClipRow:
    times = time_format_of(read, clip, None)
    record = clip.record_range
    length = time_label(record.duration, times.rate, drop_frame=times.drop_frame)
    return ClipRow(clip, clip.name, clip.track, record.start, record.duration, times.of(record.start), length)


def _row_of_skip(skip: Skip, times: TimeFormat) -> ClipRow:
    status = ClipStatus(ClipState.SKIPPED, reason=skip.reason)
    start = skip.record_start
    return ClipRow(None, skip.clip, skip.track, start, Fraction(0), times.of(start), "", status=status)


def _statuses_of(item: QueueItem) -> dict[str, ClipStatus]:
    """Return what an ended run says about its clips."""
    outcome = item.outcome
    if item.state is ItemState.FAILED or outcome is None:
        failed = ClipStatus(ClipState.FAILED, reason=str(item.error or ""), number=item.number)
        return {clip.clip_id: failed for clip in item.request.clips}
    statuses = {
        found.clip_id: _status_of(found, number=item.number, applied=item.applied is not None)
        for found in outcome.result.clips
    }
    failures = {(failure.clip, failure.track, failure.record_start): failure for failure in outcome.result.failed}
    for clip in item.request.clips:
        failure = failures.get((clip.name, clip.track, str(clip.record_range.start)))
        if failure is not None:
            statuses[clip.clip_id] = ClipStatus(ClipState.FAILED, reason=failure.sentence, number=item.number)
    return statuses


def _status_of(found: ClipOutcome, *, number: int, applied: bool) -> ClipStatus:
    texts: Mapping[str, str] = {
        stem.stem: f"{stem.matched or stem.prompt or stem.stem}, {format_confidence(stem.confidence)}"
        if stem.found
        else translate("ClipTable", "no {stem}").format(stem=stem.stem)
        for stem in found.stems
    }
    heard = [stem for stem in found.stems if stem.found]
    peak = max((max(stem.waveform, default=0) for stem in heard), default=0) / _FULL_SCALE
    return ClipStatus(
        ClipState.FOUND if heard else ClipState.SILENT,
        "; ".join(texts.values()),
        min((stem.confidence for stem in heard), default=0.0),
        20 * math.log10(peak) if peak > 0 else -math.inf,
        applied=applied,
        number=number,
    )
