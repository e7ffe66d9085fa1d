"""Help for tests of what is built on Stemline: a host that holds its edit in memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from stemline._version import __version__
from stemline.api.stems import Time, resolve_time
from stemline.clips import ClipRange, MediaSource, StemTrack, TimeRange
from stemline.errors import Code, HostError, UsageError
from stemline.hosts.base import HostCapabilities, ReadClips, Selection, WriteOptions, Written
from stemline.media import media_facts

__all__ = ["MemoryHost", "clip"]


class MemoryHost:
    """A host without a program behind it: clips are given to it, and tracks written to it are kept.

    Attributes:
        clips: The clips of the edit.
        tracks: Stem tracks that were written and not removed.
        disabled: Ids of the clips that were disabled.

    Examples:
        >>> import stemline
        >>> from stemline.testing import MemoryHost, clip
        >>> host = MemoryHost([clip("interview.wav", track="A1"), clip("interview.wav", track="A2", at=10)])
        >>> result = stemline.separate_edit(host, {"dialogue": "speech"}, output="out")
        >>> [track.name for track in host.tracks]
        ['dialogue A1', 'dialogue A2', 'residual A1', 'residual A2']
        >>> len(host.disabled)
        2
    """

    def __init__(self, clips: Sequence[ClipRange], *, name: str = "memory") -> None:
        """Hold `clips`, whose ids must differ."""
        self.clips = tuple(clips)
        self.disabled: set[str] = set()
        self._results: dict[str, tuple[tuple[StemTrack, ...], frozenset[str]]] = {}
        self._name = name
        self._count = 0
        if len({held.clip_id for held in self.clips}) < len(self.clips):
            raise UsageError("Two clips have the same id.", advice="Give every clip an id of its own.")

    @property
    def capabilities(self) -> HostCapabilities:
        """Return what this host can do: everything but render."""
        return HostCapabilities(
            self._name, __version__, disables_clips=True, carries_metadata=True, removes_results=True
        )

    @property
    def tracks(self) -> tuple[StemTrack, ...]:
        """Return the stem tracks in the order in which they were written."""
        return tuple(track for tracks, _ in self._results.values() for track in tracks)

    def read_clips(self, selection: Selection) -> ReadClips:
        """Return the clips that `selection` names."""
        chosen = tuple(
            held
            for held in self.clips
            if (not selection.tracks or held.track in selection.tracks)
            and (selection.include_disabled or held.clip_id not in self.disabled)
        )
        return ReadClips(chosen, results=tuple(self._results))

    def write_tracks(self, tracks: Sequence[StemTrack], options: WriteOptions) -> Written:
        """Keep `tracks` and disable clips. Raises HostError for a clip that this host does not hold."""
        known = {held.clip_id for held in self.clips}
        strange = {placed.clip_id for track in tracks for placed in track.clips} | set(options.disable_clips)
        if strange - known:
            raise HostError(f"There is no clip {min(strange - known)!r}.", code=Code.HOST_PROTOCOL)
        self._count += 1
        result = f"result-{self._count}"
        self._results[result] = (tuple(tracks), frozenset(options.disable_clips) - self.disabled)
        self.disabled.update(options.disable_clips)
        return Written(tuple(track.name for track in tracks), result=result)

    def remove_result(self, result: str) -> tuple[str, ...]:
        """Remove the tracks of one `write_tracks` and enable its clips. Return notes, of which there are none."""
        if result not in self._results:
            raise HostError(f"There is no result {result!r}.", code=Code.HOST_PROTOCOL)
        _, disabled = self._results.pop(result)
        self.disabled -= disabled
        return ()


def clip(
    media: str | os.PathLike[str],
    *,
    track: str = "A1",
    at: Time = 0,
    start: Time = 0,
    end: Time | None = None,
    frame_rate: Fraction | None = None,
) -> ClipRange:
    """Return a clip that plays a media file from `start` to `end` (None: its end) at the time `at` of the timeline.

    Raises MediaError when the file cannot be read, UsageError when the range is empty.
    """
    path = Path(media).absolute()
    source = MediaSource(str(path))
    facts = media_facts(source)
    length = Fraction(facts.length_samples, facts.sample_rate)
    played = TimeRange(resolve_time(start, facts), length if end is None else resolve_time(end, facts))
    if not 0 <= played.start < played.end <= length:
        raise UsageError(f"{path.name} lasts {float(length):g} s.", advice="Choose a range inside the file.")
    record_start = resolve_time(at, None)
    record = TimeRange(record_start, record_start + played.duration)
    return ClipRange(f"{track} {record_start}", path.stem, track, source, played, record, frame_rate)
