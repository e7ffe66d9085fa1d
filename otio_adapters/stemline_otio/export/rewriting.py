"""The whole edit, stems and all, in a format of an editor: only where every clip reads back in its place."""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import opentimelineio as otio

from stemline.errors import Code, EditError, MediaError, OutputError
from stemline_otio.document import read_timeline, refuse_endless_nesting
from stemline_otio.exact_time import TICKS_PER_SECOND, Ticks, exact_rate, span_of, ticks_of
from stemline_otio.export.fcp7 import filter_of, side_facts, with_clip_links
from stemline_otio.export.stems import Exported
from stemline_otio.format_metadata import FCP_KEY, fcp_facts, markers_from_file
from stemline_otio.formats import AAF, FCP_XML, call_adapter, read_edit, require_adapter
from stemline_otio.links import is_relative_link, plain_path
from stemline_otio.reading import STEMLINE
from stemline_otio.walk import Walk

_TOLERANCE = TICKS_PER_SECOND // 1000


class LossyFormatError(OutputError):
    """The format cannot hold the edit without losing clips or moving them."""

    default_code = Code.OUTPUT_DAMAGED


class _Seen(NamedTuple):
    """A clip as an edit states it, for a comparison to the millisecond, which is less than a frame."""

    name: str
    start: Ticks
    length: Ticks
    inside: Ticks | None
    media: str


def rewrite_edit(edit: Path, target: Path) -> Exported:
    """Write the whole edit in the format of the target's suffix, read it back and compare every clip.

    Returns:
        The file, with notes on what else is lost.

    Raises:
        LossyFormatError: A clip would be lost or moved; then nothing is written.
        OutputError: The file cannot be written.
    """
    known = FCP_XML if target.suffix.lower() == ".xml" else AAF
    require_adapter(known)
    timeline = read_timeline(edit)
    refuse_endless_nesting(timeline)
    before = [list(_seen(timeline, index)) for index in range(len(timeline.tracks))]
    prepared = copy.deepcopy(timeline)
    _with_whole_links(prepared, edit.absolute().parent)
    if known is FCP_XML:
        prepare_fcp(prepared)
    spool = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        if known is FCP_XML:
            text = call_adapter(known, target, lambda adapter: adapter.write_to_string(prepared))
            spool.write_text(with_clip_links(text), encoding="utf-8", newline="\n")
        else:
            call_adapter(
                known, target, lambda adapter: adapter.write_to_file(prepared, str(spool), use_empty_mob_ids=True)
            )
        read = read_edit(spool).timeline
        after = [list(_seen(read, index)) for index in range(len(read.tracks))]
        _refuse_loss(before, after, target)
        spool.replace(target)
    except EditError as error:
        raise LossyFormatError(f"{known.title} cannot hold the edit: {error.message}") from error
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):
            spool.unlink(missing_ok=True)
    return Exported(target, tuple(_losses(timeline, read)))


def prepare_fcp(timeline: otio.schema.Timeline) -> None:
    """Add metadata for what the Final Cut adapter otherwise leaves out or gets wrong.

    That is a track per channel, an id for every clip (it merges equal ones), names and enabled flags, effects, and
    exact rates.
    """
    for stack in [timeline.tracks, *timeline.find_children(descended_from_type=otio.schema.Stack)]:
        _spread_channels(stack)
    for number, clip in enumerate(timeline.find_clips(), 1):
        facts: dict[str, Any] = dict(fcp_facts(clip))
        facts |= {"@id": f"clipitem-{number}", "enabled": "TRUE" if clip.enabled else "FALSE"}
        filters = [filter_of(effect) for effect in clip.effects if FCP_KEY in effect.metadata]
        if filters:
            facts["filter"] = filters
        clip.metadata[FCP_KEY] = facts
        markers_from_file(clip)
        clip.source_range = _exact(clip.source_range or clip.trimmed_range())
        if clip.media_reference is not None and clip.media_reference.available_range is not None:
            clip.media_reference.available_range = _exact(clip.media_reference.available_range)
    for track in timeline.find_children(descended_from_type=otio.schema.Track):
        track.metadata[FCP_KEY] = dict(fcp_facts(track)) | {
            "@MZ.TrackName": track.name,
            "enabled": "TRUE" if track.enabled else "FALSE",
        }
    start = timeline.global_start_time
    if start is not None:
        timeline.global_start_time = otio.opentime.RationalTime(start.value, float(exact_rate(start.rate)))


