"""Sounds like those that models make from words, and what happens to them on the way to the public."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt

Sound = npt.NDArray[np.float32]
RATE = 48_000


def texture(seed: int, seconds: float = 10.0) -> Sound:
    """Return two channels of noise with the spectrum and the movement of rain, wind, traffic or a crowd."""
    random = np.random.default_rng(seed)
    count = int(seconds * RATE)
    frequency = np.fft.rfftfreq(count, 1 / RATE)
    spectrum = np.fft.rfft(random.normal(0, 1, (2, count))) * np.maximum(frequency, 30) ** (0, -0.5, -1, -0.7)[seed % 4]
    if seed % 4 == 3:
        spectrum *= np.exp(-((np.log(np.maximum(frequency, 1) / 800) / 1.2) ** 2)) + 0.01
    sound = np.fft.irfft(spectrum, count)
    if seed % 4 in (1, 2):
        sound *= np.interp(
            np.linspace(0, 3 * seconds, count),
            np.arange(3 * seconds + 1),
            random.uniform(0.15, 1, int(3 * seconds) + 1),
        )
    if seed % 8 == 4:
        for place in random.integers(0, count - 4000, 60):
            sound[:, place : place + 3000] += np.exp(-np.arange(3000) / 400) * random.normal(0, 1, 3000)
    whole: Sound = (sound * 0.1 / sound.std()).astype(np.float32)
    return whole


def coded(sound: Sound, codec: str, bit_rate: int) -> Sound:
    """Return 48 kHz sound after a lossy codec."""
    container = {"aac": "adts", "libmp3lame": "mp3", "libopus": "ogg"}[codec]
    with io.BytesIO() as memory:
        with av.open(memory, "w", format=container) as made:
            stream = made.add_stream(codec, rate=RATE, layout="stereo", options={"strict": "-2"})
            assert isinstance(stream, av.AudioStream)
            stream.bit_rate = bit_rate
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound), format="fltp", layout="stereo")
            frame.sample_rate, frame.time_base = RATE, Fraction(1, RATE)
            resampler = av.AudioResampler(stream.format.name, "stereo", RATE, 960 if codec == "libopus" else 1152)
            for given in (frame, None):
                for piece in resampler.resample(given):
                    piece.pts = None
                    made.mux(stream.encode(piece))
            made.mux(stream.encode(None))
        memory.seek(0)
        with av.open(memory, "r") as given_back:
            blocks = [_floats(frame) for frame in given_back.decode(audio=0)]
    return np.concatenate(blocks, axis=1)


def _floats(frame: av.AudioFrame) -> Sound:
    block = frame.to_ndarray()
    if block.dtype.kind == "i":
        block = block.astype(np.float32) / 2**15
    return block.astype(np.float32) if frame.format.is_planar else block.reshape(-1, 2).T.astype(np.float32)


def resampled(sound: Sound, rate: int) -> Sound:
    """Return 48 kHz sound at another rate, by its spectrum."""
    count = sound.shape[1] * rate // RATE
    other: Sound = (np.fft.irfft(np.fft.rfft(sound)[:, : count // 2 + 1], count) * (rate / RATE)).astype(np.float32)
    return other


def equalised(sound: Sound) -> Sound:
    """Return sound after a high-pass and a shelf."""
    frequency = np.maximum(np.fft.rfftfreq(sound.shape[1], 1 / RATE), 1)
    gains = 1 / (1 + (120 / frequency) ** 4) * np.where(frequency > 3000, 2, 1)
    other: Sound = np.fft.irfft(np.fft.rfft(sound) * gains, sound.shape[1]).astype(np.float32)
    return other
