"""What a run reports: progress, notices, outcomes by clip, and estimates."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction

from stemline.clips import MediaSource, SampleRange, Skip, TimeRange
from stemline.timebase import format_timecode, round_half_up


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Attributes:
        stage: What the run does now, in words for people.
        done: Milliseconds of media done, counted once for each stem to separate and once for writing.
        total: The same for the whole run.
        speed: Seconds of media per second so far; 0 where nothing had to be done.
        left_s: Seconds that the rest is expected to take; None where that is not known yet.

    Examples:
        >>> import stemline
        >>> stemline.Progress("separating", 500, 2000).fraction
        0.25
    """

    stage: str
    done: int
    total: int
    speed: float = 0.0
    left_s: float | None = None

    @property
    def fraction(self) -> float:
        """Return the part of the run that is done, from 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 1.0


@dataclass(frozen=True, slots=True)
class Null:
    """The null of a set of files: what remains of mix - sum(stems) - residual when they are read back.

    Attributes:
        peak: The largest absolute sample.
        dbfs: The same in dBFS.
    """

    peak: float
    dbfs: float

    @classmethod
    def of(cls, peak: float) -> Null:
        """Return the null for a peak. The dBFS are at least -240."""
        return cls(peak, round(max(-240.0, 20 * math.log10(peak)), 1) if peak > 0 else -240.0)

    def as_dict(self) -> dict[str, float]:
        """Return the JSON form."""
        return {"peak": self.peak, "dbfs": self.dbfs}


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that the user should know about one stem of one clip. The run went on.

    Attributes:
        clip: Name of the clip.
        stem: Name of the stem.
        code: The stable reason.
        message: One sentence.
        clip_id: The host's name for the clip, as names of clips repeat.
    """

    clip: str
    stem: str
    code: str
    message: str
    clip_id: str = ""


@dataclass(frozen=True, slots=True)
class StemOutcome:
    """One stem file of one clip.

    Attributes:
        stem: Name of the stem.
        prompt: Words of its prompt.
        path: Path of the file.
        found: Whether the sound was found; the file is silent where it was not.
        confidence: How sure the model is, from 0 to 1.
        matched: What the model took the words for.
        waveform: Largest absolute sample of each column of a picture, in thousandths of full scale.

    Examples:
        >>> import stemline
        >>> stem = stemline.separate("interview.wav", {"dialogue": "speech"}, output="out").stems[0]
        >>> stem.stem, stem.found
        ('dialogue', True)
    """

    stem: str
    prompt: str
    path: str
    found: bool
    confidence: float
    matched: str
    waveform: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class DerivedOutcome:
    """A remix or a fill of one clip, which is no part of the sum. `waveform` is as in `StemOutcome`."""

    name: str
    path: str
    waveform: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ClipPlace:
    """Where a clip lies in its edit, in its media and in its stem files.

    Attributes:
        source: The sound that it plays.
        file_range: The samples of the media that each stem file holds, handles included.
        clip_range: The samples of the media that the clip plays.
        record_range: Its range on the timeline, in seconds from the first frame.
        timeline_start: Timecode of the timeline's first frame, in seconds.
        frame_rate: Frame rate of the edit; None where it is not known.
        drop_frame: Whether the edit counts in drop-frame timecode.
    """

    source: MediaSource
    file_range: SampleRange
    clip_range: SampleRange
    record_range: TimeRange
    timeline_start: Fraction = Fraction(0)
    frame_rate: Fraction | None = None
    drop_frame: bool = False

    @property
    def record_frame(self) -> int | None:
        """Return the frame of the clip's start, counted from timecode 00:00:00:00; None without a frame rate."""
        if self.frame_rate is None:
            return None
        return round_half_up((self.timeline_start + self.record_range.start) * self.frame_rate)

    @property
    def record_timecode(self) -> str:
        """Return the timecode at which the clip starts in the edit; empty without a frame rate."""
        frame, rate = self.record_frame, self.frame_rate
        return "" if frame is None or rate is None else format_timecode(frame, rate, drop_frame=self.drop_frame)


