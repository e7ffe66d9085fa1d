"""Define the contract between the server and a tagger, which names the sounds that it hears and their times.

A tagger gets mono sound at the rate that it asks for and returns prompts with a likelihood and spans. It does not know
media files or timelines. It reads the sound in pieces, so memory use does not depend on the length of the media.

To add a tagger, write a class with the members of `Tagger` and register it in your package's metadata. The name of the
entry point must be the tagger's id::

    [project.entry-points."stemline.taggers"]
    birds = "my_package:BirdTagger"

Examples:
    A complete tagger that hears music everywhere:

    >>> class MusicTagger:
    ...     info = TaggerInfo(id="music", title="Music everywhere", revision="music-1", sample_rate=None)
    ...
    ...     def availability(self) -> str:
    ...         return ""
    ...
    ...     def unload(self) -> None:
    ...         pass
    ...
    ...     def tag(self, audio, progress):
    ...         progress(audio.length_samples, audio.length_samples)
    ...         everywhere = SampleRange(0, audio.length_samples)
    ...         return (SoundTag("music", (TaggedSpan(everywhere, 0.5),)),)
    >>> MusicTagger.info.id
    'music'
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from stemline.clips import SampleRange
from stemline_server.engines.base import AudioSource

__all__ = ["AudioSource", "Progress", "SampleRange", "SoundTag", "TaggedSpan", "Tagger", "TaggerInfo"]

Progress = Callable[[int, int], None]
"""Called with finished samples and all samples at every piece; raises `Cancelled`, which the tagger lets pass."""


@dataclass(frozen=True, slots=True)
class TaggedSpan:
    """A stretch of the audio in which a sound is heard.

    Attributes:
        range: The stretch, in samples of the `AudioSource`.
        likelihood: Probability that the sound or a near relative of it occurs there, 0..1.
    """

    range: SampleRange
    likelihood: float


@dataclass(frozen=True, slots=True)
class SoundTag:
    """A sound that a tagger hears.

    Attributes:
        prompt: Words to ask for the sound, such as "dog".
        spans: Where it is heard, in order of time; at least one.
    """

    prompt: str
    spans: tuple[TaggedSpan, ...]

    @property
    def likelihood(self) -> float:
        """Probability that the sound occurs at all, 0..1: that of its likeliest span."""
        return max((span.likelihood for span in self.spans), default=0.0)


@dataclass(frozen=True, slots=True)
class TaggerInfo:
    """Describe a tagger.

    Attributes:
        id: Name by which the tagger is chosen; equals the name of its entry point.
        title: Name for users.
        revision: Changes whenever the same audio could give other tags.
        sample_rate: Sample rate in Hz at which it wants the audio; None for the rate of the media.
        licence: Licences of the code and the weights.
        note: A sentence for users, shown with the title.
    """

    id: str
    title: str
    revision: str
    sample_rate: int | None
    licence: str = ""
    note: str = ""


class Tagger(Protocol):
    """Name the sounds of a media.

    Creating a tagger must be cheap and must not import a machine-learning framework. All methods are called from one
    thread at a time; weights load at the first `tag`.
    """

    @property
    def info(self) -> TaggerInfo:
        """Description of the tagger."""
        ...

    def availability(self) -> str:
        """Return "" if the tagger can run here, else one sentence that says what is missing and how to get it."""
        ...

    def unload(self) -> None:
        """Free the memory that the weights use."""
        ...

    def tag(self, audio: AudioSource, progress: Progress) -> tuple[SoundTag, ...]:
        """Return the sounds of the audio, the likeliest first.

        Args:
            audio: The mix, one channel at `TaggerInfo.sample_rate`.
            progress: Receives the progress; call it at every piece of a few seconds.

        Raises:
            Cancelled: The caller has gone; raised by `progress`.
            SeparationError: The weights are missing or damaged (MODEL_UNAVAILABLE).
        """
        ...
