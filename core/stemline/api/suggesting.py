"""Suggest the sounds that are heard in a media file or an edit."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from stemline.api.files import PathText, TimeSpan, plain_file
from stemline.api.stems import Prompt, Span, Stem
from stemline.client import Client, HeardSound, HeardSounds, connect
from stemline.clips import ClipRange, MediaFacts, MediaSource, SampleRange, Skip, TimeRange
from stemline.crash_reports import report_crash
from stemline.errors import Cancelled, Code, EditError, MediaError, StemlineError, UsageError
from stemline.hosts.base import Host, ReadClips, Selection, TimelineMarker, WritesMarkers
from stemline.hosts.edits import EditOptions, OpenRequest
from stemline.hosts.plain_files import PlainFile
from stemline.hosts.registry import edit_files_for, host_list
from stemline.media import media_facts
from stemline.prompts import name_from_text
from stemline.timebase import format_timecode
from stemline.workflow.results import Progress

_MARGIN_S = 1
_MAX_GAP_S = 5
"""Ranges of a media that are used nearer to each other than this are heard in one piece."""
_MIN_OVERLAP = Fraction(1, 20)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A sound that is heard in a clip.

    Attributes:
        sound: Words to ask for it, such as "dog".
        likelihood: Probability that it occurs, 0 to 1.
        spans: Where it is heard. For a file, times count from its first sample; for an edit, from the start of its
            timeline.
        clip: Name of the clip; for a file, its name.
        track: Name of the clip's track; for a file, its name.
        timecodes: Start of each span as timecode of the edit; empty for a file.

    Examples:
        >>> import stemline
        >>> found = stemline.Suggestion("dog", 0.8, (stemline.Span(1, 2),))
        >>> found.stem().name
        'dog'
    """

    sound: str
    likelihood: float
    spans: tuple[Span, ...]
    clip: str = ""
    track: str = ""
    timecodes: tuple[str, ...] = ()

    def stem(self, *, marks: bool = True) -> Stem:
        """Return a stem that asks for the sound, with its spans as marks unless `marks` is False."""
        return Stem(name_from_text(self.sound), Prompt(self.sound, self.spans if marks else ()))

    def is_heard_in(self, span: Span) -> bool:
        """Return whether it is heard in some part of a span, in seconds."""
        here = span.resolve(None)
        return any(own.resolve(None).overlaps(here) for own in self.spans)

    def to_json(self) -> dict[str, object]:
        """Return the suggestion as `stemline suggest --json` prints it, with times in seconds."""
        return {
            "sound": self.sound,
            "likelihood": round(self.likelihood, 3),
            "spans": [[float(Fraction(span.start)), float(Fraction(span.end))] for span in self.spans],
            "clip": self.clip,
            "track": self.track,
            "timecodes": list(self.timecodes),
        }


@dataclass(frozen=True, slots=True)
class Suggestions:
    """The sounds of a media file or an edit: a spotting list.

    Attributes:
        source: Path of the file or edit.
        sounds: For a file, the likeliest first; for an edit, clip by clip in order of time.
        tagger: Id of the tagger.
        skipped: Clips that could not be heard, with reasons.
        markers: Path of the edit with markers, if one was asked for; else empty.

    Examples:
        >>> import stemline
        >>> found = stemline.suggest("interview.wav")
        >>> [sound.sound for sound in found.sounds]
        ['speech']
    """

    source: str
    sounds: tuple[Suggestion, ...]
    tagger: str
    skipped: tuple[Skip, ...] = ()
    markers: str = ""


