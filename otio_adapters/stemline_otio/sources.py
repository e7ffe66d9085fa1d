"""The sound that a clip plays: file, streams and channels, and where in the file it begins."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import opentimelineio as otio

from stemline.clips import MediaSource
from stemline.errors import Code, MediaError
from stemline.media import MediaInfo, media_facts, probe
from stemline_otio.channels import chosen_sources
from stemline_otio.effects import RESOLVE_KEY
from stemline_otio.exact_time import (
    TICKS_PER_SECOND,
    Span,
    Ticks,
    day_of,
    frame_rate_of,
    frame_ticks,
    known_span,
    known_start,
    nearest_frame,
    span_of,
    to_ticks,
    zero_at,
)
from stemline_otio.format_metadata import as_mapping, is_drop_clip
from stemline_otio.links import MediaFinder
from stemline_otio.media_search import MediaGuesser, hints_of
from stemline_otio.messages import list_names
from stemline_otio.walk import Speed


@dataclass(frozen=True, slots=True)
class Clock:
    """How a clip counts its media.

    `zero` is the clip's own time of the media's first sample; `timecode` is what the file itself states of it, on the
    clip's frames; `label` is the timecode of a picture or timecode track alone, which a WAV has not. `rate` is as the
    file spells it; `frame_rate` is None where the edit cuts on samples.
    """

    rate: float
    frame_rate: Fraction | None
    zero: Ticks
    timecode: Ticks
    label: Ticks = 0


@dataclass(frozen=True, slots=True)
class Sound:
    """The streams that a clip plays: `start` is the media time of its first frame, `length` that of the media.

    `note` states what was assumed where the edit does not say.
    """

    sources: tuple[MediaSource, ...]
    start: Ticks
    length: Ticks
    clock: Clock
    note: str = ""


class _Media:
    """A probed file, with what its clips ask for repeatedly."""

    def __init__(self, info: MediaInfo) -> None:
        self.info = info
        self.length = to_ticks(max(Fraction(s.length_samples, s.sample_rate) for s in info.streams))
        self.sample_rate = info.streams[0].sample_rate
        all_mono = all(stream.channels == 1 for stream in info.streams)
        streams = info.streams if all_mono else info.streams[:1]
        self.whole = tuple(MediaSource(info.path, stream.index) for stream in streams)
        self._timecodes: dict[float, Ticks] = {}
        self._labels: dict[float, Ticks] = {}

    def timecode(self, rate: float) -> Ticks:
        """Return the timecode of the first sample by the file itself, on the clip's frames.

        A stamp between two frames belongs to the nearest one, as in the labels of editors.
        """
        if rate not in self._timecodes:
            stamp, timecode = self.info.time_reference_sample, self.info.timecode
            if stamp is None and timecode is not None:
                seconds = Fraction(timecode.frame) / timecode.rate
            else:
                seconds = Fraction(stamp or 0, self.sample_rate)
            self._timecodes[rate] = nearest_frame(to_ticks(seconds), frame_ticks(rate))
        return self._timecodes[rate]

    def label(self, rate: float) -> Ticks:
        """Return the timecode of a picture or timecode track; 0 for a file without one."""
        timecode = self.info.timecode
        if timecode is None:
            return 0
        if rate not in self._labels:
            seconds = Fraction(timecode.frame) / timecode.rate
            self._labels[rate] = nearest_frame(to_ticks(seconds), frame_ticks(rate))
        return self._labels[rate]

    def stamp(self, rate: float, clip: otio.schema.Clip) -> tuple[Ticks, Ticks]:
        """Return the file's timecode, and the length of a day as its labels count it."""
        dropped = self.info.timecode is not None and self.info.timecode.drop_frame
        return self.timecode(rate), day_of(rate, drop_frame=dropped or is_drop_clip(clip))


