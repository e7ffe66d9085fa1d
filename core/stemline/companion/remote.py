"""A host in another process, reached over JSON-RPC and checked against the rules of a host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stemline.clips import ClipRange, Skip, StemTrack
from stemline.companion.jsonrpc import CompanionPeer
from stemline.companion.wire import from_wire, to_wire
from stemline.errors import Code, HostError
from stemline.hosts.base import HostCapabilities, RangeToRender, ReadClips, Rendered, Selection, WriteOptions, Written


@dataclass(frozen=True, slots=True)
class CallTimes:
    """How long a host may take: users leave dialogs open, and hosts may have to render before they can answer."""

    read_s: float = 900.0
    write_s: float = 900.0
    render_s: float = 7200.0


class RemoteHost:
    """A host behind `peer`, called one call at a time, with the `tag` of the run that it serves.

    Reading and rendering end early when `cancelled` returns True; a write never does.
    """

    def __init__(
        self,
        peer: CompanionPeer,
        capabilities: HostCapabilities,
        *,
        times: CallTimes | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        tag: str = "",
    ) -> None:
        """Call the host behind `peer`, which has these capabilities."""
        self._peer = peer
        self._capabilities = capabilities
        self._times = times or CallTimes()
        self._cancelled = cancelled
        self._tag = tag

    @property
    def capabilities(self) -> HostCapabilities:
        """What the host said it can do."""
        return self._capabilities

    def read_clips(self, selection: Selection) -> ReadClips:
        """Return the clips; those that break a host's rules are skipped by name. Raises HostError."""
        answer = self._peer.call(
            "read_clips", {"selection": to_wire(selection), "tag": self._tag}, self._times.read_s, self._cancelled
        )
        read = from_wire(ReadClips, answer, "read_clips")
        _refuse_doubles(read.clips)
        skips = [_fault(clip) for clip in read.clips]
        clips = tuple(clip for clip, skip in zip(read.clips, skips, strict=True) if skip is None)
        skipped = (*read.skipped, *(skip for skip in skips if skip is not None))
        return replace(read, clips=clips, skipped=skipped, notes=(*read.warnings, *read.notes))

    def write_tracks(self, tracks: Sequence[StemTrack], options: WriteOptions) -> Written:
        """Add tracks. Raises HostError when the host cannot, or does not say what it wrote."""
        self._need(self._capabilities.writes_tracks, "take new tracks")
        params = {"tracks": to_wire(tuple(tracks)), "options": to_wire(options), "tag": self._tag}
        return from_wire(Written, self._peer.call("write_tracks", params, self._times.write_s), "write_tracks")

    def render_range(self, request: RangeToRender) -> Rendered:
        """Return the rendered sound as a clip of its own file, at the requested record range."""
        self._need(self._capabilities.renders_ranges, "render a range of its timeline")
        answer = self._peer.call(
            "render_range", to_wire(request) | {"tag": self._tag}, self._times.render_s, self._cancelled
        )
        clip = from_wire(ClipRange, answer, "render_range")
        skip = _fault(clip)
        if skip is not None or clip.record_range != request.record_range:
            raise HostError(f"{self._capabilities.name} rendered another range than it was asked for.")
        return Rendered(clip, from_wire(_Noted, answer, "render_range").notes)

    def remove_result(self, result: str) -> tuple[str, ...]:
        """Take back what `Written.result` names. Returns notes on what stayed and why."""
        self._need(self._capabilities.removes_results, "take a result back")
        answer = self._peer.call("remove_result", {"result": result}, self._times.write_s)
        return from_wire(_Noted, answer, "remove_result").notes

    def remove_clips(self, clip_ids: Sequence[str]) -> tuple[str, ...]:
        """Take back the stems of some clips. Returns notes on what stayed and why."""
        self._need(self._capabilities.removes_clips, "take back the stems of single clips")
        answer = self._peer.call("remove_clips", {"clip_ids": list(clip_ids)}, self._times.write_s)
        return from_wire(_Noted, answer, "remove_clips").notes

    def _need(self, able: bool, what: str) -> None:
        if not able:
            raise HostError(f"{self._capabilities.name} cannot {what}.", code=Code.HOST_UNSUPPORTED)


@dataclass(frozen=True, slots=True)
class _Noted:
    """The notes of an answer."""

    notes: tuple[str, ...] = ()


def _refuse_doubles(clips: Sequence[ClipRange]) -> None:
    seen: set[str] = set()
    for clip in clips:
        if clip.clip_id in seen:
            raise HostError(f"read_clips: two clips have the id {clip.clip_id!r}.")
        seen.add(clip.clip_id)


def _fault(clip: ClipRange) -> Skip | None:
    """Return why a clip cannot be separated, where the host broke a rule."""
    source, record = clip.source_range, clip.record_range
    if not Path(clip.source.path).is_absolute() or "\0" in clip.source.path:
        code, reason = Code.MEDIA_MISSING, f"The host gave no absolute path, but {clip.source.path!r}."
    elif record.duration <= 0 or source.duration <= 0:
        code, reason = Code.CLIP_EMPTY, "The clip has no length."
    elif source.duration != record.duration:
        code, reason = Code.CLIP_RETIMED, "The clip plays at another speed than its media."
    else:
        return None
    return Skip(clip.name, clip.track, record.start, code, reason)
