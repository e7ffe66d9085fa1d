"""Find where voices speak, by a mark of each, and make stems of their turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from fractions import Fraction

from stemline.api.files import PathText, TimeSpan
from stemline.api.stems import Prompt, Span, Stem, resolve_time
from stemline.api.suggesting import milliseconds, on_timeline, opened_source, used_ranges
from stemline.client import Client, Voice, connect
from stemline.client.hearing import FoundTurns
from stemline.clips import ClipRange, MediaFacts, MediaSource, SampleRange, TimeRange
from stemline.errors import Cancelled, Code, UsageError
from stemline.hosts.base import Host, Selection
from stemline.hosts.edits import EditOptions
from stemline.media import media_facts
from stemline.prompts import merge_ranges
from stemline.workflow.results import Progress

_PROMPT = "speech"
_SHOWN_OVERLAPS = 5

Marks = Mapping[str, Span | Sequence[Span]]
"""A mark, or several, in which each voice alone speaks."""


class VoiceStems(tuple[Stem, ...]):
    """The stems of voices.

    Attributes:
        overlaps: Where two voices speak at once within the turns, in seconds as in the spans of the stems. The stems
            hold both voices there.
    """

    overlaps: tuple[Span, ...] = ()

    def overlaps_json(self) -> list[list[float]]:
        """Return the overlaps as `--json` prints them: start and end in seconds."""
        return [[round(float(Fraction(time)), 3) for time in (span.start, span.end)] for span in self.overlaps]

    def overlap_warning(self) -> str:
        """Return a sentence that names the overlaps; "" if there are none."""
        if not self.overlaps:
            return ""
        shown = [
            f"{float(Fraction(s.start)):.1f}..{float(Fraction(s.end)):.1f}" for s in self.overlaps[:_SHOWN_OVERLAPS]
        ]
        more = f" and {len(self.overlaps) - len(shown)} more" if len(self.overlaps) > len(shown) else ""
        return f"Two voices speak at once at {', '.join(shown)}{more} s; the stem of the louder voice holds both there."


def find_voices(
    source: PathText | Host,
    voices: Marks,
    *,
    server: str | None = None,
    range: TimeSpan | None = None,
    stream: int = 0,
    options: EditOptions = EditOptions(),
    progress: Callable[[Progress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    client: Client | None = None,
) -> VoiceStems:
    """Return a stem for each voice: speech, marked where that voice speaks.

    Mark two seconds or more of each voice that speaks. With a single mark, similar voices are confused more often.
    Where two people speak at once, the turn is that of the louder one, and its stem holds both: see `overlaps` of the
    result.

    Args:
        source: Path of a media file or an edit, or a `stemline.hosts.Host`.
        voices: Name of each voice, and where it alone speaks: times as in `Span`.
        server: Address of the server; None for STEMLINE_SERVER, else the private server.
        range: For a file: start and end of the part to hear, as for `separate`.
        stream: For a file: audio stream, counted from 0.
        options: For an edit: tracks to hear, and where media is found.
        progress: Called with a `Progress`.
        cancelled: Asked with every progress; true stops the work.
        client: Connection to use instead of `server`.

    Returns:
        The stems, for `separate` or `separate_edit`: a tuple with the attribute `overlaps`.

    Raises:
        UsageError: No clip plays at a mark, or a mark has too little speech.
        SeparationError: The extra `voices` is not installed on the server (MODEL_UNAVAILABLE).
        MediaError: A file cannot be read.
        NoServerError: No server can be reached or started.

    Examples:
        >>> import stemline
        >>> try:
        ...     stems = stemline.find_voices("interview.wav", {"guest": stemline.Span(3600, 3602)})
        ... except stemline.UsageError as error:
        ...     print(error.message)
        No clip plays where the voice 'guest' is marked.
    """
    host, _ = opened_source(source, range, stream, options, None)
    clips = host.read_clips(Selection(tuple(options.tracks))).clips
    finder = _Finder(clips, _resolved(voices, clips), progress, cancelled)
    with nullcontext(client) if client is not None else connect(server) as connected:
        spans = finder.find(connected)
    stems = VoiceStems(Stem(name, Prompt(_PROMPT, spans[name])) for name in voices)
    stems.overlaps = tuple(Span(one.start, one.end) for one in merge_ranges(finder.overlaps))
    return stems


def _resolved(voices: Marks, clips: Sequence[ClipRange]) -> dict[str, tuple[TimeRange, ...]]:
    """Return the marks in exact seconds. Timecode is that of the only clip's file. Raises UsageError."""
    if not voices:
        raise UsageError("Name at least one voice.", advice="For example guest=12..15.")
    facts = media_facts(clips[0].source) if len({clip.source for clip in clips}) == 1 else None
    resolved = {}
    for name, marks in voices.items():
        spans = (marks,) if isinstance(marks, Span) else tuple(marks)
        resolved[name] = tuple(TimeRange(resolve_time(s.start, facts), resolve_time(s.end, facts)) for s in spans)
    return resolved


