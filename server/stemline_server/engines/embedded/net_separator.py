"""The own net over a sound of any length: named sounds (and marked ones) in windows, with flat memory and no seams.

Spectra are those of the whole sound on one grid of frames; only the gains come from windows, and neighbouring windows
fade into each other over two seconds. Above 16 kHz the gain of the highest band goes on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from stemline.clips import SampleRange
from stemline_server.engines.base import AudioSource, Control, Waveform

if TYPE_CHECKING:
    from torch import Tensor

    from stemline_server.engines.embedded.sound_net import SoundNet

WEIGHTS = "sound_net.safetensors"
SAMPLE_RATE = 48_000
HOP = 960
WINDOW_FRAMES = 800
FADE_FRAMES = 100
ANY = "any"

Gains = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class NetQuery:
    """`class_name` one of `Net.classes` ("any" for marked sounds without words); spans in samples at 48 kHz."""

    class_name: str
    plus: tuple[SampleRange, ...] = ()
    minus: tuple[SampleRange, ...] = ()


@dataclass(frozen=True, slots=True)
class Sureness:
    """What the net found of each query so far [queries]: `presence` is how sure it was at its surest moment (0..1),
    `presence_now` the same of the latest window, `share` the greatest part of a window's energy that it let through
    before it was raised.
    """

    presence: npt.NDArray[np.float32]
    presence_now: npt.NDArray[np.float32]
    share: npt.NDArray[np.float32]

    @classmethod
    def nothing(cls, queries: int) -> Sureness:
        return cls(*(np.zeros(queries, np.float32) for _ in range(3)))

    def take_in(self, presence: npt.NDArray[np.float32], share: npt.NDArray[np.float32]) -> None:
        """What was found in the next window."""
        np.maximum(self.presence, presence, out=self.presence)
        np.copyto(self.presence_now, presence)
        np.maximum(self.share, share, out=self.share)


class Separation:
    """Iterating it yields the targets [queries, n] in order, exactly as long as the sound; `heard` grows with them."""

    def __init__(self, blocks: Iterator[Waveform], heard: Sureness) -> None:
        self._blocks = blocks
        self.heard = heard

    def __iter__(self) -> Iterator[Waveform]:
        return self._blocks


class Net:
    """The trained weights, in memory."""

    def __init__(self, network: SoundNet, classes: tuple[str, ...]) -> None:
        self._network = network
        self.classes = classes
        self._number = {name: i for i, name in enumerate(classes)}

    def separate(self, audio: AudioSource, queries: Sequence[NetQuery], control: Control) -> Separation:
        """Targets of all queries from 48 kHz mono. Raises KeyError for a class that is not in `classes`."""
        words = [self._number[query.class_name] for query in queries]
        heard = Sureness.nothing(len(queries))
        return Separation(self._blocks(audio, queries, words, heard, control), heard)

    def _blocks(
        self,
        audio: AudioSource,
        queries: Sequence[NetQuery],
        words: list[int],
        heard: Sureness,
        control: Control,
    ) -> Iterator[Waveform]:
        length = audio.length_samples
        frames = -(-length // HOP) + 1
        start = emitted = 0
        faded: Gains | None = None  # the gains of the window before from `emitted` on
        tail = np.zeros((len(queries), HOP), np.float32)
        while emitted < frames:
            start = max(min(start, frames - WINDOW_FRAMES), 0)
            end = min(start + WINDOW_FRAMES, frames)
            spectra = spectra_of(audio, start, end)
            spans = [span_channels(query, start, end) for query in queries]
            gains = self._gains(spectra, words, spans, heard)
            gains = gains[:, emitted - start :]
            if faded is not None:
                ramp = np.linspace(0, 1, faded.shape[1], dtype=np.float32)[None, :, None]
                gains[:, : faded.shape[1]] = faded * (1 - ramp) + gains[:, : faded.shape[1]] * ramp
            keep = gains.shape[1] if end == frames else gains.shape[1] - FADE_FRAMES
            faded = gains[:, keep:].copy()
            chosen = spectra[emitted - start : emitted - start + keep]
            wave, tail = overlap_add(chosen, gains[:, :keep], tail)
            wave = wave[:, HOP:] if emitted == 0 else wave
            begin = max(emitted - 1, 0) * HOP
            emitted += keep
            start = emitted
            control.step(min(emitted * HOP, length), length)
            if wave.shape[1] and begin < length:
                yield wave[:, : length - begin]

    def _gains(
        self, spectra: npt.NDArray[np.complex64], words: list[int], spans: list[Gains], heard: Sureness
    ) -> Gains:
        """Gains [queries, T, bins] of one window; `heard` takes in what was found in it."""
        import torch  # noqa: PLC0415 - only where the net is used

        from stemline_server.engines.embedded.sound_net import BAND_OF_BIN, BINS, Query, sum_bands  # noqa: PLC0415

        with torch.inference_mode():
            power = sum_bands(torch.from_numpy(np.abs(spectra[:, :BINS]) ** 2))[None]
            query = Query(
                torch.zeros(len(words), dtype=torch.long), torch.tensor(words), torch.from_numpy(np.stack(spans))
            )
            gain, active = self._network(power, query)
            sure = torch.sigmoid(active).sort(dim=1).values[:, -min(10, active.shape[1])]
            share = (gain**2 * power).sum((1, 2)) / (power.sum() + 1e-12)
            heard.take_in(sure.numpy(), share.numpy())
            gain = at_level(gain, power, sure)
        bins = np.minimum(np.arange(spectra.shape[1]), BINS - 1)
        taken: Gains = gain.numpy()[:, :, BAND_OF_BIN.numpy()[bins]]
        return taken


def at_level(gain: Tensor, power: Tensor, sure: Tensor) -> Tensor:
    """Gains [Q, T, BANDS] raised so that the target's strongest parts come through whole.

    The net learned shape more than level and holds back what it doubts; a stem must have its level in the mix. The
    less sure it is, the less it is raised.
    """
    import torch  # noqa: PLC0415 - only where the net is used

    energy, order = (gain**2 * power).flatten(1), gain.flatten(1).argsort(dim=1)
    heard = energy.gather(1, order).cumsum(1)
    place = torch.searchsorted(heard, 0.7 * heard[:, -1:]).clamp(max=heard.shape[1] - 1)
    strong = gain.flatten(1).gather(1, order.gather(1, place))[:, 0].clamp(min=1e-3)
    raised = torch.minimum(1 / strong, 1 + 5 * sure)
    return (gain * raised[:, None, None]).clamp(max=1)


def likely(share: float) -> float:
    """How likely music or ambience is there (0..1, as often as not before), of which `share` is let through.

    Fitted to packages held out from training: below 0.4 are seven tenths of what is not there, and a twentieth of what
    is. Animals and effects that are there cannot be told by it from those that are not.
    """
    return 1 / (1 + math.exp(-2.6 - 2.5 * math.log10(share + 1e-9)))


def spectra_of(audio: AudioSource, start: int, end: int) -> npt.NDArray[np.complex64]:
    """Short-time spectra [T, bins] of the frames [start, end): frame f is centred at sample f * HOP."""
    first, last = (start - 1) * HOP, end * HOP
    inside = audio.read(max(first, 0), min(last, audio.length_samples))[0]
    wave = np.pad(inside, (max(-first, 0), max(last - max(audio.length_samples, first, 0), 0)))
    framed = np.lib.stride_tricks.sliding_window_view(wave, 2 * HOP)[::HOP]
    return np.asarray(np.fft.rfft(framed * window()), np.complex64)


def overlap_add(spectra: npt.NDArray[np.complex64], gains: Gains, tail: Waveform) -> tuple[Waveform, Waveform]:
    """Consecutive samples [queries, T * HOP] of the frames under their gains, and the half frame still to be added."""
    rows, count = gains.shape[:2]
    wave = np.zeros((rows, (count + 1) * HOP), np.float32)
    wave[:, :HOP] = tail
    for row in range(rows):
        frames = np.fft.irfft(spectra * gains[row], 2 * HOP).astype(np.float32) * window()
        wave[row, : count * HOP] += frames[:, :HOP].reshape(-1)
        wave[row, HOP:] += frames[:, HOP:].reshape(-1)
    return wave[:, : count * HOP], wave[:, count * HOP :]


def window() -> npt.NDArray[np.float32]:
    """Square root of a Hann window: applied twice, at half overlap, it sums to one."""
    return np.sin(np.pi * np.arange(2 * HOP) / (2 * HOP)).astype(np.float32)


def span_channels(query: NetQuery, start: int, end: int) -> Gains:
    """[T, 4] for frames [start, end): marked as the sound, as not the sound, and whether there are any such marks."""
    channels = np.zeros((end - start, 4), np.float32)
    for column, spans in ((0, query.plus), (1, query.minus)):
        for span in spans:
            first = round(span.start_sample / HOP) - start
            channels[max(first, 0) : max(round(span.end_sample / HOP) - start + 1, 0), column] = 1
        channels[:, column + 2] = float(bool(spans))
    return channels


def load_net() -> Net | None:
    """The shipped net, or None where the package came without its weights."""
    path = files(__package__).joinpath(WEIGHTS)
    if not path.is_file():
        return None
    import torch  # noqa: PLC0415 - only where the net is used
    from safetensors import safe_open  # noqa: PLC0415

    from stemline_server.engines.embedded.sound_net import SoundNet  # noqa: PLC0415

    with safe_open(str(path), framework="pt") as stored:
        classes = tuple(json.loads(stored.metadata()["classes"]))
        values: dict[str, Any] = {name: stored.get_tensor(name).to(torch.float32) for name in stored.keys()}  # noqa: SIM118
    network = SoundNet(len(classes))
    network.load_state_dict(values)
    return Net(network.eval(), classes)
