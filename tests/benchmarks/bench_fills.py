"""Room tone and fills: texture, repetition, loudness, joints, image, onsets, and the cost of an hour.

Judged by measures that share no code with the fills. STEMLINE_AMBIENCES names a folder of recordings (of 8 seconds
or more); without it ambiences are made: noises with slow and fast modulation, drops and gusts.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from stemline.clips import MediaSource, SampleRange
from stemline.fill import FillPlacement, RemovedSound, convert_fill_file, file_fill, learn_room_tone, room_tone_along
from stemline.fill.onsets import event_onsets
from stemline.fill.room_tone import RoomToneMethod
from stemline.fill.texture import grains
from stemline.media import AudioFormat, SampleFormat, measure_loudness, open_audio, open_writer

from .fill_measures import (
    RATE,
    Sound,
    coherence,
    envelope_repetition,
    joint_change_sd,
    level_spread_db,
    modulation_distance_db,
    spectrum_error_db,
    wave_repetition,
)
from .measure import report

SOURCE_S = 4.0
MADE_S = 20.0
HOUR_S = 3600


class Recording:
    """A recording in memory."""

    sample_rate = RATE

    def __init__(self, sound: Sound) -> None:
        self.sound = sound

    def read(self, start_sample: int, end_sample: int) -> Sound:
        return self.sound[:, start_sample:end_sample]


class Looped(Recording):
    """A recording of any length that repeats a short one."""

    def read(self, start_sample: int, end_sample: int) -> Sound:
        return self.sound[:, np.arange(start_sample, end_sample) % self.sound.shape[1]]


def main() -> None:
    """Prints each figure beside its target."""
    ambiences = recordings() or made_ambiences()
    for what, pieces in (("4 s", pieces_of(SOURCE_S)), ("2 s in 8 pieces", scattered(2.0, 8))):
        texture(what, ambiences, pieces)
    hum()
    onsets()
    own_file()
    hour()


def recordings() -> dict[str, Sound]:
    """Every file of STEMLINE_AMBIENCES that is long enough, at 48 kHz."""
    found: dict[str, Sound] = {}
    folder = os.environ.get("STEMLINE_AMBIENCES")
    with tempfile.TemporaryDirectory(prefix="stemline-bench-") as work:
        for path in sorted(Path(folder).iterdir()) if folder else ():
            with open_audio(MediaSource(str(path))) as sound:
                channels = sound.channels
            file = convert_fill_file(path, RATE, channels, Path(work))
            with open_audio(MediaSource(str(file.path))) as sound:
                whole = sound.read(0, sound.length_samples)
            if whole.shape[1] >= 2 * SOURCE_S * RATE:
                found[path.stem] = whole
    return found


def made_ambiences() -> dict[str, Sound]:
    """Ten noises: colours from white to brown, gusts, flutter and drops."""
    made = {}
    samples = round(12 * RATE)
    for number in range(10):
        random = np.random.default_rng(number)
        spectrum = np.fft.rfft(random.standard_normal((2, samples)), axis=1)
        spectrum[:, 1:] /= np.arange(1, spectrum.shape[1]) ** (number / 10)
        noise = np.fft.irfft(spectrum, samples, axis=1)
        slow = np.interp(np.arange(samples), np.linspace(0, samples, 60), random.uniform(0.6, 1.4, 60))
        drops = np.convolve(random.random(samples) < 20 / RATE, np.exp(-np.arange(2400) / 400), "same") * (number % 3)
        made[f"made {number}"] = (0.02 * noise / noise.std() * (slow + drops)).astype(np.float32)
    return made


def pieces_of(seconds: float) -> tuple[SampleRange, ...]:
    return (SampleRange(0, round(seconds * RATE)),)


def scattered(seconds: float, count: int) -> tuple[SampleRange, ...]:
    length = round(seconds * RATE / count)
    step = round(SOURCE_S * RATE / count)
    return tuple(SampleRange(at * step, at * step + length) for at in range(count))


def texture(what: str, ambiences: dict[str, Sound], pieces: tuple[SampleRange, ...]) -> None:
    """Room tone of 20 s against its source, the held-out continuation and a plain loop."""
    rows: dict[str, list[float]] = {}
    for name, sound in ambiences.items():
        end = pieces[-1].end_sample
        parts = [sound[:, piece.start_sample : piece.end_sample] for piece in pieces]
        source = np.concatenate(parts, axis=1)
        held_out = sound[:, end : end + round(MADE_S * RATE)]
        tone = learn_room_tone(Recording(sound), pieces)
        made = np.concatenate(list(tone.blocks(round(MADE_S * RATE), seed=1)), axis=1)
        looped = np.tile(source, (1, -(-made.shape[1] // source.shape[1])))[:, : made.shape[1]]
        loudness = [measure_loudness([each.astype(np.float32)], RATE).lufs for each in (made, looped)]
        row = {
            "third octaves against the source, dB": spectrum_error_db(made, *parts),
            "modulation distance by that of a loop": modulation_distance_db(made, held_out)
            / modulation_distance_db(looped, held_out),
            "repetition of the wave beyond the recording's": wave_repetition(made)
            - max(0.1, wave_repetition(held_out)),
            "repetition of the envelope beyond the recording's": envelope_repetition(made)
            - max(0.1, envelope_repetition(held_out)),
            "loudness error, LU": abs(loudness[0] - loudness[1]),
            "change of coherence": abs(coherence(made) - coherence(source)) if len(sound) > 1 else 0.0,
        }
        if tone.method is RoomToneMethod.GRAINS:
            row["change at joints, sd"] = joint_change_sd(*joined_grains(sound, pieces))
        for figure, value in row.items():
            rows.setdefault(figure, []).append(value)
        print(f"  {name}: {tone.method}, " + ", ".join(f"{value:.2f}" for value in row.values()), flush=True)
    wanted = ("<= 1", "<= 1.3", "<= 0.1", "<= 0.1", "<= 1", "<= 0.05", "<= 0.5")
    for (figure, values), target in zip(rows.items(), wanted, strict=False):
        report(f"{what}: {figure}, median", float(np.median(values)), target, f"worst {max(values):.3g}")


def joined_grains(sound: Sound, pieces: tuple[SampleRange, ...]) -> tuple[Sound, list[int]]:
    """Grains joined as the library joins them, and the middle of each joint."""
    from stemline.fill.texture import joined

    held = tuple(sound[:, piece.start_sample : piece.end_sample] for piece in pieces)
    made, joints, at = [], [], 0
    segments = []
    for segment in grains(held, RATE, 1):
        segments.append(segment)
        at += segment[0].shape[1] - segment[1]
        joints.append(at - segment[0].shape[1] + segment[1] // 2)
        if at > MADE_S * RATE:
            break
    made = list(joined(iter(segments)))
    return np.concatenate(made, axis=1), joints[1:]


def hum() -> None:
    """Steadiness of tonal room tone, against its source."""
    time_s = np.arange(round(SOURCE_S * RATE)) / RATE
    tone = sum(np.sin(2 * np.pi * 50 * k * time_s + k) / k for k in (1, 2, 3, 4, 6, 8))
    noise = np.random.default_rng(2).standard_normal(len(time_s))
    for below_db in (25, 10, 0):
        source = (0.02 * (tone / np.std(tone) + noise * 10 ** (-below_db / 20)))[np.newaxis].astype(np.float32)
        learnt = learn_room_tone(Recording(source), pieces_of(SOURCE_S))
        made = np.concatenate(list(learnt.blocks(round(MADE_S * RATE), seed=1)), axis=1)
        more_db = level_spread_db(made) - level_spread_db(source)
        report(
            f"hum over noise {below_db} dB below it: spread of 50 ms levels", more_db, "<= 0.2 dB more", learnt.method
        )


def impact(seed: int, lead_s: float = 0.1) -> Sound:
    random = np.random.default_rng(seed)
    decay = 10 ** (-3 * np.arange(RATE // 2) / (random.uniform(0.05, 0.5) * RATE))
    hit = random.standard_normal(RATE // 2) * decay
    return np.concatenate([np.zeros(round(lead_s * RATE)), 0.3 * hit])[np.newaxis]


def onsets() -> None:
    """Errors of onsets on impacts under noise, and of several impacts in one span."""
    for background_db in (-60, -30, -20):
        errors_ms = []
        for seed in range(50):
            sound = impact(seed)
            background = (
                np.random.default_rng(seed + 100).standard_normal(sound.shape) * 0.3 * 10 ** (background_db / 20)
            )
            errors_ms.append(
                abs(event_onsets((sound + background).astype(np.float32), RATE)[0] - 0.1 * RATE) / RATE * 1000
            )
        report(
            f"onset under noise of {background_db} dB, 90 % within ms",
            float(np.quantile(errors_ms, 0.9)),
            "<= 5 at -30 dB",
            "the true onset",
        )
    found = 0
    for seed in range(20):
        steps = np.concatenate([impact(seed * 10 + step)[:, : RATE // 2] for step in range(6)], axis=1)
        truth = np.arange(6) * RATE // 2 + RATE // 10
        heard = np.array(event_onsets(steps, RATE))
        found += len(heard) == 6 and bool(np.abs(heard - truth).max() <= 0.005 * RATE)
    report("six steps in one span all found within 5 ms, share", found / 20, ">= 0.9", "the true onsets")


def own_file() -> None:
    """Loudness of an ambience from a file against the removed sound, and what equalisation gains."""
    random = np.random.default_rng(5)
    with tempfile.TemporaryDirectory(prefix="stemline-bench-") as folder:
        white = (0.1 * random.standard_normal((1, 20 * RATE))).astype(np.float32)
        path = Path(folder) / "white.wav"
        with open_writer(path, AudioFormat(SampleFormat.WAV32F, RATE, 1)) as writer:
            writer.write(white)
        spectrum = np.fft.rfft(random.standard_normal(20 * RATE))
        spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
        stem = (0.03 * np.fft.irfft(spectrum) / np.fft.irfft(spectrum).std())[np.newaxis].astype(np.float32)
        silent = Recording(np.zeros_like(stem))
        removed = RemovedSound(Recording(stem), silent, [SampleRange(2 * RATE, 18 * RATE)], stem.shape[1])
        file = convert_fill_file(path, RATE, 1, Path(folder))
        heard = slice(3 * RATE, 17 * RATE)
        errors = {}
        for share in (0.0, 0.5, 1.0):
            fill = np.concatenate(list(file_fill(file, removed, FillPlacement(match_eq=share), seed=1)), axis=1)
            lufs = [measure_loudness([each[:, heard]], RATE).lufs for each in (fill, stem)]
            errors[share] = spectrum_error_db(fill[:, heard], stem[:, heard])
            report(
                f"loudness of an ambience, equalised {share:.0%}, LU off", abs(lufs[0] - lufs[1]), "<= 0.5", "the stem"
            )
        report("third octaves after full equalisation, dB", errors[1.0], "below", f"{errors[0.0]:.3g} without")


def hour() -> None:
    """Memory and processor time of an hour of stereo room tone."""
    base = np.random.default_rng(0).standard_normal((2, round(12 * RATE))).astype(np.float32) * 0.01
    pieces = tuple(SampleRange(at * RATE, (at + 1) * RATE) for at in range(0, HOUR_S, 7))
    before_kib, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    for block in room_tone_along(Looped(base), pieces, HOUR_S * RATE, seed=1):
        del block
    spent_s = time.process_time() - started
    more_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib) / 1024
    report("an hour of stereo room tone: processor seconds a second", spent_s / HOUR_S, "<= 0.02", "its length")
    report("an hour of stereo room tone: memory, MB more", more_mb, "<= 50", "before it")