@dataclass(frozen=True, slots=True)
class _Part:
    """A used range of a source."""

    source: MediaSource
    range: SampleRange
    facts: MediaFacts


class _Finder:
    """Finds voices in all media: first where they are marked, then by their embeddings everywhere."""

    def __init__(
        self,
        clips: Sequence[ClipRange],
        marks: Mapping[str, Sequence[TimeRange]],
        progress: Callable[[Progress], None] | None,
        cancelled: Callable[[], bool] | None,
    ) -> None:
        self._clips = clips
        self._marks = marks
        self._progress = progress
        self._cancelled = cancelled
        self._parts = list(_parts(clips))
        self._total_ms = sum(milliseconds(part.range, part.facts) for part in self._parts)
        self._done_ms = 0
        self.overlaps: list[TimeRange] = []

    def find(self, client: Client) -> dict[str, tuple[Span, ...]]:
        """Return where each voice speaks, in seconds of the timeline. Raises StemlineError."""
        known: dict[str, Voice] = {}
        complete: dict[_Part, FoundTurns] = {}
        for part in self._parts:
            marked = self._marked_in(part)
            if new := [voice for voice in marked if voice.name not in known]:
                found = self._hear(client, part, new)
                known |= {voice.name: voice for voice in found.voices}
                if len(new) == len(self._marks):
                    complete[part] = found
        if missing := [name for name in self._marks if name not in known]:
            raise UsageError(
                f"No clip plays where the voice {missing[0]!r} is marked.",
                code=Code.MEDIA_OUT_OF_RANGE,
                advice="Mark a place in which that voice speaks.",
            )
        spans: dict[str, list[TimeRange]] = {name: [] for name in self._marks}
        voices = [Voice(name, centroid=known[name].centroid) for name in self._marks]
        for part in self._parts:
            found = complete.get(part) or self._hear(client, part, voices)
            for voice in found.voices:
                spans[voice.name] += self._on_timeline(part, voice.spans)
            self.overlaps += self._on_timeline(part, found.overlaps)
        # a stem without spans would be all speech
        turns = {name: merge_ranges(heard or list(self._marks[name])) for name, heard in spans.items()}
        return {name: tuple(Span(one.start, one.end) for one in found) for name, found in turns.items()}

    def _hear(self, client: Client, part: _Part, voices: Sequence[Voice]) -> FoundTurns:
        length_ms = milliseconds(part.range, part.facts)

        def show(fraction: float) -> None:
            if self._cancelled is not None and self._cancelled():
                raise Cancelled
            if self._progress is not None:
                done = min(self._done_ms + round(length_ms * fraction), self._total_ms)
                self._progress(Progress("finding voices", done, self._total_ms))

        show(0.0)
        media = client.ensure_media(part.source, part.range, lambda done, total: show(done / max(total, 1) / 2))
        found = client.find_turns(media.name, voices, lambda fraction: show((1 + fraction) / 2), self._cancelled)
        self._done_ms += length_ms
        return found

    def _marked_in(self, part: _Part) -> list[Voice]:
        """Return the voices that are marked where clips play this part."""
        voices = []
        for name, marks in self._marks.items():
            spans = [
                span for clip in self._clips if clip.source == part.source for span in _in_media(clip, marks, part)
            ]
            if spans:
                voices.append(Voice(name, tuple(spans)))
        return voices

    def _on_timeline(self, part: _Part, spans: Sequence[SampleRange]) -> Iterator[TimeRange]:
        for clip in self._clips:
            if clip.source == part.source:
                for span in spans:
                    found = on_timeline(clip, span.shift(part.range.start_sample), part.facts.sample_rate)
                    if found is not None:
                        yield found.resolve(None)


def _parts(clips: Sequence[ClipRange]) -> Iterator[_Part]:
    for source in dict.fromkeys(clip.source for clip in clips):
        facts = media_facts(source)
        used = sorted(clip.source_range for clip in clips if clip.source == source)
        for part in used_ranges(used, facts):
            yield _Part(source, part, facts)


def _in_media(clip: ClipRange, marks: Sequence[TimeRange], part: _Part) -> Iterator[SampleRange]:
    """Yield the samples of a part, counted from its start, that a clip plays at marks of the timeline."""
    speed = clip.source_range.duration / clip.record_range.duration
    for mark in marks:
        start, end = max(mark.start, clip.record_range.start), min(mark.end, clip.record_range.end)
        if start < end:
            times = (clip.source_range.start + (time - clip.record_range.start) * speed for time in (start, end))
            first, last = (int(Fraction(time) * part.facts.sample_rate) for time in times)
            common = SampleRange(first, last).intersect(part.range)
            if common.length > 0:
                yield common.shift(-part.range.start_sample)
