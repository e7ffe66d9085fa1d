"""Synthesised ambience and signals with random settings, of which free packages hold too few recordings.

Every sound function takes a random generator and a length in samples at 32 kHz and returns a float32 wave of about full
scale.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from .corpus import RATE, CorpusWriter, Wave

Random = np.random.Generator
Curve = npt.NDArray[np.floating[Any]]
LENGTH_S = 9


def shaped_noise(rng: Random, n: int, gain_db: Callable[[Curve], Curve]) -> Wave:
    """Return Gaussian noise with the spectrum gain_db(frequency in Hz)."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    hertz = np.fft.rfftfreq(n, 1 / RATE)
    return np.asarray(np.fft.irfft(spectrum * 10 ** (gain_db(hertz) / 20), n), np.float32)


def octaves(hertz: Curve, centre: float) -> Curve:
    """Return the distance from a centre frequency in octaves."""
    return np.asarray(np.log2(np.maximum(hertz, 10) / centre))


def resonance(hertz: Curve, centre: float, width: float) -> Curve:
    """Return a peak in dB, 6 dB down `width` octaves from its centre."""
    return np.asarray(-6 * (octaves(hertz, centre) / width) ** 2)


def wandering(rng: Random, n: int, rate_hz: float) -> Wave:
    """Return a slow random curve in 0..1."""
    knots = max(int(n / RATE * rate_hz) + 3, 4)
    curve = np.interp(np.linspace(0, knots - 1, n), np.arange(knots), rng.random(knots))
    return curve.astype(np.float32)


def impulses(rng: Random, n: int, per_second: float, decay_s: tuple[float, float]) -> Wave:
    """Return decaying noise bursts at random times with log-normal levels."""
    wave = np.zeros(n, np.float32)
    for start in rng.integers(0, n, rng.poisson(per_second * n / RATE)):
        decay = rng.uniform(*decay_s)
        length = min(int(decay * 5 * RATE) + 8, n - start)
        burst = rng.standard_normal(length) * np.exp(-np.arange(length) / (decay * RATE))
        wave[start : start + length] += (rng.lognormal(0, 0.8) * burst).astype(np.float32)
    return wave


def filtered(rng: Random, wave: Wave, low: float, high: float, slope_db: float) -> Wave:
    """Filter a wave to a band with a slope in dB per octave outside of it."""
    spectrum, hertz = np.fft.rfft(wave), np.fft.rfftfreq(len(wave), 1 / RATE)
    outside = np.maximum(octaves(hertz, high), 0) + np.maximum(-octaves(hertz, low), 0)
    return np.asarray(np.fft.irfft(spectrum * 10 ** (-slope_db * outside / 20), len(wave)), np.float32)


def rain(rng: Random, n: int) -> Wave:
    """Synthesise rain: shaped noise and drops."""
    tilt, centre, width = rng.uniform(-5, 1), rng.uniform(1500, 7000), rng.uniform(1.5, 4)
    bed = shaped_noise(rng, n, lambda f: tilt * octaves(f, 1000) - 3 * (octaves(f, centre) / width) ** 2)
    drops = filtered(rng, impulses(rng, n, rng.uniform(20, 250), (0.0005, 0.006)), rng.uniform(400, 2500), 9000, 9)
    bed *= 1 + 0.25 * wandering(rng, n, 0.7)
    return np.asarray(bed / bed.std() + rng.uniform(0, 1.2) * drops / (drops.std() + 1e-6), np.float32)


def wind(rng: Random, n: int) -> Wave:
    """Synthesise wind: wandering resonances and low noise."""
    wave = np.zeros(n, np.float32)
    for _ in range(rng.integers(1, 4)):
        centre, width = 10 ** rng.uniform(2.0, 3.1), rng.uniform(0.4, 2.2)
        part = shaped_noise(rng, n, partial(resonance, centre=centre, width=width))
        wave += part / part.std() * (0.15 + wandering(rng, n, rng.uniform(0.3, 1.5))) ** rng.uniform(1, 2.5)
    low = shaped_noise(rng, n, lambda f: -6 * octaves(f, 60))
    return np.asarray(wave + rng.uniform(0, 1.5) * low / low.std() * (0.2 + wandering(rng, n, 1.0)), np.float32)