def suggest(
    source: PathText | Host,
    *,
    tagger: str = "",
    server: str | None = None,
    range: TimeSpan | None = None,
    stream: int = 0,
    options: EditOptions = EditOptions(),
    markers: PathText | None = None,
    progress: Callable[[Progress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    client: Client | None = None,
) -> Suggestions:
    """Return the sounds that are heard in a media file, or in each clip of an edit.

    Args:
        source: Path of a media file or an edit, or a `stemline.hosts.Host`.
        tagger: Id of the tagger; empty for the best one that can run on the server.
        server: Address of the server; None for STEMLINE_SERVER, else the private server.
        range: For a file: start and end of the part to hear, as for `separate`.
        stream: For a file: audio stream, counted from 0.
        options: For an edit: tracks to hear, and where media is found.
        markers: For an edit: path of an OTIO file to write, a copy of the edit with a marker for each span.
        progress: Called with a `Progress`.
        cancelled: Asked with every progress; true stops the work.
        client: Connection to use instead of `server`.

    Returns:
        The sounds with their likelihoods and times. Only likely ones are listed, and quiet sounds are often missed.

    Raises:
        UsageError: A setting that does not fit the source, or an unknown tagger (MODEL_UNKNOWN).
        MediaError: The file cannot be read.
        EditError: The edit cannot be read, or none of its clips can be heard.
        OutputError: The markers cannot be written.
        NoServerError: No server can be reached or started.

    Examples:
        >>> import stemline
        >>> found = stemline.suggest("interview.wav")
        >>> found.sounds[0].stem().prompt.text
        'speech'
    """
    target = None if markers is None else Path(markers).absolute()
    host, name = opened_source(source, range, stream, options, target)
    is_file = isinstance(host, PlainFile)
    read = host.read_clips(Selection(tuple(options.tracks)))
    listener = _Listener(tagger, progress, cancelled)
    with nullcontext(client) if client is not None else connect(server) as connected:
        heard = listener.hear(connected, read)
    sounds = tuple(_suggestions(read, heard, is_file=is_file))
    skipped = (*read.skipped, *listener.skipped)
    written = _write_markers(host, sounds, read) if target is not None else ""
    return Suggestions(name, sounds, listener.tagger, skipped, written)


def opened_source(
    source: PathText | Host, range: TimeSpan | None, stream: int, options: EditOptions, target: Path | None
) -> tuple[Host, str]:
    """Return the host of a source, and its name. Raises StemlineError."""
    if not isinstance(source, str | os.PathLike):
        return source, source.capabilities.name
    path = Path(source).absolute()
    if not host_list().is_edit(path):
        if target is not None:
            raise UsageError("Markers are written for an edit.", advice="Omit them for a media file.")
        return plain_file(path, range, stream), str(path)
    if range is not None or stream:
        raise UsageError("range and stream are for media files.", advice="Omit them for an edit.")
    result = target or path.with_name(f"{path.stem}.sounds.otio")
    request = OpenRequest(path, result, options, "", result.with_suffix(".media"))
    return edit_files_for(path).open_edit(request), str(path)


@dataclass(frozen=True, slots=True)
class _Heard:
    """What was heard in a range of a source."""

    range: SampleRange
    sample_rate: int
    sounds: tuple[HeardSound, ...]


class _Listener:
    """Hears the used ranges of all media, one after the other."""

    def __init__(
        self, tagger: str, progress: Callable[[Progress], None] | None, cancelled: Callable[[], bool] | None
    ) -> None:
        self.tagger = tagger
        self.skipped: list[Skip] = []
        self._asked = tagger
        self._progress = progress
        self._cancelled = cancelled
        self._done_ms = self._total_ms = 0

    def hear(self, client: Client, read: ReadClips) -> dict[MediaSource, list[_Heard]]:
        """Return what is heard in each source. Raises StemlineError if no clip can be heard."""
        extents = self._extents(read.clips)
        self._total_ms = sum(milliseconds(part, facts) for facts, parts in extents.values() for part in parts)
        heard: dict[MediaSource, list[_Heard]] = defaultdict(list)
        failure: StemlineError | None = None
        for source, (facts, parts) in extents.items():
            for part in parts:
                try:
                    found = self._hear_part(client, source, part, facts)
                except MediaError as error:
                    failure = error
                    self._skip(read.clips, source, error)
                    break
                heard[source].append(_Heard(part, facts.sample_rate, found.sounds))
                self.tagger = found.tagger
        if not heard:
            raise failure or EditError("No clip of the edit can be heard.", code=Code.EDIT_NO_CLIPS)
        return heard

    def _hear_part(self, client: Client, source: MediaSource, part: SampleRange, facts: MediaFacts) -> HeardSounds:
        length_ms = milliseconds(part, facts)

        def show(stage: str, fraction: float) -> None:
            if self._cancelled is not None and self._cancelled():
                raise Cancelled
            if self._progress is not None:
                self._progress(Progress(stage, self._done_ms + round(length_ms * fraction), self._total_ms))

        show("reading", 0.0)
        media = client.ensure_media(source, part, lambda done, total: show("reading", done / max(total, 1) / 2))
        found = client.hear(
            media.name, self._asked, lambda fraction: show("listening", (1 + fraction) / 2), self._cancelled
        )
        self._done_ms += length_ms
        show("listening", 0.0)
        return found

    def _extents(self, clips: Sequence[ClipRange]) -> dict[MediaSource, tuple[MediaFacts, list[SampleRange]]]:
        """Return the ranges of each source that clips use, with a margin, near ones joined."""
        extents = {}
        for source in dict.fromkeys(clip.source for clip in clips):
            try:
                facts = media_facts(source)
            except MediaError as error:
                if len(clips) == 1:
                    raise
                self._skip(clips, source, error)
                continue
            except Exception as error:  # noqa: BLE001 - media is untrusted: one file must not stop the others
                self._skip(clips, source, report_crash(error))
                continue
            used = sorted(clip.source_range for clip in clips if clip.source == source)
            extents[source] = facts, list(used_ranges(used, facts))
        return extents

    def _skip(self, clips: Sequence[ClipRange], source: MediaSource, error: StemlineError) -> None:
        self.skipped += [
            Skip(clip.name, clip.track, clip.record_range.start, error.code, str(error))
            for clip in clips
            if clip.source == source
        ]


def used_ranges(used: Sequence[TimeRange], facts: MediaFacts) -> Iterator[SampleRange]:
    """Yield the samples of a media that sorted ranges use, with a margin of a second and near ones joined."""
    rate = facts.sample_rate
    current: SampleRange | None = None
    for span in used:
        first = max(0, int((span.start - _MARGIN_S) * rate))
        last = min(facts.length_samples, -int(-(span.end + _MARGIN_S) * rate))
        if last <= first:
            continue
        if current is not None and first <= current.end_sample + _MAX_GAP_S * rate:
            current = SampleRange(current.start_sample, max(current.end_sample, last))
            continue
        if current is not None:
            yield current
        current = SampleRange(first, last)
    if current is not None:
        yield current


def _suggestions(read: ReadClips, heard: dict[MediaSource, list[_Heard]], *, is_file: bool) -> Iterator[Suggestion]:
    rate = next((clip.frame_rate for clip in read.clips if clip.frame_rate is not None), None)
    for clip in sorted(read.clips, key=lambda clip: (clip.record_range.start, clip.track)):
        found = [one for part in heard.get(clip.source, []) for one in _in_clip(clip, part)]
        for suggestion in sorted(found, key=lambda one: -one.likelihood):
            timecodes: tuple[str, ...] = ()
            if rate is not None and not is_file:
                timecodes = tuple(_timecode(Fraction(span.start), rate, read) for span in suggestion.spans)
            yield replace(suggestion, clip=clip.name, track=clip.track, timecodes=timecodes)


def _in_clip(clip: ClipRange, part: _Heard) -> Iterator[Suggestion]:
    """Yield the sounds of a part of the media that a clip plays, at times of the timeline."""
    for sound in part.sounds:
        found = [
            (span.likelihood, on_timeline(clip, span.range.shift(part.range.start_sample), part.sample_rate))
            for span in sound.spans
        ]
        heard = [(likelihood, span) for likelihood, span in found if span is not None]
        if heard:
            spans = tuple(span for _, span in heard)
            yield Suggestion(sound.prompt, max(likelihood for likelihood, _ in heard), spans)


def on_timeline(clip: ClipRange, samples: SampleRange, sample_rate: int) -> Span | None:
    """Return when a clip plays these samples of its media, in seconds of the timeline; None if it does not."""
    start = max(Fraction(samples.start_sample, sample_rate), clip.source_range.start)
    end = min(Fraction(samples.end_sample, sample_rate), clip.source_range.end)
    if end - start < _MIN_OVERLAP:
        return None
    speed = clip.record_range.duration / clip.source_range.duration
    first, last = (clip.record_range.start + (time - clip.source_range.start) * speed for time in (start, end))
    return Span(first, last)


def _write_markers(host: Host, sounds: Sequence[Suggestion], read: ReadClips) -> str:
    """Write the edit with a marker for each span; return its path. Raises OutputError, EditError."""
    if not isinstance(host, WritesMarkers):
        raise EditError(f"The host {host.capabilities.name} cannot write markers.", advice="Use --csv or --json.")
    markers = [
        TimelineMarker(
            one.sound, TimeRange(Fraction(span.start), Fraction(span.end)), f"{one.clip}, {one.likelihood:.0%}"
        )
        for one in sounds
        for span in one.spans
    ]
    return host.write_markers(markers)


def _timecode(time: Fraction, rate: Fraction, read: ReadClips) -> str:
    return format_timecode(int((read.timeline_start + time) * rate), rate, drop_frame=read.drop_frame)


def milliseconds(part: SampleRange, facts: MediaFacts) -> int:
    """Return the length of a range."""
    return part.length * 1000 // facts.sample_rate
