"""Settings of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stemline.errors import UsageError
from stemline.hosts.base import Selection
from stemline.options import (
    C2PA,
    CHANNELS,
    FORMATS,
    MARK,
    MAX_PRIORITY,
    MAX_REASON,
    MAX_SEED,
    PLAYS,
    QUALITIES,
    RECORD_PATHS,
    RECORD_WORDS,
    SIGN,
    check_choice,
)
from stemline.plan import PlanSettings
from stemline.workflow.replacing import Replace, check_gain

MAX_PICTURES_PER_SECOND = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How sound is separated, for files and edits alike.

    Attributes:
        server: Address of the server: HOST:PORT on this machine, or https://HOST:PORT. None uses the one in
            STEMLINE_SERVER, else this user's private server, which starts on demand.
        model: Model id, as `stemline models` lists it; empty for the server's default.
        seed: Seed of models that draw noise, from 0 to 2**64 - 1.
        quality: "fast", "standard" or "best".
        channels: "linked" (one estimate for all channels), "each" (every channel by itself) or "mono" (fold-down).
        sample_format: "wav24", "wav32f" or "flac"; None writes 24-bit WAV, and 32-bit float for media with more bits.
        chain: Take each stem from what the stems before it left of the mix.
        overwrite: Replace results that exist already.
        accept_peaks: Separate media with a peak of more than 60 dB over full scale; else it is refused
            (MEDIA_PEAK_TOO_HIGH).
        priority: Jobs of a higher priority run first.
        pictures_per_second: How many pictures of a second of sound a prompt with a box or a mask sends, up to 60; 0 for
            what the server wants, 25 on a GPU and 4 on a CPU.
        tracker: Id of the tracker that follows the object of a box, as `stemline models --trackers` lists it; empty for
            `corners`, which needs no weights.
        reason: Why the sounds are needed, for servers whose policy asks; it is in their log and in the records.
        record_paths: How records, edits and reports name media: by "name", by "full" path, or not at all ("omit").
        record_words: How they name prompts: in "full", as a "hash" with a key of this installation, or not ("omit").
        sign: Whether records are signed with the key of this installation: "auto" where there is one, "never", or
            "require", which refuses to run without one and writes unsigned files of earlier runs again.
        c2pa: Whether stem files also get Content Credentials, which need the signing key and the package `c2pa-python`:
            "auto" where both are there, "never", or "require", which refuses to run or to write a file without.
        mark: Whether sounds that a model made from words get the mark of this installation, which `stemline.detect`
            finds: "auto" or "never". Nothing else is ever marked.
        remix: Gains in dB by stem name, or "residual"; minus infinity removes a stem, and stems that are not named
            stay as they are, or are off where `replace` names them. Adds one file, `remix`, beside the stems.
        replace: What takes the place of a removed stem, by stem name.

    Raises:
        UsageError: A value that no run accepts.

    Examples:
        >>> import stemline
        >>> settings = stemline.Settings(quality="best", sample_format="flac")
        >>> stemline.Settings(quality="fine")
        Traceback (most recent call last):
        ...
        stemline.errors.UsageError: quality must be one of fast, standard, best, not 'fine'.
    """

    server: str | None = None
    model: str = ""
    seed: int = 0
    quality: str = "standard"
    channels: str = "linked"
    sample_format: str | None = None
    chain: bool = False
    overwrite: bool = False
    accept_peaks: bool = False
    priority: int = 0
    pictures_per_second: int = 0
    tracker: str = ""
    reason: str = ""
    record_paths: str = "name"
    record_words: str = "full"
    sign: str = "auto"
    c2pa: str = "auto"
    mark: str = "auto"
    remix: Mapping[str, float] = field(default_factory=dict)
    replace: Mapping[str, Replace] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the values. Raises UsageError."""
        check_choice("quality", self.quality, QUALITIES)
        check_choice("channels", self.channels, CHANNELS)
        check_choice("record_paths", self.record_paths, RECORD_PATHS)
        check_choice("record_words", self.record_words, RECORD_WORDS)
        check_choice("sign", self.sign, SIGN)
        check_choice("c2pa", self.c2pa, C2PA)
        check_choice("mark", self.mark, MARK)
        check_choice("sample_format", self.sample_format, (None, *FORMATS))
        if len(self.reason) > MAX_REASON or not self.reason.isprintable():
            raise UsageError(f"A reason has up to {MAX_REASON} printable characters.")
        if not 0 <= self.seed <= MAX_SEED:
            raise UsageError(f"seed must be a whole number from 0 to {MAX_SEED}, not {self.seed}.")
        if abs(self.priority) > MAX_PRIORITY:
            raise UsageError(f"priority must be -{MAX_PRIORITY} to {MAX_PRIORITY}, not {self.priority}.")
        if not 0 <= self.pictures_per_second <= MAX_PICTURES_PER_SECOND:
            raise UsageError(
                f"pictures_per_second must be 0 to {MAX_PICTURES_PER_SECOND}, not {self.pictures_per_second}."
            )
        for name, gain_db in self.remix.items():
            check_gain(gain_db, f"the amount of {name!r}", silence=True)


@dataclass(frozen=True, slots=True)
class RunSettings(Settings):
    """Everything that a run needs besides the host and the stems.

    With `checkerboard` neighbours never share a stem track. `audition_s` above 0 separates only so many seconds from
    the start of each clip and writes no tracks. Raises UsageError for a value that no run accepts.
    """

    output_dir: Path
    selection: Selection = field(default_factory=Selection)
    plan: PlanSettings = field(default_factory=PlanSettings)
    play: str = "all"
    checkerboard: bool = False
    disable_originals: bool = True
    audition_s: int = 0

    def __post_init__(self) -> None:
        """Check the values. Raises UsageError."""
        Settings.__post_init__(self)
        check_choice("play", self.play, PLAYS)
        if self.audition_s < 0:
            raise UsageError(f"audition_s must be 0 or more, not {self.audition_s}.")