def noise(rng: Random, n: int) -> Wave:
    """Synthesise steady coloured noise."""
    tilt, ripple = rng.choice([0.0, -3.0, -6.0, rng.uniform(-6, 2)]), rng.uniform(0, 4)
    phase = rng.uniform(0, 6.28)
    return np.asarray(
        shaped_noise(rng, n, lambda f: tilt * octaves(f, 1000) + ripple * np.sin(octaves(f, 500) + phase)), np.float32
    )


def one_pole_noise(rng: Random, n: int) -> Wave:
    """Return noise through a one-pole low-pass filter with a random corner, from rumble of 25 Hz to a dull hiss."""
    corner = 10 ** rng.uniform(1.4, 3.0)
    return shaped_noise(rng, n, lambda f: -10 * np.log10(1 + (f / corner) ** 2))


def gusts(rng: Random, n: int) -> Wave:
    """Synthesise gusts of wind on a microphone: low noise that swells and pauses."""
    swell = (0.05 + wandering(rng, n, rng.uniform(0.2, 2.5))) ** rng.uniform(1, 3)
    return np.asarray(one_pole_noise(rng, n) * swell, np.float32)


def rumble(rng: Random, n: int) -> Wave:
    """Synthesise rumble: steady or swelling low noise, sometimes with thumps of a handled microphone."""
    bed = one_pole_noise(rng, n)
    bed *= 1 + rng.uniform(0, 2) * wandering(rng, n, rng.uniform(0.1, 1))
    thumps = filtered(rng, impulses(rng, n, rng.uniform(0.3, 4), (0.01, 0.08)), 30, rng.uniform(90, 400), 12)
    share = rng.uniform(0, 1.5) if rng.random() < 0.4 else 0.0
    return np.asarray(bed / (bed.std() + 1e-9) + share * thumps / (thumps.std() + 1e-6), np.float32)


def hum(rng: Random, n: int) -> Wave:
    """Synthesise mains hum with random harmonics."""
    base = rng.choice([50.0, 60.0, rng.uniform(40, 130)])
    t = np.arange(n) / RATE
    wave = np.zeros(n)
    roll, odd = rng.uniform(0.3, 1.6), rng.uniform(0.1, 1)
    for k in range(1, int(rng.integers(3, 40))):
        level = k**-roll * (1 if k % 2 == 0 else odd) * rng.lognormal(0, 0.5)
        wave += level * np.sin(2 * np.pi * base * k * t + rng.uniform(0, 6.28))
    hiss = rng.uniform(0, 0.15) * wave.std()
    return np.asarray((wave + hiss * rng.standard_normal(n)), np.float32)


def applause(rng: Random, n: int) -> Wave:
    """Synthesise applause from many claps."""
    clap = filtered(rng, impulses(rng, n, rng.uniform(60, 500), (0.002, 0.008)), rng.uniform(500, 1200), 4000, 7)
    return np.asarray(clap * (0.5 + wandering(rng, n, 0.5)), np.float32)


def fire(rng: Random, n: int) -> Wave:
    """Synthesise fire: crackles and a roar."""
    crackle = filtered(rng, impulses(rng, n, rng.uniform(5, 50), (0.0004, 0.004)), rng.uniform(600, 2500), 9000, 6)
    roar = shaped_noise(rng, n, lambda f: -5 * octaves(f, rng.uniform(80, 200)))
    return np.asarray(
        crackle / (crackle.std() + 1e-6) + rng.uniform(0.1, 1) * roar / roar.std() * (0.5 + wandering(rng, n, 2)),
        np.float32,
    )


