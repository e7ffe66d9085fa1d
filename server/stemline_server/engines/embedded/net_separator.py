"""The sound net applied to audio of any length, in overlapping windows.

All windows share one grid of frames and differ only in their gains, which crossfade over two seconds where windows
overlap. Memory use is constant and there are no seams. Above 16 kHz the gain of the highest band is used.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from stemline.clips import SampleRange
from stemline_server.engines.base import AudioSource, Control, Waveform

if TYPE_CHECKING:
    from torch import Tensor

    from stemline_server.engines.embedded.sound_net import QueriedNet

SAMPLE_RATE = 48_000
HOP = 960
WINDOW_FRAMES = 800
FADE_FRAMES = 100
ANY = "any"
_PRESENCE_FRAMES = 10

Gains = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class NetQuery:
    """Ask the net for one sound.

    Attributes:
        class_name: One of `NetSeparator.classes`; "any" for marked sounds without a name.
        plus: Spans that contain the sound, in samples at 48 kHz.
        minus: Spans that do not contain it.
    """

    class_name: str
    plus: tuple[SampleRange, ...] = ()
    minus: tuple[SampleRange, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """Hold what the net has found for each query so far, arrays [queries].

    Attributes:
        presence: The net's certainty that the sound occurs, 0..1, in the window where it was highest.
        window_presence: The same of the latest window.
        share: Greatest share of a window's energy that the gains pass, before they are raised.
    """

    presence: npt.NDArray[np.float32]
    window_presence: npt.NDArray[np.float32]
    share: npt.NDArray[np.float32]

    @classmethod
    def none(cls, queries: int) -> Evidence:
        """Return the evidence before the first window."""
        return cls(*(np.zeros(queries, np.float32) for _ in range(3)))

    def update(self, presence: npt.NDArray[np.float32], share: npt.NDArray[np.float32]) -> None:
        """Include the next window, in place."""
        np.maximum(self.presence, presence, out=self.presence)
        np.copyto(self.window_presence, presence)
        np.maximum(self.share, share, out=self.share)


@dataclass(frozen=True, slots=True)
class Gate:
    """Decide from the answers of a net whether a sound occurs. `training.gate` fits it and stores it with the weights.

    The defaults belong to the shipped weights and were fitted to packages held out from training.

    Attributes:
        absent_below: Presence in a window below which a sound counts as absent: a fifth of the animals and effects and
            a tenth of the music and ambience that are absent, and one in 500 of all sounds that are present.
        offset: Log odds that music or ambience occurs if the gains pass all of the energy, for even prior odds.
        slope: Change of the log odds with each factor of ten in the share of the energy that the gains pass.
    """

    absent_below: float = 0.1
    offset: float = 2.6
    slope: float = 2.5

    def probability(self, share: float) -> float:
        """Return the probability that music or ambience occurs, given the share of the energy that the gains pass.

        With the defaults, below 0.4 are seven tenths of the sounds that are absent and a twentieth of those that are
        present. The share does not tell apart present and absent animals and effects.
        """
        return 1 / (1 + math.exp(-self.offset - self.slope * math.log10(share + 1e-9)))


class FeatureSource(Protocol):
    """Compute features that a net takes as inputs beside the mix; see `teachers.Teachers`."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the nets that the features come from."""
        ...

    def features(self, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return features [T, channels] of samples [(T + 1) * HOP]; frame f is centred at sample (f + 1) * HOP."""
        ...


class NetSeparation:
    """Iterate over the targets [queries, samples] of a separation.

    Attributes:
        evidence: What the net has found in the blocks computed so far.
    """

    def __init__(self, blocks: Iterator[Waveform], evidence: Evidence) -> None:
        """Wrap blocks whose computation updates `evidence`."""
        self._blocks = blocks
        self.evidence = evidence

    def __iter__(self) -> Iterator[Waveform]:
        """Return the blocks, together exactly as long as the audio."""
        return self._blocks


class NetSeparator:
    """Separate named and marked sounds with trained weights.

    Attributes:
        classes: Names of the sounds that the net knows, in the order of its embedding.
        gate: Decides whether a sound occurs.
        network: The net, in eval mode.
        teachers: The nets whose features it takes; None for a net without them.
    """

    def __init__(
        self,
        network: QueriedNet,
        classes: tuple[str, ...],
        teachers: FeatureSource | None = None,
        gate: Gate | None = None,
    ) -> None:
        """Wrap a net.

        Args:
            network: The net, in eval mode.
            classes: The names of its classes.
            teachers: The nets whose features it takes.
            gate: The gate fitted to the net; None for the default.
        """
        self.network = network
        self.classes = classes
        self.gate = gate or Gate()
        self.teachers = teachers
        self._number = {name: i for i, name in enumerate(classes)}

    def separate(self, audio: AudioSource, queries: Sequence[NetQuery], control: Control) -> NetSeparation:
        """Separate the targets of all queries.

        Args:
            audio: The mix, one channel at 48 kHz.
            queries: The sounds.
            control: Receives the progress.

        Returns:
            The separation, computed as it is iterated over.

        Raises:
            KeyError: A query names a class that is not in `classes`.
        """
        words = [self._number[query.class_name] for query in queries]
        evidence = Evidence.none(len(queries))
        return NetSeparation(self._blocks(audio, queries, words, evidence, control), evidence)

    def presence(self, audio: AudioSource, class_name: str) -> Gains:
        """Return the certainty that a sound is present in each frame of a short source, 0..1, [frames].

        Args:
            audio: The mix, one channel at 48 kHz; all of it is held in memory. Frame f is centred at sample f * HOP.
            class_name: One of `classes`.

        Raises:
            KeyError: The class is not in `classes`.
        """
        import torch  # noqa: PLC0415 - only needed where the net is used

        _, _, active = self._answers(audio, (class_name,))
        present: Gains = torch.sigmoid(active[0]).numpy()
        return present

    def shares(self, audio: AudioSource, class_names: Sequence[str], frame_samples: int) -> Gains:
        """Return the share of the energy that the gains of each class pass, 0..1, [frames, classes].

        Args:
            audio: The mix, one channel at 48 kHz; all of it is held in memory.
            class_names: Some of `classes`.
            frame_samples: Length of a frame, a multiple of `HOP`.

        Raises:
            KeyError: A class is not in `classes`.
        """
        power, gain, _ = self._answers(audio, class_names)
        passed = (gain**2 * power).sum(2).numpy()
        whole = power.sum(2).numpy()
        hops = frame_samples // HOP
        starts = np.arange(0, max(1, -(-audio.length_samples // HOP)), hops)
        sums = [np.add.reduceat(values, starts, axis=1) for values in (passed, whole)]
        shares: Gains = (sums[0] / (sums[1] + 1e-12)).T.astype(np.float32)
        return shares

    def _answers(self, audio: AudioSource, class_names: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
        """Return band power [1, T, bands], gains [Q, T, bands] and log odds of the presence [Q, T]."""
        import torch  # noqa: PLC0415 - only needed where the net is used

        from stemline_server.engines.embedded.sound_net import BINS, Query, sum_bands  # noqa: PLC0415

        frames = -(-audio.length_samples // HOP) + 1
        wave = padded_samples(audio, 0, frames)
        spectra = framed_spectra(wave)
        count = len(class_names)
        with torch.inference_mode():
            power = sum_bands(torch.from_numpy(np.abs(spectra[:, :BINS]) ** 2))[None]
            words = torch.tensor([self._number[name] for name in class_names])
            query = Query(torch.zeros(count, dtype=torch.long), words, torch.zeros(count, frames, 4))
            gain, active = self.network(power, query, *self._heard(wave))
        return power, gain, active

    def _heard(self, wave: npt.NDArray[np.float32]) -> tuple[Tensor, ...]:
        """Return the features [1, T, channels] by the teachers, if the net takes them, of padded samples."""
        if self.teachers is None:
            return ()
        import torch  # noqa: PLC0415 - only needed where the net is used

        return (torch.from_numpy(self.teachers.features(wave))[None],)

    def _blocks(
        self,
        audio: AudioSource,
        queries: Sequence[NetQuery],
        words: list[int],
        evidence: Evidence,
        control: Control,
    ) -> Iterator[Waveform]:
        length = audio.length_samples
        frames = -(-length // HOP) + 1
        start = emitted = 0
        overlap: Gains | None = None  # the previous window's gains from frame `emitted` on
        tail = np.zeros((len(queries), HOP), np.float32)
        while emitted < frames:
            start = max(min(start, frames - WINDOW_FRAMES), 0)
            end = min(start + WINDOW_FRAMES, frames)
            padded = padded_samples(audio, start, end)
            spectra = framed_spectra(padded)
            spans = [span_channels(query, start, end) for query in queries]
            gains = self._gains(spectra, words, spans, evidence, self._heard(padded))
            gains = gains[:, emitted - start :]
            if overlap is not None:
                ramp = np.linspace(0, 1, overlap.shape[1], dtype=np.float32)[None, :, None]
                gains[:, : overlap.shape[1]] = overlap * (1 - ramp) + gains[:, : overlap.shape[1]] * ramp
            count = gains.shape[1] if end == frames else gains.shape[1] - FADE_FRAMES
            overlap = gains[:, count:].copy()
            emitted_spectra = spectra[emitted - start : emitted - start + count]
            wave, tail = overlap_add(emitted_spectra, gains[:, :count], tail)
            wave = wave[:, HOP:] if emitted == 0 else wave
            begin = max(emitted - 1, 0) * HOP
            emitted += count
            start = emitted
            control.step(min(emitted * HOP, length), length)
            if wave.shape[1] and begin < length:
                yield wave[:, : length - begin]

    def _gains(
        self,
        spectra: npt.NDArray[np.complex64],
        words: list[int],
        spans: list[Gains],
        evidence: Evidence,
        heard: tuple[Tensor, ...],
    ) -> Gains:
        """Return the gains [queries, T, bins] of one window and update the evidence."""
        import torch  # noqa: PLC0415 - only needed where the net is used

        from stemline_server.engines.embedded.sound_net import BAND_OF_BIN, BINS, Query, sum_bands  # noqa: PLC0415

        with torch.inference_mode():
            power = sum_bands(torch.from_numpy(np.abs(spectra[:, :BINS]) ** 2))[None]
            query = Query(
                torch.zeros(len(words), dtype=torch.long), torch.tensor(words), torch.from_numpy(np.stack(spans))
            )
            gain, active = self.network(power, query, *heard)
            presence = window_presence(active)
            share = (gain**2 * power).sum((1, 2)) / (power.sum() + 1e-12)
            evidence.update(presence.numpy(), share.numpy())
            gain = raise_to_level(gain, power, presence)
        bins = np.minimum(np.arange(spectra.shape[1]), BINS - 1)
        by_bin: Gains = gain.numpy()[:, :, BAND_OF_BIN.numpy()[bins]]
        return by_bin


def window_presence(active: Tensor) -> Tensor:
    """Return the certainty that a sound occurs in a window, 0..1, [Q], from its logits in each frame, [Q, T]."""
    import torch  # noqa: PLC0415 - only needed where the net is used

    return torch.sigmoid(active).sort(dim=1).values[:, -min(_PRESENCE_FRAMES, active.shape[1])]


def raise_to_level(gain: Tensor, power: Tensor, presence: Tensor) -> Tensor:
    """Raise gains so that the strongest parts of the target keep their level in the mix.

    The net learned the shape of a target better than its level, and attenuates where it is uncertain. The less certain
    it is of the sound, the less the gains are raised.

    Args:
        gain: Gains [Q, T, BANDS].
        power: Band power of the mix, [1, T, BANDS].
        presence: Certainty that the sound occurs, 0..1, [Q].

    Returns:
        Gains of the same shape, at most 1.
    """
    import torch  # noqa: PLC0415 - only needed where the net is used

    energy, order = (gain**2 * power).flatten(1), gain.flatten(1).argsort(dim=1)
    cumulative = energy.gather(1, order).cumsum(1)
    place = torch.searchsorted(cumulative, 0.7 * cumulative[:, -1:]).clamp(max=cumulative.shape[1] - 1)
    strong = gain.flatten(1).gather(1, order.gather(1, place))[:, 0].clamp(min=1e-3)
    factor = torch.minimum(1 / strong, 1 + 5 * presence)
    return (gain * factor[:, None, None]).clamp(max=1)


def padded_samples(audio: AudioSource, start: int, end: int) -> npt.NDArray[np.float32]:
    """Return the samples of the frames [start, end), each centred at frame * HOP, with silence outside of the audio."""
    first, last = (start - 1) * HOP, end * HOP
    inside = audio.read(max(first, 0), min(last, audio.length_samples))[0]
    return np.pad(inside, (max(-first, 0), max(last - max(audio.length_samples, first, 0), 0)))


def framed_spectra(wave: npt.NDArray[np.float32]) -> npt.NDArray[np.complex64]:
    """Return the spectra [T, bins] of the frames in padded samples [(T + 1) * HOP]."""
    framed = np.lib.stride_tricks.sliding_window_view(wave, 2 * HOP)[::HOP]
    return np.asarray(np.fft.rfft(framed * window()), np.complex64)


def overlap_add(spectra: npt.NDArray[np.complex64], gains: Gains, tail: Waveform) -> tuple[Waveform, Waveform]:
    """Apply gains to spectra and return to the time domain.

    Args:
        spectra: Consecutive spectra [T, bins].
        gains: Gains [queries, T, bins].
        tail: The tail [queries, HOP] of the frames before.

    Returns:
        Finished samples [queries, T * HOP] and the tail that overlaps the next frames.
    """
    rows, count = gains.shape[:2]
    wave = np.zeros((rows, (count + 1) * HOP), np.float32)
    wave[:, :HOP] = tail
    for row in range(rows):
        frames = np.fft.irfft(spectra * gains[row], 2 * HOP).astype(np.float32) * window()
        wave[row, : count * HOP] += frames[:, :HOP].reshape(-1)
        wave[row, HOP:] += frames[:, HOP:].reshape(-1)
    return wave[:, : count * HOP], wave[:, count * HOP :]


def window() -> npt.NDArray[np.float32]:
    """Return the square root of a Hann window. Applied twice, at half overlap, it sums to one."""
    return np.sin(np.pi * np.arange(2 * HOP) / (2 * HOP)).astype(np.float32)


def span_channels(query: NetQuery, start: int, end: int) -> Gains:
    """Return the span channels [T, 4] of frames [start, end); see `sound_net.Query.spans`."""
    channels = np.zeros((end - start, 4), np.float32)
    for column, spans in ((0, query.plus), (1, query.minus)):
        for span in spans:
            first = round(span.start_sample / HOP) - start
            channels[max(first, 0) : max(round(span.end_sample / HOP) - start + 1, 0), column] = 1
        channels[:, column + 2] = float(bool(spans))
    return channels