def _spread_channels(stack: otio.schema.Stack) -> None:
    """Make a track per channel, as the format requires: the adapter keeps only the first of them when it reads."""
    for index in reversed(range(len(stack))):
        track = stack[index]
        if isinstance(track, otio.schema.Track) and track.kind == otio.schema.TrackKind.Audio:
            channels = _channels(track)
            for channel in reversed(range(1, channels)):
                twin = copy.deepcopy(track)
                _choose_channel(twin, channel, channels)
                stack.insert(index + 1, twin)
            if channels > 1:
                _choose_channel(track, 0, channels)


def _channels(track: otio.schema.Track) -> int:
    stated = str(fcp_facts(track).get("@totalExplodedTrackCount", ""))
    stems = [clip.metadata[STEMLINE].get("source", {}) for clip in track.find_clips() if STEMLINE in clip.metadata]
    return max([int(stated) if stated.isdecimal() else 1, *(len(source.get("channels", ())) for source in stems)])


def _choose_channel(track: otio.schema.Track, channel: int, channels: int) -> None:
    track.metadata[FCP_KEY] = dict(fcp_facts(track)) | side_facts(channel, channels)
    for clip in track.find_clips():
        facts = dict(fcp_facts(clip))
        if STEMLINE in clip.metadata and channels == 2:
            facts["@premiereChannelType"] = "stereo"
        first = str(dict(facts.get("sourcetrack", {})).get("trackindex", "1"))
        if first.isdecimal() and facts.get("@premiereChannelType") != "mono":
            facts["sourcetrack"] = {"mediatype": "audio", "trackindex": str(int(first) + channel)}
        clip.metadata[FCP_KEY] = facts


def _exact(span: otio.opentime.TimeRange) -> otio.opentime.TimeRange:
    parts = [
        otio.opentime.RationalTime(time.value, float(exact_rate(time.rate)))
        for time in (span.start_time, span.duration)
    ]
    return otio.opentime.TimeRange(*parts)


def _with_whole_links(timeline: otio.schema.Timeline, folder: Path) -> None:
    for clip in timeline.find_clips():
        reference = clip.media_reference
        if isinstance(reference, otio.schema.ExternalReference) and is_relative_link(reference.target_url):
            with contextlib.suppress(MediaError):
                reference.target_url = (folder / _plain(reference.target_url)).as_uri()


def _seen(timeline: otio.schema.Timeline, track: int) -> list[_Seen]:
    found = []
    for use in Walk(timeline, lambda clip: None).uses([track]):
        reference = use.clip.media_reference
        available = reference.available_range if reference is not None else None
        used = use.clip.source_range
        inside = ticks_of(used.start_time) - span_of(available).start if used and available else None
        media = Path(_plain(getattr(reference, "target_url", "") or "")).name
        found.append(_Seen(use.clip.name, use.record.start, use.record.duration, inside, media))
    return found


def _plain(link: str) -> str:
    try:
        path = plain_path(link)
    except MediaError:
        return link
    return unquote(path) if "%" in path else path


def _refuse_loss(before: Sequence[Sequence[_Seen]], after: Sequence[Sequence[_Seen]], target: Path) -> None:
    old = [track for track in before if track]
    new = [track for track in after if track]
    had, has = [len(track) for track in old], [len(track) for track in new]
    if had != has:
        lost = f"it has {has} clips by track and not {had}"
        raise LossyFormatError(f"The whole edit is not written as {target.name}, where clips would be lost: {lost}.")
    for one, other in zip(old, new, strict=True):
        for want, got in zip(one, other, strict=True):
            if not _same(want, got):
                raise LossyFormatError(
                    f"The whole edit is not written as {target.name}, where {want.name or 'a clip'} would be moved."
                )


def _same(want: _Seen, got: _Seen) -> bool:
    inside = want.inside is None or got.inside is None or _near(want.inside, got.inside)
    return _near(want.start, got.start) and _near(want.length, got.length) and inside and want.media == got.media


def _near(one: Ticks, other: Ticks) -> bool:
    return -_TOLERANCE <= one - other <= _TOLERANCE


def _losses(before: otio.schema.Timeline, after: otio.schema.Timeline) -> list[str]:
    notes = []
    counts = _counts(after)
    for what, had in _counts(before).items():
        if counts[what] < had:
            notes.append(f"{had - counts[what]} of {had} {what} of the edit are only in the .otio.")
    notes.append("Metadata of other programs is only in the .otio.")
    return notes


def _counts(timeline: otio.schema.Timeline) -> dict[str, int]:
    clips = list(timeline.find_clips())
    return {
        "markers": sum(len(clip.markers) for clip in clips),
        "effects": sum(len(clip.effects) for clip in clips),
        "disabled clips": sum(not clip.enabled for clip in clips),
        "disabled tracks": sum(not track.enabled for track in timeline.tracks),
        "transitions": len(timeline.find_children(descended_from_type=otio.schema.Transition)),
    }