def waves(rng: Random, n: int) -> Wave:
    """Synthesise breaking waves."""
    period, phase = rng.uniform(4, 9), rng.uniform(0, 6.28)
    swell = (0.5 + 0.5 * np.sin(2 * np.pi * np.arange(n) / RATE / period + phase)) ** rng.uniform(1, 3)
    low, tilt = rng.uniform(150, 600), rng.uniform(3, 6)
    surf = shaped_noise(rng, n, lambda f: -tilt * np.abs(octaves(f, low)))
    hiss = shaped_noise(rng, n, lambda f: -3 * np.abs(octaves(f, 3000)))
    rolled = np.roll(swell, int(rng.uniform(0, 0.8) * RATE)) ** 2
    return np.asarray(
        (surf / surf.std() * (0.15 + swell) + rng.uniform(0.2, 0.8) * hiss / hiss.std() * rolled), np.float32
    )


def water(rng: Random, n: int) -> Wave:
    """Synthesise a stream: noise and many short gliding resonances (bubbles)."""
    t = np.arange(int(0.08 * RATE)) / RATE
    wave = np.zeros(n, np.float32)
    for start in rng.integers(0, n - len(t), int(rng.uniform(30, 160) * n / RATE)):
        f0, decay = 10 ** rng.uniform(2.5, 3.5), rng.uniform(20, 120)
        bubble = np.sin(2 * np.pi * f0 * (t + rng.uniform(0, 6) * t**2)) * np.exp(-decay * t)
        wave[start : start + len(t)] += (rng.lognormal(0, 0.7) * bubble).astype(np.float32)
    bed = shaped_noise(rng, n, lambda f: -3 * np.abs(octaves(f, 900)))
    return np.asarray(wave / (wave.std() + 1e-6) + rng.uniform(0.2, 2) * bed / bed.std(), np.float32)


def pulse_train(rng: Random, n: int, rate_hz: float, sharpness: float) -> Wave:
    """Return pulses of a slightly drifting rate, 0..1."""
    drift = 1 + 0.03 * (wandering(rng, n, 1) - 0.5)
    phase = np.cumsum(rate_hz * drift / RATE)
    return np.asarray((0.5 + 0.5 * np.cos(2 * np.pi * phase)).astype(np.float32) ** sharpness, np.float32)


def helicopter(rng: Random, n: int) -> Wave:
    """Synthesise a helicopter: chopped noise and a whine."""
    chop = pulse_train(rng, n, rng.uniform(8, 22), rng.uniform(2, 8))
    low = shaped_noise(rng, n, lambda f: -6 * np.abs(octaves(f, rng.uniform(70, 180))))
    high = shaped_noise(rng, n, lambda f: -3 * np.abs(octaves(f, 800)))
    whine = np.sin(2 * np.pi * rng.uniform(300, 1500) * np.arange(n) / RATE) * rng.uniform(0, 0.2)
    return np.asarray(
        low / low.std() * (0.1 + chop) + rng.uniform(0.1, 0.5) * high / high.std() * (0.3 + chop) + whine, np.float32
    )


def engine(rng: Random, n: int) -> Wave:
    """Synthesise an engine: harmonics of a changing speed and a rattle."""
    base = rng.uniform(18, 110) * (1 + rng.uniform(0, 0.8) * wandering(rng, n, rng.uniform(0.2, 0.8)))
    phase = 2 * np.pi * np.cumsum(base) / RATE
    wave = np.zeros(n)
    for k in range(1, 28):
        wave += k ** -rng.uniform(0.3, 1.1) * np.sin(k * phase + rng.uniform(0, 6.28)) * rng.lognormal(0, 0.6)
    rattle = shaped_noise(rng, n, lambda f: -4 * np.abs(octaves(f, rng.uniform(100, 500))))
    return np.asarray((wave + rng.uniform(0.2, 0.8) * wave.std() * rattle / rattle.std()), np.float32)


def siren(rng: Random, n: int) -> Wave:
    """Synthesise a siren: a sweeping or two-tone signal."""
    low, span, rate = rng.uniform(400, 900), rng.uniform(1.2, 2.2), rng.uniform(0.2, 4)
    t = np.arange(n) / RATE
    sweep = 0.5 + 0.5 * np.sin(2 * np.pi * rate * t)
    if rng.random() < 0.4:
        sweep = (sweep > 0.5).astype(float)
    phase = 2 * np.pi * np.cumsum(low * span**sweep) / RATE
    return np.asarray(np.sum([rng.lognormal(-k, 0.5) * np.sin(k * phase) for k in range(1, 6)], axis=0), np.float32)


