"""Define the contract between the server and a separation engine.

An engine takes sound and prompts and returns one waveform for each prompt. It does not know jobs, files, timelines or
channel layouts: the server decodes and resamples the media before the engine runs, and writes the stems after it.
An engine reads the audio it needs from an `AudioSource` and yields its output in blocks, so memory use does not depend
on the length of the media.

To add an engine, write a class with the members of `Engine` and register it in your package's metadata. The name of
the entry point must be the engine's id::

    [project.entry-points."stemline.engines"]
    halve = "my_package:HalveEngine"

Engine ids that end in `.VARIANT` select one of several models: a static method `variants()` of the class lists them,
and the server then calls the class with the variant as its only argument.

All data classes here are frozen and can be pickled, so an engine may run in another process than the server.

Examples:
    A complete engine that returns half of the mix for every prompt:

    >>> from stemline.errors import Code, UsageError
    >>> class HalveEngine:
    ...     info = EngineInfo(id="halve", title="Half of the mix", revision="halve-1", sample_rate=None)
    ...
    ...     def availability(self) -> str:
    ...         return ""
    ...
    ...     def check(self, prompt: EnginePrompt) -> None:
    ...         if not prompt.text:
    ...             raise UsageError("The prompt is empty.", code=Code.PROMPT_EMPTY)
    ...
    ...     def load(self, device: str) -> None:
    ...         pass
    ...
    ...     def unload(self) -> None:
    ...         pass
    ...
    ...     def separate(self, request: EngineRequest, control: Control) -> Iterator[Waveform]:
    ...         length = request.audio.length_samples
    ...         for start in range(0, length, 48_000):
    ...             control.step(start, length)
    ...             mix = request.audio.read(start, min(start + 48_000, length))
    ...             yield np.stack([0.5 * mix for _ in request.prompts])
    ...         for number, prompt in enumerate(request.prompts):
    ...             control.find(number, Finding(found=True, confidence=1.0, matched=prompt.text))
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from stemline.prompts import SamplePrompt

Waveform = npt.NDArray[np.float32]
"""Samples as float32 [channels, samples], full scale 1.0."""


# What the server gives to an engine


class AudioSource(Protocol):
    """Random access to the audio that is to be separated."""

    @property
    def sample_rate(self) -> int:
        """Sample rate in Hz. It equals `EngineInfo.sample_rate` unless that is None."""
        ...

    @property
    def channels(self) -> int:
        """Number of channels; 1 unless `EngineInfo.multichannel` is set."""
        ...

    @property
    def length_samples(self) -> int:
        """Length in samples."""
        ...

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        """Return samples [start_sample, end_sample) as [channels, samples].

        Args:
            start_sample: First sample, at least 0.
            end_sample: End of the range, at most `length_samples`.

        Returns:
            Finite values only. Do not change the array in place: it may be a view.
        """
        ...


class PictureSource(Protocol):
    """The masked pictures of a sound's source over time, read one by one. Pickling keeps the path of their file.

    Each entry has a time and a picture; equal pictures are stored once. The pictures show the object as in the media
    and black elsewhere; a picture without the object is all black. There may be more or fewer entries than an engine
    needs, and their times need not be even: take the nearest entry to each time.
    """

    @property
    def size(self) -> int:
        """Pixels on each side of a picture."""
        ...

    @property
    def times(self) -> Sequence[Fraction]:
        """Time of each entry in seconds after the first sample of the audio, rising; at least one."""
        ...

    @property
    def picture_of(self) -> npt.NDArray[np.uint32]:
        """Index of the stored picture of each entry, [entries]."""
        ...

    @property
    def pictures(self) -> int:
        """How many pictures are stored."""
        ...

    def entry_at(self, time: Fraction) -> int:
        """Return the index of the entry nearest to `time`, the earlier one of two at the same distance."""
        ...

    def read(self, picture: int) -> npt.NDArray[np.uint8]:
        """Return the stored picture of that index as uint8 [size, size, 3]: RGB, rows from the top."""
        ...


@dataclass(frozen=True, slots=True)
class EnginePrompt(SamplePrompt):
    """Describe one sound to separate, by a text, by marked spans, by visual features or by several of these.

    Attributes:
        text: Name of the sound, such as "dog barking". Empty if the sound is described in another way.
        plus: Spans that contain the sound, in samples of the `AudioSource`. They lie within its length.
        minus: Spans that do not contain the sound.
        visual: Features of pictures of the sound's source, [pictures, width], in order of time and evenly
            spaced over the audio; None for no pictures.
        mask: Name of the picture track that shows the source of the sound, which identifies its content; only for an
            engine with `EngineInfo.pictures`.
        pictures: That picture track. None without a mask, and in `Engine.check`, where no file is open.
    """

    visual: npt.NDArray[np.floating[Any]] | None = None
    pictures: PictureSource | None = None


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """Collect everything an engine needs to separate one piece of audio.

    Attributes:
        audio: The mix.
        prompts: The sounds to separate from it. An engine may share work between them, but no result may depend on the
            other prompts.
        seed: Seed of random numbers. The same request with the same seed gives the same result.
        origin_sample: Position of the first sample of `audio` in its media. If an engine draws its noise as a function
            of `(seed, origin_sample + i)`, the result does not depend on how the media was cut.
        quality: "fast", "standard" or "best".
        scratch: Private folder that exists as long as the job, also after the server was killed. A long computation
            can store its state there and resume from it. None if there is no such folder.
    """

    audio: AudioSource
    prompts: tuple[EnginePrompt, ...]
    seed: int = 0
    origin_sample: int = 0
    quality: str = "standard"
    scratch: Path | None = None


# What an engine gives to the server


@dataclass(frozen=True, slots=True)
class Finding:
    """Describe the outcome for one prompt.

    Attributes:
        found: False if the sound does not occur in the audio and the target is silence.
        confidence: How certain the engine is of the target, 0..1.
        matched: The sound that the engine took the text for; empty if there is none.
        notes: Names and values to store with the stem, such as the message of a watermark.
    """

    found: bool
    confidence: float
    matched: str = ""
    notes: tuple[tuple[str, str], ...] = ()


class Control(Protocol):
    """Receive progress, warnings and findings from a running engine.

    An engine calls these methods only from the thread that iterates over `Engine.separate`.
    """

    def step(self, done: int, total: int) -> None:
        """Report progress. Call this at every network evaluation or block.

        Args:
            done: Finished work in any unit, from 0 to `total`.
            total: All work in the same unit.

        Raises:
            Cancelled: The job was cancelled. Let the exception pass.
        """
        ...

    def warn(self, prompt: int, code: str, message: str) -> None:
        """Add a warning to the stem of a prompt.

        Args:
            prompt: Index into `EngineRequest.prompts`.
            code: A `stemline.errors.WarningCode`, or another stable code in capitals.
            message: One sentence for the user.
        """
        ...

    def find(self, prompt: int, finding: Finding) -> None:
        """Report the outcome for a prompt. Call this once for each prompt, before `separate` ends.

        Args:
            prompt: Index into `EngineRequest.prompts`.
            finding: The outcome.
        """
        ...


# What an engine is


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """Describe an engine.

    Attributes:
        id: Name by which the engine is chosen; equals the name of its entry point.
        title: Name for users.
        revision: Changes whenever the same request could give another result. Include the version of the code and a
            digest of the weights. Stored stems are reused as long as it stays the same.
        sample_rate: Sample rate of input and output in Hz. None if the engine works at any rate.
        multichannel: True if the engine separates all channels together. Otherwise it gets one channel at a time, and
            the server derives the other channels from the result.
        spans: True if the engine uses marked spans.
        free_text: True if the engine takes any text, False if it knows a fixed set of sounds.
        pictures: True if the engine takes masks, as `EnginePrompt.pictures`. The server refuses prompts with a mask for
            other engines.
        pictures_obstacle: One sentence on why this model does not take masks, if other models of its engine do.
        pictures_per_second: How many pictures of a second of sound the engine wants; 0 to let the server choose by
            device.
        licence: Licences of the code and the weights.
        note: A sentence for users, shown with the title.
        made_by: How targets arise, which records and C2PA manifests state: "masking" if the engine takes parts of the
            mix and adds nothing, "generative" if it makes the sound; empty states nothing.
        cell_s: Longer sound is separated in cells of so many seconds, each by a request of its own, so that a part of
            it can be heard early. 0 if the engine must hear all of the sound at once.
        undivided_s: Sound of up to so many seconds is not cut: whole cells at both ends would cost more than they gain.
            At least `cell_s`.
        context_s: Seconds on either side of a cell that the request holds, too. Neighbours cross-fade where the two
            meet, so an engine should have settled after so long.
    """

    id: str
    title: str
    revision: str
    sample_rate: int | None
    multichannel: bool = False
    spans: bool = False
    free_text: bool = False
    pictures: bool = False
    licence: str = ""
    note: str = ""
    made_by: str = ""
    pictures_obstacle: str = ""
    pictures_per_second: int = 0
    cell_s: int = 0
    context_s: int = 1
    undivided_s: int = 0


@dataclass(frozen=True, slots=True)
class TextMatch:
    """Describe how an engine understands the text of a prompt.

    Attributes:
        sound: The sound that the text is taken for; empty if the engine does not know it.
        note: One sentence if words of the text were corrected or left out, else empty.
        proposals: Texts that the engine knows, to offer in place of an unknown one.
    """

    sound: str
    note: str = ""
    proposals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KnownSound:
    """Describe a sound that an engine knows by name.

    Attributes:
        name: Text of a prompt that asks for it.
        kind: Kind of sound, such as "voice", "music" or "animal".
        phrases: Other texts that ask for it.
    """

    name: str
    kind: str = ""
    phrases: tuple[str, ...] = ()


@runtime_checkable
class Vocabulary(Protocol):
    """Optional methods of an engine that knows a fixed set of sounds. Both work before `load`."""

    def match_text(self, text: str) -> TextMatch:
        """Return how the engine understands a text. It raises nothing for an unknown one."""
        ...

    def sounds(self) -> tuple[KnownSound, ...]:
        """Return the sounds that the engine separates by name on this machine."""
        ...


class Engine(Protocol):
    """Separate sounds with one model.

    The server creates an engine to list models, so creating one must be cheap and must not import a machine-learning
    framework. All methods are called from one thread at a time.
    """

    @property
    def info(self) -> EngineInfo:
        """Description of the engine; available before `load`."""
        ...

    def availability(self) -> str:
        """Return "" if the engine can run here, else one sentence that says what is missing and how to get it."""
        ...

    def check(self, prompt: EnginePrompt) -> None:
        """Check a prompt before any work starts.

        Raises:
            UsageError: The engine cannot serve the prompt (PROMPT_EMPTY, PROMPT_TOO_LONG, PROMPT_UNKNOWN,
                PROMPT_UNSUPPORTED).
        """
        ...

    def load(self, device: str) -> None:
        """Load the weights to a device. Loading twice has no effect; `unload` and `load` may alternate.

        Args:
            device: "cpu", "cuda:0" and so on.

        Raises:
            SeparationError: The weights are missing or damaged (MODEL_UNAVAILABLE).
        """
        ...

    def unload(self) -> None:
        """Free the memory that the weights use."""
        ...

    def separate(self, request: EngineRequest, control: Control) -> Iterator[npt.NDArray[np.float32]]:
        """Separate all prompts of a request.

        Args:
            request: The mix and the prompts.
            control: Receives progress, warnings and findings.

        Yields:
            Consecutive blocks as float32 [prompts, channels, samples], with the channels of the mix. Together they are
            exactly as long as the mix.

        Raises:
            Cancelled: The job was cancelled; raised by `control.step`.
            UsageError: A prompt cannot be served.
            SeparationError: The separation failed (DEVICE_OUT_OF_MEMORY and others).
        """
        ...