@dataclass(frozen=True, slots=True)
class ClipOutcome:
    """One clip of an edit and its files.

    Attributes:
        clip_id: The host's name for the clip.
        name: Name of the clip.
        track: Name of its track.
        record_start: Start on the timeline in seconds, as a fraction.
        media: Path of its media.
        sample_rate: Samples per second of the media and of every stem.
        channels: Channels of every stem.
        length_samples: Samples of every stem file, handles included.
        seed: Seed that the model ran with.
        model: Id of the model that ran.
        null: Largest sample of mix - sum(stems) - residual, measured on the written files.
        stems: The stems in the order in which they were asked for.
        residual: Path of the file with everything that is in no stem.
        mix_waveform: Picture of the clip's sound, as in `StemOutcome`.
        residual_waveform: Picture of the residual.
        reused: Whether the files of an earlier run were reused.
        engine_s: Seconds that the model computed; 0 where nothing had to be computed.
        elapsed_s: Seconds that the clip took.
        place: Where it lies in the edit, in its media and in its stem files.
        derived: Its remix and fills.

    Examples:
        >>> import stemline
        >>> clip = stemline.separate_edit("edit.otio", {"dialogue": "speech"}, output="out").clips[0]
        >>> clip.name, clip.track, clip.null.dbfs
        ('interview', 'A1', -240.0)
    """

    clip_id: str
    name: str
    track: str
    record_start: str
    media: str
    sample_rate: int
    channels: int
    length_samples: int
    seed: int
    model: str
    null: Null
    stems: tuple[StemOutcome, ...]
    residual: str
    mix_waveform: tuple[int, ...]
    residual_waveform: tuple[int, ...]
    reused: bool
    engine_s: float
    elapsed_s: float
    place: ClipPlace
    derived: tuple[DerivedOutcome, ...] = ()

    @property
    def speed(self) -> float:
        """Return seconds of media per second of computing; 0 where nothing was computed."""
        return self.length_samples / self.sample_rate / self.engine_s if self.engine_s > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Failure:
    """A clip whose separation failed.

    Attributes:
        clip: Name of the clip.
        track: Name of its track.
        record_start: Exact seconds of the timeline, as a fraction.
        code: The stable reason.
        message: One sentence that says what is wrong.
        advice: What to do about it; may be empty.
    """

    clip: str
    track: str
    record_start: str
    code: str
    message: str
    advice: str = ""

    @property
    def sentence(self) -> str:
        """Message and advice in one line."""
        return f"{self.message} {self.advice}".rstrip()

    def to_json(self) -> dict[str, str]:
        """Return code, message and advice, as every JSON output of Stemline shows an error."""
        return {"code": str(self.code), "message": self.message, "advice": self.advice}


@dataclass(frozen=True, slots=True)
class RunResult:
    """The result of a run, clip by clip. `output` is the edit that was written; empty where none was."""

    clips: tuple[ClipOutcome, ...]
    skipped: tuple[Skip, ...]
    failed: tuple[Failure, ...]
    notices: tuple[Notice, ...]
    tracks: tuple[str, ...]
    output: str
    notes: tuple[str, ...]
    model: str
    audio_s: float
    elapsed_s: float
    engine_s: float

    @property
    def null(self) -> Null:
        """The worst null of all clips."""
        return max((clip.null for clip in self.clips), key=lambda null: null.peak, default=Null.of(0.0))


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run needs.

    Attributes:
        audio_s: Seconds of sound to separate.
        jobs: Number of different computations.
        files: Number of files to write.
        output_bytes: Their size.
        cache_bytes: Size of the stems in the server's store.
        free_bytes: What is free on the disk of the files.
        engine_s: Seconds of computing; None if the model has never run on this machine.
        skipped: Clips that are not separated.
        write_s: Seconds for writing the files and measuring the null on them.

    Examples:
        >>> import stemline
        >>> stemline.estimate("interview.wav", {"dialogue": "speech"}, output="out").audio_s
        2.0
    """

    audio_s: float
    jobs: int
    files: int
    output_bytes: int
    cache_bytes: int
    free_bytes: int
    engine_s: float | None = None
    skipped: tuple[Skip, ...] = field(default=())
    write_s: float = 0.0

    @property
    def total_s(self) -> float | None:
        """Return the time of computing and writing; None if the model has never run on this machine."""
        return None if self.engine_s is None else self.engine_s + self.write_s
