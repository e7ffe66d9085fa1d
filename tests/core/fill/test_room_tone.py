"""Room tone that repeats, beats, changes level or image, or is learnt where the removed sound is still heard."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from stemline.clips import SampleRange
from stemline.errors import SeparationError
from stemline.fill import ActivityMeter, RoomToneMethod, learn_room_tone, room_tone_along
from stemline.media.samples import FloatBlock

RATE = 48_000
Sound = npt.NDArray[np.float32]


class Recording:
    """A recording in memory."""

    def __init__(self, sound: Sound) -> None:
        self.sound = sound
        self.sample_rate = RATE

    def read(self, start_sample: int, end_sample: int) -> FloatBlock:
        return self.sound[:, start_sample:end_sample]


def pink(seconds: float, channels: int = 1, seed: int = 1) -> Sound:
    """Return noise whose power falls by 3 dB an octave, at about -40 dBFS, independent in each channel."""
    random = np.random.default_rng(seed)
    spectrum = np.fft.rfft(random.standard_normal((channels, round(seconds * RATE))), axis=1)
    spectrum[:, 1:] /= np.sqrt(np.arange(1, spectrum.shape[1]))
    spectrum[:, 0] = 0
    noise = np.fft.irfft(spectrum, round(seconds * RATE), axis=1)
    scaled: Sound = (0.01 * noise / noise.std()).astype(np.float32)
    return scaled


def hum(seconds: float) -> Sound:
    """Return mains hum with six harmonics and noise 25 dB below it."""
    time = np.arange(round(seconds * RATE)) / RATE
    tone = sum(np.sin(2 * np.pi * 50 * k * time + k) / k for k in (1, 2, 3, 4, 6, 8))
    noise = np.random.default_rng(2).standard_normal(len(time))
    return (0.02 * (tone / np.std(tone) + noise * 10 ** (-25 / 20)))[np.newaxis].astype(np.float32)


def tone_of(sound: Sound, seconds: float, seed: int = 3) -> tuple[Sound, RoomToneMethod]:
    learnt = learn_room_tone(Recording(sound), (SampleRange(0, sound.shape[1]),))
    made = np.concatenate(list(learnt.blocks(round(seconds * RATE), seed=seed)), axis=1)
    return made, learnt.method


def third_octaves_db(sound: Sound, points: int = 16_384) -> npt.NDArray[np.float64]:
    frames = np.lib.stride_tricks.sliding_window_view(sound[0], points)[:: points // 2] * np.hanning(points)
    power = (np.abs(np.fft.rfft(frames, axis=1)) ** 2).mean(axis=0)
    frequencies = np.fft.rfftfreq(points, 1 / RATE)
    centres = 1000 * 2.0 ** (np.arange(-12, 13) / 3)
    bands = [power[(frequencies >= c / 2 ** (1 / 6)) & (frequencies < c * 2 ** (1 / 6))].sum() for c in centres]
    return 10 * np.log10(bands)


def repetition(sound: Sound) -> float:
    """Return the highest autocorrelation of the whitened sound from 0.3 s on."""
    length = sound.shape[1]
    spectrum = np.fft.rfft(sound[0], 2 * length)
    smooth = np.sqrt(np.convolve(np.abs(spectrum) ** 2, np.ones(201) / 201, "same"))
    correlation = np.fft.irfft(np.abs(spectrum / np.maximum(smooth, 1e-12)) ** 2)[:length]
    weights = length / np.arange(length, 0, -1)
    lags = slice(int(0.3 * RATE), int(0.8 * length))
    return float((correlation[lags] * weights[lags]).max() / correlation[0])


def coherence(sound: Sound) -> float:
    matrix: npt.NDArray[np.float64] = np.asarray(np.corrcoef(sound))
    return float(matrix[0, 1])


def level_spread_db(sound: Sound) -> float:
    """Return the standard deviation of the 50 ms levels, edges apart."""
    frame = RATE // 20
    frames = sound[0][: sound.shape[1] // frame * frame].reshape(-1, frame)
    return float((10 * np.log10((frames.astype(np.float64) ** 2).mean(axis=1)))[1:-1].std())


@pytest.mark.parametrize("source_s", [4.0, 2.0])
def test_fill_keeps_spectrum_and_level_and_does_not_repeat(source_s: float) -> None:
    source = pink(source_s)
    made, method = tone_of(source, 20.0)
    assert method is RoomToneMethod.GRAINS
    assert made.shape == (1, 20 * RATE)
    assert np.sqrt(np.mean((third_octaves_db(made) - third_octaves_db(source)) ** 2)) <= 1.0
    assert abs(10 * np.log10((made**2).mean() / (source**2).mean())) <= 1.0
    assert repetition(made) <= 0.2
    looped = np.tile(source, (1, round(20 / source_s)))
    assert repetition(looped) > 0.5, "the measure must see a plain loop"


def test_hum_does_not_beat_at_the_joints() -> None:
    source = hum(4.0)
    made, method = tone_of(source, 20.0)
    assert method is RoomToneMethod.QUILT
    assert level_spread_db(made) <= level_spread_db(source) + 0.2


@pytest.mark.parametrize("seconds", [4.0, 0.3])
def test_stereo_image_of_the_room_is_kept(seconds: float) -> None:
    left, right, shared = pink(seconds, 3, seed=5)
    source = np.stack([left + shared, 0.5 * right + shared])
    made, _ = tone_of(source, 20.0)
    assert coherence(made) == pytest.approx(coherence(source), abs=0.05)
    levels = (made**2).mean(axis=1) / (source**2).mean(axis=1)
    assert np.abs(10 * np.log10(levels)).max() <= 1.0


def test_little_room_tone_becomes_noise_of_its_spectrum() -> None:
    source = pink(0.3)
    made, method = tone_of(source, 20.0)
    assert method is RoomToneMethod.NOISE
    wanted, found = (third_octaves_db(sound, 4096)[8:] for sound in (source, made))
    assert np.sqrt(np.mean((wanted - found) ** 2)) <= 2.0
    assert repetition(made) <= 0.2


def test_no_room_tone_is_never_guessed() -> None:
    with pytest.raises(SeparationError, match="heard throughout"):
        tone_of(pink(0.1), 1.0)


@pytest.mark.parametrize("source", [lambda: pink(4.0), lambda: hum(4.0), lambda: pink(0.3)])
def test_a_seed_repeats_its_fill_and_another_seed_does_not(source: Callable[[], Sound]) -> None:
    sound = source()
    first, again, other = tone_of(sound, 3.0)[0], tone_of(sound, 3.0)[0], tone_of(sound, 3.0, seed=4)[0]
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_long_recordings_are_learnt_from_a_bounded_part_spread_over_them() -> None:
    sound = pink(60.0)
    learnt = learn_room_tone(Recording(sound), (SampleRange(0, 5 * RATE), SampleRange(30 * RATE, 60 * RATE)))
    assert learnt.duration_s <= 12.0
    assert learnt.pieces[0].start_sample < 5 * RATE
    assert learnt.pieces[-1].end_sample > 50 * RATE


def test_room_tone_of_a_long_clip_follows_its_level() -> None:
    """Ten minutes of room that gets 12 dB louder, heard for a second every ten."""
    length = 600 * RATE
    rise = 10 ** (12 * np.linspace(0, 1, length) / 20)
    sound = (np.tile(pink(20.0), (1, 30)) * rise).astype(np.float32)
    pieces = tuple(SampleRange(at * RATE, (at + 1) * RATE) for at in range(0, 600, 10))
    made = np.concatenate(list(room_tone_along(Recording(sound), pieces, length, seed=3)), axis=1)
    assert made.shape == sound.shape
    again = np.concatenate(list(room_tone_along(Recording(sound), pieces, length, seed=3)), axis=1)
    assert np.array_equal(made, again)
    levels = [10 * np.log10(np.mean(each.reshape(60, -1).astype(np.float64) ** 2, axis=1)) for each in (made, sound)]
    assert np.abs(levels[0] - levels[1]).max() < 2.0
    half_seconds = made.reshape(1200, -1)
    second = 10 * np.log10(np.mean(half_seconds.astype(np.float64) ** 2, axis=1))
    steps = np.abs(np.diff(second))
    joints = np.zeros(len(steps), bool)
    for at in range(60, 1200, 60):
        joints[at - 3 : at + 2] = True
    assert steps[joints].mean() < steps[~joints].mean() + 0.5, "no step between sections"
    assert steps[joints].max() < steps[~joints].max() + 0.5


def test_the_level_at_both_ends_is_that_of_the_neighbours() -> None:
    """Three seconds, a sound of 6 seconds, and three seconds of a room that is 9 dB softer."""
    sound = pink(12.0)
    sound[:, 6 * RATE :] *= 10 ** (-9 / 20)
    pieces = (SampleRange(0, 3 * RATE), SampleRange(9 * RATE, 12 * RATE))
    made = np.concatenate(list(room_tone_along(Recording(sound), pieces, sound.shape[1], seed=3)), axis=1)
    levels = [
        10 * np.log10(np.mean(each[:, at * RATE : (at + 1) * RATE] ** 2)) for each in (sound, made) for at in (2, 9)
    ]
    assert levels[2] == pytest.approx(levels[0], abs=1.5)
    assert levels[3] == pytest.approx(levels[1], abs=1.5)
    seconds = 10 * np.log10(np.mean(made.reshape(12, -1) ** 2, axis=1))
    assert np.abs(np.diff(seconds)).max() < 5, "the level goes down gradually"


class TestActivity:
    """Where the removed sound is, and where only the room is heard."""

    @staticmethod
    def measured(removed: Sound, residual: Sound, block: int = 1000) -> ActivityMeter:
        meter = ActivityMeter(RATE)
        for start in range(0, residual.shape[1], block):
            meter.feed(removed[:, start : start + block], residual[:, start : start + block])
        return meter

    def test_room_tone_is_not_learnt_where_the_removed_sound_is_heard(self) -> None:
        residual, removed = pink(10.0), np.zeros((1, 10 * RATE), np.float32)
        removed[:, 3 * RATE : 5 * RATE] = 0.1
        meter = self.measured(removed, residual)
        assert all(piece.end_sample <= 3 * RATE or piece.start_sample >= 5 * RATE for piece in meter.quiet_pieces())
        assert sum(piece.length for piece in meter.quiet_pieces()) > 7 * RATE
        (active,) = meter.active_spans()
        assert active.start_sample == pytest.approx(3 * RATE, abs=0.06 * RATE)
        assert active.end_sample == pytest.approx(5 * RATE, abs=0.06 * RATE)

    def test_a_door_slam_is_not_room_tone(self) -> None:
        residual = pink(10.0)
        residual[:, 6 * RATE : 6 * RATE + 4800] += 0.5
        pieces = self.measured(np.zeros_like(residual), residual).quiet_pieces()
        assert not any(piece.start_sample < 6 * RATE + 4800 and piece.end_sample > 6 * RATE for piece in pieces)
        assert sum(piece.length for piece in pieces) > 7 * RATE

    def test_digital_silence_is_not_room_tone(self) -> None:
        silent = np.zeros((2, 4 * RATE), np.float32)
        meter = self.measured(silent, silent)
        assert meter.quiet_pieces() == ()
        assert meter.active_spans() == ()

    @pytest.mark.parametrize("block", [1, 959, 48_000])
    def test_block_sizes_do_not_change_the_result(self, block: int) -> None:
        residual, removed = pink(0.5), np.zeros((1, RATE // 2), np.float32)
        removed[:, 4000:9000] = 0.1
        expected = self.measured(removed, residual, RATE)
        assert self.measured(removed, residual, block).active_spans() == expected.active_spans()

    def test_what_the_model_missed_of_a_word_is_replaced_with_it(self) -> None:
        residual, removed = pink(10.0), np.zeros((1, 10 * RATE), np.float32)
        removed[:, 3 * RATE : 4 * RATE] = 0.1
        removed[:, 4 * RATE : 5 * RATE] = 0.02  # the model found a tenth: the rest is in the residual
        residual[:, 4 * RATE : 5 * RATE] += 0.2
        meter = self.measured(removed, residual)
        (active,) = meter.active_spans()
        assert active.end_sample == pytest.approx(5 * RATE, abs=0.06 * RATE)
        assert all(piece.end_sample <= 3 * RATE or piece.start_sample >= 5 * RATE for piece in meter.quiet_pieces())

    def test_a_word_that_the_model_lost_between_two_others_is_replaced(self) -> None:
        residual, removed = pink(10.0), np.zeros((1, 10 * RATE), np.float32)
        for start in (3, 5):
            removed[:, start * RATE : (start + 1) * RATE] = 0.1
        residual[:, round(4.2 * RATE) : round(4.8 * RATE)] += 0.1  # nothing of it is in the stem
        (active,) = self.measured(removed, residual).active_spans()
        assert (round(active.start_sample / RATE, 1), round(active.end_sample / RATE, 1)) == (3.0, 6.0)

    def test_the_end_of_a_word_that_the_model_nearly_lost_is_replaced(self) -> None:
        residual, removed = pink(10.0), np.zeros((1, 10 * RATE), np.float32)
        removed[:, 3 * RATE : 4 * RATE] = 0.1
        removed[:, 4 * RATE : 5 * RATE] = 0.1 * 10 ** (-28 / 20)
        residual[:, 4 * RATE : 5 * RATE] += 0.1
        (active,) = self.measured(removed, residual).active_spans()
        assert active.end_sample == pytest.approx(5 * RATE, abs=0.06 * RATE)

    def test_a_pause_with_the_room_alone_is_not_replaced(self) -> None:
        residual, removed = pink(10.0), np.zeros((1, 10 * RATE), np.float32)
        for start in (3, 5):
            removed[:, start * RATE : (start + 1) * RATE] = 0.1
        residual[:, round(4.4 * RATE) : round(4.6 * RATE)] += 0.1  # a short event of the place itself
        assert len(self.measured(removed, residual).active_spans()) == 2

    def test_a_fade_is_not_room_tone(self) -> None:
        residual = pink(10.0)
        residual[:, 7 * RATE :] *= 10 ** (-np.linspace(0, 60, 3 * RATE) / 20)
        pieces = self.measured(np.zeros_like(residual), residual).quiet_pieces()
        assert pieces[-1].end_sample < 8.5 * RATE
        assert sum(piece.length for piece in pieces) > 6 * RATE

    def test_the_pauses_between_words_do_not_flutter(self) -> None:
        residual, removed = pink(10.0), np.zeros((1, 10 * RATE), np.float32)
        for start_s in (3.0, 3.4, 3.8, 6.0):
            removed[:, round(start_s * RATE) : round((start_s + 0.2) * RATE)] = 0.1
        spans = self.measured(removed, residual).active_spans()
        assert [round(span.length / RATE, 1) for span in spans] == [1.1, 0.3]
