"""Suggest where an object in the picture sounds: onsets of the sound at the moments when the object stops sharply."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from stemline.api.files import PathText, TimeSpan
from stemline.api.stems import Span, mask_from_start
from stemline.api.suggesting import Suggestion, opened_source
from stemline.clips import ClipRange, TimeRange
from stemline.errors import Cancelled, Code, UsageError
from stemline.fill.onsets import event_onsets
from stemline.hosts.base import Host, Selection
from stemline.hosts.edits import EditOptions
from stemline.hosts.plain_files import PlainFile
from stemline.media import open_audio
from stemline.media.event_bounds import find_event_bounds
from stemline.media.pictures.frames import FrameReader
from stemline.media.pictures.masks import scaled_mask
from stemline.media.pictures.tracking import TRACKED_PIXELS, Mask
from stemline.prompts import Box
from stemline.prompts import Mask as MaskFiles
from stemline.workflow.results import Progress
from stemline.workflow.shown_object import ShownObject, masks_of_shown, shown_in

_NEAR_S = 0.07
_LONGEST_S = 0.5
_BLOCK_S = 10
_MAX_S = 600

ADVICE = (
    "Check each place: with one wrong or missing, the stem can be worse than without any. "
    "A picture finds struck things in sync, such as hammers, drums, steps and doors; it says nothing about speech, "
    "engines or wind."
)
"""What a picture can do for a model that takes none, and what it cannot."""


@dataclass(frozen=True, slots=True)
class ObjectSpans:
    """Where an object in the picture may sound. Nothing is used before you put the spans into a prompt.

    Attributes:
        spans: The places: for a file in seconds from its first sample, for an edit from the start of its timeline.
        stops: How often the object stops sharply.
        onsets: How many sounds begin in the same time, those of other things included.

    Examples:
        >>> import stemline
        >>> found = stemline.ObjectSpans((stemline.Span(1, 1.3),), stops=1, onsets=4)
        >>> stemline.Prompt("hammer", found.spans).spans[0].start
        Fraction(1, 1)
    """

    spans: tuple[Span, ...]
    stops: int
    onsets: int

    def words(self, heard: Sequence[Suggestion]) -> tuple[Suggestion, ...]:
        """Return the sounds that are heard at some of the places, those at most places first."""
        counts = [sum(map(sound.is_heard_in, self.spans)) for sound in heard]
        order = sorted(zip(counts, heard, strict=True), key=lambda pair: (-pair[0], -pair[1].likelihood))
        return tuple(sound for count, sound in order if count)

    @property
    def text(self) -> str:
        """The result in a sentence."""
        if self.spans:
            places = "One place" if len(self.spans) == 1 else f"{len(self.spans)} places"
            return f"{places} where the object stops and a sound begins."
        if not self.stops:
            return "The object never stops sharply, so the picture does not show where it sounds."
        return "No sound begins where the object stops, so the picture does not show where it sounds."


def suggest_spans(
    source: PathText | Host,
    shown: Box | MaskFiles,
    *,
    range: TimeSpan | None = None,
    stream: int = 0,
    tracker: str = "",
    options: EditOptions = EditOptions(),
    progress: Callable[[Progress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> ObjectSpans:
    """Return where an object in the picture may sound, as spans for a prompt of any model.

    The object is followed, and an onset of the sound within 70 ms of a sharp stop of the object is suggested. This
    finds struck things in sync with their sound. It does not work for speech, engines or wind, and a few wrong spans
    can make a stem worse than none: check them.

    Args:
        source: Path of a media file or an edit, or a `stemline.hosts.Host`. In an edit the first clip counts that
            shows the object.
        shown: A box around the object in one frame, or masks of it.
        range: For a file: start and end of the part to look at, as for `separate`; at most 10 minutes.
        stream: For a file: audio stream, counted from 0.
        tracker: Id of the tracker; empty for `corners`.
        options: For an edit: tracks, and where media is found.
        progress: Called with a `Progress`.
        cancelled: Asked between frames; true stops the work.

    Raises:
        UsageError: No clip shows the object, or the clip is too long.
        MediaError: The picture or the sound cannot be read.
        EditError: The edit cannot be read.

    Examples:
        >>> import stemline
        >>> try:
        ...     stemline.suggest_spans("interview.wav", stemline.Box(10, 10, 30, 30, percent=True))
        ... except stemline.MediaError as error:
        ...     print(error.message.endswith("has no picture."))
        True
    """
    host, _ = opened_source(source, range, stream, options, None)
    clips = host.read_clips(Selection(tuple(options.tracks))).clips
    box, masks = (shown, None) if isinstance(shown, Box) else (None, shown)
    if masks is not None and isinstance(host, PlainFile):
        masks = mask_from_start(masks)
    place = _place_of(box, masks, clips)
    clip = place.clip

    def stop() -> bool:
        if cancelled is not None and cancelled():
            raise Cancelled
        return False

    def frames() -> Iterator[tuple[Fraction, npt.NDArray[np.uint8], Mask | None]]:
        played = clip.source_range
        with (
            FrameReader(clip.source.path, longest=TRACKED_PIXELS, stop=stop) as reader,
            masks_of_shown(place, reader, tracker, stop) as source_of_masks,
        ):
            for frame in reader.in_order(played.start, played.end):
                if progress is not None:
                    share = (frame.time - played.start) / played.duration
                    progress(Progress("looking at the object", max(0, int(1000 * share)), 1000))
                mask = source_of_masks.at(frame.time)
                yield frame.time, frame.pixels, None if mask is None else scaled_mask(mask, *frame.pixels.shape[:2])

    from stemline.media.pictures.motion import relative_speeds, sharp_stops  # noqa: PLC0415 - an optional package

    stops = sharp_stops(*relative_speeds(frames()))
    events = list(_events(clip, stop))
    spans = [event for event in events if any(abs(float(event.start) - moment) <= _NEAR_S for moment in stops)]
    return ObjectSpans(tuple(_on_timeline(clip, span) for span in spans), len(stops), len(events))


def _place_of(box: Box | None, masks: MaskFiles | None, clips: Sequence[ClipRange]) -> ShownObject:
    """Return where the first clip that shows the object does so. Raises UsageError for none, and for a long one."""
    place = next((one for clip in clips if (one := shown_in(clip, box, masks)) is not None), None)
    if place is None:
        raise UsageError("No clip shows the object.", advice="Check the time of the box, or the names of the masks.")
    if place.clip.source_range.duration > _MAX_S:
        raise UsageError(
            f"The clip is longer than {_MAX_S // 60} minutes.",
            code=Code.PROMPT_UNSUPPORTED,
            advice="Choose a part of it with --in and --out, or range=.",
        )
    return place


def _events(clip: ClipRange, stop: Callable[[], bool]) -> Iterator[TimeRange]:
    """Yield where sounds begin and where they have decayed, at most half a second later, in seconds of the media."""
    played = clip.source_range
    with open_audio(clip.source) as reader:
        rate = reader.sample_rate
        first, last = round(played.start * rate), min(reader.length_samples, round(played.end * rate))
        parts = []
        for start in range(first, last, _BLOCK_S * rate):
            stop()
            parts.append(reader.read(start, min(last, start + _BLOCK_S * rate)).mean(axis=0, keepdims=True))
    if not parts:
        return
    sound = np.concatenate(parts, axis=1)
    onsets = event_onsets(sound, rate) if sound.any() else []
    for onset, following in zip(onsets, [*onsets[1:], sound.shape[1]], strict=True):
        piece = sound[:, onset : min(following, onset + round(_LONGEST_S * rate))]
        bounds = find_event_bounds(piece, rate, round(0.01 * rate))
        end = onset + (bounds.end_sample if bounds is not None else piece.shape[1])
        yield TimeRange(Fraction(first + onset, rate), Fraction(first + max(end, onset + rate // 20), rate))


def _on_timeline(clip: ClipRange, span: TimeRange) -> Span:
    """Return a span of the media at times of the timeline, in whole milliseconds."""
    speed = clip.record_range.duration / clip.source_range.duration
    start, end = (clip.record_range.start + (time - clip.source_range.start) * speed for time in (span.start, span.end))
    return Span(Fraction(round(start * 1000), 1000), Fraction(round(end * 1000), 1000))