def gated_tone(rng: Random, n: int, low_hz: float, high_hz: float) -> Wave:
    """Return tones that are switched on and off."""
    t = np.arange(n) / RATE
    on, off = rng.uniform(0.05, 0.6), rng.uniform(0.05, 0.9)
    gate = ((t + rng.uniform(0, 1)) % (on + off)) < on
    tones = [rng.uniform(low_hz, high_hz) for _ in range(rng.integers(1, 3))]
    wave = np.sum([np.sin(2 * np.pi * f * t) + rng.uniform(0, 0.5) * np.sin(4 * np.pi * f * t) for f in tones], axis=0)
    return np.asarray((wave * gate), np.float32)


def beep(rng: Random, n: int) -> Wave:
    """Synthesise beeps."""
    return gated_tone(rng, n, 500, 4000)


def telephone(rng: Random, n: int) -> Wave:
    """Synthesise a ringing telephone."""
    trill = 0.5 + 0.5 * np.sign(np.sin(2 * np.pi * rng.uniform(12, 28) * np.arange(n) / RATE))
    t = np.arange(n) / RATE
    ring = ((t + rng.uniform(0, 2)) % rng.uniform(2, 4)) < rng.uniform(0.6, 1.6)
    f = rng.uniform(400, 1800)
    wave = np.sin(2 * np.pi * f * t) + 0.6 * np.sin(2 * np.pi * f * rng.uniform(1.1, 1.6) * t)
    return np.asarray((wave * trill * ring), np.float32)


def cricket(rng: Random, n: int) -> Wave:
    """Synthesise chirps of crickets."""
    t = np.arange(n) / RATE
    chirp = pulse_train(rng, n, rng.uniform(25, 80), 2)
    phrase = ((t * rng.uniform(0.7, 4) + rng.random()) % 1) < rng.uniform(0.3, 1.0)
    return np.asarray((np.sin(2 * np.pi * rng.uniform(2500, 6500) * t) * chirp * phrase), np.float32)


def bell(rng: Random, n: int) -> Wave:
    """Synthesise strokes of a bell."""
    wave, at = np.zeros(n, np.float32), 0
    partials = [(r * rng.uniform(0.98, 1.02), rng.lognormal(0, 0.5)) for r in (0.5, 1, 1.2, 1.5, 2, 2.6, 3.0, 4.1)]
    f0, decay = 10 ** rng.uniform(2.2, 3.3), rng.uniform(0.5, 6)
    while at < n:
        t = np.arange(n - at) / RATE
        strikes = [a * np.sin(2 * np.pi * f0 * r * t) * np.exp(-decay * r * t) for r, a in partials]
        wave[at:] += np.sum(strikes, axis=0).astype(np.float32)
        at += int(rng.uniform(0.4, 3) * RATE)
    return wave


KINDS: tuple[tuple[str, Callable[[Random, int], Wave], int], ...] = (
    ("rain", rain, 90),
    ("wind", wind, 70),
    ("noise", noise, 70),
    ("hum", hum, 70),
    ("applause", applause, 30),
    ("fire", fire, 30),
    ("waves", waves, 25),
    ("water", water, 25),
    ("helicopter", helicopter, 40),
    ("engine", engine, 30),
    ("siren", siren, 25),
    ("beep", beep, 20),
    ("telephone", telephone, 25),
    ("cricket", cricket, 20),
    ("bell", bell, 30),
    ("wind", gusts, 70),
    ("noise", rumble, 90),
)
"""Label, function and number of sounds of each kind."""


def add_synthesised(writer: CorpusWriter, split: str, share: float, seed: int) -> None:
    """Add `share` of the usual number of sounds of every kind to a corpus."""
    rng = np.random.default_rng(seed)
    for label, make, count in KINDS:
        for number in range(max(round(count * share), 2)):
            wave = make(rng, LENGTH_S * RATE)
            writer.add("synthesised", f"{make.__name__}/{number}", label, split, wave.astype(np.float32))