class SoundFinder:
    """Finds and probes each file once. Raises MediaError with a stable code for everything that cannot be used."""

    def __init__(self, finder: MediaFinder) -> None:
        """Search with `finder`."""
        self._finder = finder
        self._guesser = MediaGuesser(finder)
        self._guessed: dict[str, dict[str, None]] = {}
        self._known: dict[str, _Media | MediaError] = {}

    def length_of(self, clip: otio.schema.Clip) -> Ticks | None:
        """Return the length of the media of a clip that states no range, None where there is no such media."""
        try:
            return self._media(self._locate(clip)[0]).length
        except MediaError:
            return None

    def sound_of(self, clip: otio.schema.Clip, speed: Speed) -> Sound:
        """Return the sound of a clip.

        Raises:
            MediaError: MEDIA_*, STREAM_UNKNOWN, CHANNEL_UNKNOWN, CLIP_NOT_MEDIA or CLIP_TIME_AMBIGUOUS.
        """
        path, reference = self._locate(clip)
        media = self._media(path)
        sources = _sources(clip, reference, media)
        available = reference.available_range
        span = clip.source_range or (available if known_span(available) is not None else None)
        rate = span.duration.rate if span is not None else float(media.info.video_frame_rate or media.sample_rate)
        frame_rate = frame_rate_of(rate)
        timecode = media.timecode(rate)
        if span is None:
            return Sound(sources, 0, media.length, Clock(rate, frame_rate, 0, timecode, media.label(rate)))
        used = span_of(span)
        used = Span(used.start, used.start + used.duration * speed)
        zero, note = _zero(used, known_start(available), media.stamp(rate, clip), media.length)
        start = _snapped(used.start - zero, frame_ticks(rate), media.sample_rate)
        return Sound(sources, start, media.length, Clock(rate, frame_rate, zero, timecode, media.label(rate)), note)

    def _media(self, path: str) -> _Media:
        media = self._known.get(path)
        if media is None:
            try:
                media = _probed(path)
            except MediaError as error:
                media = error
            self._known[path] = media
        if isinstance(media, MediaError):
            raise media
        return media

    def _locate(self, clip: otio.schema.Clip) -> tuple[str, otio.core.MediaReference]:
        """Return the file of a clip and the media reference that leads to it: the active one, else another of them."""
        reference = clip.media_reference
        if isinstance(reference, otio.schema.GeneratorReference):
            raise MediaError("The clip is made by a generator.", code=Code.CLIP_NOT_MEDIA)
        if isinstance(reference, otio.schema.ImageSequenceReference):
            raise MediaError("The clip is an image sequence, which has no sound.", code=Code.CLIP_NOT_MEDIA)
        link = _link_of(reference)
        try:
            if link:
                return self._finder.find(link), reference
        except MediaError as error:
            return self._locate_other(clip, reference, error)
        return self._locate_other(clip, reference, None)

    def _locate_other(
        self, clip: otio.schema.Clip, active: otio.core.MediaReference, missing: MediaError | None
    ) -> tuple[str, otio.core.MediaReference]:
        """Return another of the clip's media references, which OTIO has for the same content; else search by name."""
        for key, reference in clip.media_references().items():
            link = _link_of(reference) if key != clip.active_media_reference_key else ""
            try:
                if link:
                    return self._finder.find(link), reference
            except MediaError as error:
                missing = missing or error
        if missing is None:
            return self._guess(clip), active
        if missing.code is not Code.MEDIA_MISSING or not self._finder.media_files():
            raise missing
        try:
            return self._guess(clip), active
        except MediaError as guess:
            raise MediaError(missing.message, code=missing.code, advice=guess.advice) from None

    def _guess(self, clip: otio.schema.Clip) -> str:
        path, how = self._guesser.find(hints_of(clip))
        self._guessed.setdefault(how, {})[Path(path).name] = None
        return path

    def notes(self) -> list[str]:
        """Return by what media without a link was found."""
        return [
            f"No link leads to {list_names(list(names), 'files')}: found by {how}."
            for how, names in self._guessed.items()
        ]


def _link_of(reference: otio.core.MediaReference | None) -> str:
    if isinstance(reference, otio.schema.ExternalReference):
        return str(reference.target_url)
    # Resolve keeps the path of offline media in its metadata.
    link = as_mapping(as_mapping(reference.metadata if reference else {}).get(RESOLVE_KEY)).get("Media Url")
    return link if isinstance(link, str) else ""


def _probed(path: str) -> _Media:
    info = probe(path)
    if not info.streams:
        raise MediaError("The media has a picture but no sound.", code=Code.MEDIA_NO_AUDIO)
    if not any(stream.length_samples for stream in info.streams):
        media_facts(MediaSource(path))  # raises the reason
    return _Media(info)


def _zero(used: Span, zero: Ticks | None, stamp: tuple[Ticks, Ticks], length: Ticks) -> tuple[Ticks, str]:
    """Return the clip time of the media's first sample, and what had to be assumed for it.

    OTIO does not define what clip time counts from when `available_range` is null: timecode is used if the clip begins
    inside it, else the file's first sample. The same two are tried where the clip lies outside its available range.
    """
    timecode, day = stamp
    by_timecode = zero_at(used.start, timecode, length, day) if timecode else None
    if zero is not None:
        if used.overlaps(Span(zero, zero + length)):
            return zero, ""
        if by_timecode is not None:
            return by_timecode, "the available range does not fit the media, the file's own timecode does and was used"
        raise MediaError("The clip lies wholly outside its media.", code=Code.MEDIA_OUT_OF_RANGE)
    if by_timecode is not None:
        return by_timecode, "without an available range, the source range was read as the file's timecode"
    if 0 <= used.start < length:
        return (
            0,
            ""
            if not timecode
            else "without an available range, the source range was counted from the start of the file",
        )
    raise MediaError(
        "The clip has no available range and its source range fits neither the file's timecode nor its length.",
        code=Code.CLIP_TIME_AMBIGUOUS,
    )


def _sources(clip: otio.schema.Clip, reference: otio.core.MediaReference, media: _Media) -> tuple[MediaSource, ...]:
    """Return the clip's own channels, else all streams of a file of mono streams, else the first stream."""
    return chosen_sources(clip, reference, media.info) or media.whole


def _snapped(start: Ticks, frame: Ticks, sample_rate: int) -> Ticks:
    """Return a time on the nearest frame where it is less than a sample off: ranges may mix frames and samples."""
    on_frames = nearest_frame(start, frame)
    samples = (on_frames - start) * sample_rate
    return on_frames if -TICKS_PER_SECOND < samples < TICKS_PER_SECOND else start
