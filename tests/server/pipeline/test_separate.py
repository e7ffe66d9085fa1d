"""What goes in comes out with the same rate, channels and length, whatever the engine works at."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import pytest

from server.audio import ArraySource, Collect, Recorder
from stemline.clips import SampleRange
from stemline.errors import Cancelled, SeparationError
from stemline_server.engines.base import Control, EngineInfo, EnginePrompt, EngineRequest, Finding, Waveform
from stemline_server.pipeline import PipelineTask, Policy, separate
from stemline_server.pipeline.resample import Resampler


@dataclass
class Gain:
    """A one-channel engine: each target is the mix times a number, in odd blocks, `extra` samples too many."""

    rate: int | None = None
    gains: tuple[float, ...] = (0.5,)
    block: int = 4_801
    extra: int = 0
    requests: list[EngineRequest] = field(default_factory=list)

    @property
    def info(self) -> EngineInfo:
        return EngineInfo(id="gain", title="Gain", revision="1", sample_rate=self.rate)

    def availability(self) -> str:
        return ""

    def check(self, prompt: EnginePrompt) -> None: ...

    def load(self, device: str) -> None: ...

    def unload(self) -> None: ...

    def separate(self, request: EngineRequest, control: Control) -> Iterator[Waveform]:
        self.requests.append(request)
        length = request.audio.length_samples
        for number in range(len(request.prompts)):
            control.find(number, Finding(True, 0.5, f"gain {number}"))
        for start in range(0, length + self.extra, self.block):
            control.step(start, length)
            mix = np.zeros((1, min(self.block, length + self.extra - start)), np.float32)
            inside = request.audio.read(min(start, length), min(start + mix.shape[1], length))
            mix[:, : inside.shape[1]] = inside
            yield np.stack([mix * np.float32(gain) for gain in self.gains])


def noise(channels: int, samples: int, seed: int = 1) -> Waveform:
    return (0.1 * np.random.default_rng(seed).standard_normal((channels, samples))).astype(np.float32)


def band_limited(channels: int, samples: int, rate: int) -> Waveform:
    spectrum = np.fft.rfft(noise(channels, samples))
    spectrum[:, np.fft.rfftfreq(samples, 1 / rate) > 0.3 * min(rate, 48_000)] = 0
    return np.fft.irfft(spectrum, samples).astype(np.float32)


def run(
    mix: Waveform, rate: int, engine: Gain, *, channels: Policy = "linked", scratch: Path | None = None
) -> list[Waveform]:
    sinks = [Collect() for _ in engine.gains]
    prompts = tuple(EnginePrompt(str(gain)) for gain in engine.gains)
    task = PipelineTask(ArraySource(mix, rate), prompts, channels=channels, scratch=scratch)
    separate(task, engine, Recorder(), sinks)
    return [sink.audio() for sink in sinks]


def test_mono_media_keep_the_engine_s_own_samples() -> None:
    mix = noise(1, 20_011)
    half, tenth = run(mix, 48_000, Gain(48_000, (0.5, 0.1)))
    np.testing.assert_array_equal(half, mix * np.float32(0.5))
    np.testing.assert_array_equal(tenth, mix * np.float32(0.1))


@pytest.mark.parametrize("rate", [11_025, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("extra", [-700, 0, 1_919])
def test_a_stem_has_exactly_the_samples_of_its_media(rate: int, extra: int) -> None:
    (stem,) = run(noise(2, 30_001), rate, Gain(48_000, extra=extra), channels="each")
    assert stem.shape == (2, 30_001)


@pytest.mark.parametrize("rate", [4_001, 7_919, 11_025, 32_000, 44_056, 44_100, 47_952, 48_048, 96_000, 767_999])
def test_a_change_of_rate_there_and_back_keeps_sound_in_place(rate: int) -> None:
    mix = band_limited(1, 30_001, rate)
    (stem,) = run(mix, rate, Gain(48_000))
    inner = slice(400, -400)
    np.testing.assert_allclose(stem[:, inner], 0.5 * mix[:, inner], atol=2e-4)


@pytest.mark.parametrize("rate", [7_919, 44_056, 47_952, 48_048, 191_808])
def test_rates_whose_grids_hardly_ever_meet_lose_nothing_that_can_be_heard(rate: int) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 997 * np.arange(2 * rate) / rate)[None]
    (stem,) = run(tone.astype(np.float32), rate, Gain(48_000, (1.0,)))
    error = (stem - tone)[:, rate // 2 : -rate // 2]
    assert 10 * np.log10(np.mean(error**2) / np.mean(tone**2)) < -118


@pytest.mark.parametrize(("from_rate", "to_rate"), [(44_056, 48_000), (48_000, 47_952), (767_999, 48_000)])
def test_sound_has_not_drifted_after_three_hours(from_rate: int, to_rate: int) -> None:
    resampler, start = Resampler(from_rate, to_rate), 3 * 3_600 * to_rate + 1
    first, end = resampler.input_range(start, start + 1_000)
    tone = np.sin(2 * np.pi * (np.arange(first, end) * 997 % from_rate) / from_rate)[None]
    expected = np.sin(2 * np.pi * (np.arange(start, start + 1_000) * 997 % to_rate) / to_rate)[None]
    np.testing.assert_allclose(resampler.apply(tone.astype(np.float32), start, start + 1_000), expected, atol=3e-6)


@pytest.mark.parametrize("samples", [1, 2, 511])
def test_media_shorter_than_any_window(samples: int) -> None:
    (stem,) = run(noise(2, samples), 44_100, Gain(48_000))
    assert stem.shape == (2, samples)


def test_no_sound_at_all_gives_empty_stems() -> None:
    sink = Collect()
    separate(PipelineTask(ArraySource(noise(2, 0), 48_000), (EnginePrompt("x"),)), Gain(), Recorder(), [sink])
    assert sink.blocks == []


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_digital_silence_asks_no_engine(channels: int) -> None:
    engine, control, sink = Gain(48_000), Recorder(), Collect()
    silent = np.zeros((channels, 300_000), np.float32)
    separate(PipelineTask(ArraySource(silent, 44_100), (EnginePrompt("x"),)), engine, control, [sink])
    assert engine.requests == []
    np.testing.assert_array_equal(sink.audio(), silent)
    assert control.findings == {0: Finding(found=False, confidence=0.0)}


def test_linked_channels_share_one_estimate_and_keep_their_panning() -> None:
    pan = np.array([[0.9], [0.3]], np.float32)
    mix = pan * noise(1, 50_000)
    engine = Gain(48_000)
    (stem,) = run(mix, 48_000, engine)
    assert len(engine.requests) == 1
    np.testing.assert_allclose(stem, 0.5 * mix, atol=2e-6)


def test_dual_mono_gets_the_engine_s_own_samples_on_both_sides() -> None:
    mix = np.repeat(noise(1, 50_000), 2, axis=0)
    (stem,) = run(mix, 48_000, Gain(48_000))
    np.testing.assert_array_equal(stem, mix * np.float32(0.5))


def test_nothing_clicks_where_one_sound_on_both_sides_gives_way_to_stereo() -> None:
    """An estimate that the mix does not have: what is carried to the channels is far from the estimate itself."""
    at = np.arange(400_000, dtype=np.float32) / 48_000
    mix = np.repeat(0.3 * np.sin(2 * np.pi * 440 * at)[None], 2, axis=0).astype(np.float32)
    mix[1, 150_000:250_000] *= np.float32(0.9)
    (stem,) = run(mix, 48_000, Gain(48_000, (-0.5,)))
    steps, allowed = np.abs(np.diff(stem, axis=1)), np.abs(np.diff(mix, axis=1)).max()
    assert steps.max() <= 1.1 * allowed


@pytest.mark.parametrize("other", ["antiphase", "decorrelated"])
def test_channels_that_a_fold_down_would_lose_are_done_on_their_own(other: str, tmp_path: Path) -> None:
    first = noise(1, 50_000)
    second = -first if other == "antiphase" else noise(1, 50_000, seed=2)
    mix = np.concatenate((first, second))
    engine = Gain(48_000, (0.5, 0.25))
    half, quarter = run(mix, 48_000, engine, scratch=tmp_path)
    assert len(engine.requests) == 2
    np.testing.assert_array_equal(half, mix * np.float32(0.5))
    np.testing.assert_array_equal(quarter, mix * np.float32(0.25))
    assert engine.requests[0].scratch != engine.requests[1].scratch


def test_a_film_mix_is_done_in_its_parts() -> None:
    """5.1: front pair, centre, no LFE, surround pair."""
    front, centre, surround = noise(1, 50_000, 1), noise(1, 50_000, 2), noise(1, 50_000, 3)
    mix = np.concatenate((front, 0.8 * front, centre, 0 * centre, 0.5 * surround, surround))
    engine = Gain(48_000)
    (stem,) = run(mix, 48_000, engine)
    assert len(engine.requests) == 3
    np.testing.assert_allclose(stem, 0.5 * mix, atol=2e-6)
    np.testing.assert_array_equal(stem[3], 0)


def test_each_asks_for_every_channel_that_sounds() -> None:
    mix = np.repeat(noise(1, 9_000), 3, axis=0)
    mix[1] = 0
    engine = Gain(48_000)
    (stem,) = run(mix, 48_000, engine, channels="each")
    assert len(engine.requests) == 2
    np.testing.assert_array_equal(stem, mix * np.float32(0.5))


@pytest.mark.parametrize("rate", [44_056, 44_100])
def test_where_the_engine_cuts_its_blocks_does_not_show(rate: int) -> None:
    mix = np.concatenate((noise(1, 200_003), noise(1, 200_003))) * np.array([[1], [0.5]], np.float32)
    stems = [run(mix, rate, Gain(48_000, block=block))[0] for block in (997, 4_800, 300_000)]
    for stem in stems[1:]:
        np.testing.assert_allclose(stem, stems[0], atol=2e-7, rtol=0)


def test_spans_and_origin_reach_the_engine_at_its_own_rate() -> None:
    engine = Gain(48_000)
    prompt = EnginePrompt("x", plus=(SampleRange(441, 44_100),), minus=(SampleRange(0, 1),))
    task = PipelineTask(ArraySource(noise(1, 44_100), 44_100), (prompt,), origin_sample=44_100 * 60, seed=7)
    separate(task, engine, Recorder(), [Collect()])
    (request,) = engine.requests
    assert request.prompts[0].plus == (SampleRange(480, 48_000),)
    assert request.prompts[0].minus == (SampleRange(0, 2),)
    assert (request.origin_sample, request.seed) == (48_000 * 60, 7)


def test_every_field_of_a_request_reaches_the_engine() -> None:
    """A field that the pipeline forgot would silently have its default."""
    values = {"seed": 7, "origin_sample": 5, "quality": "best", "scratch": Path("scratch")}
    assert {field.name for field in fields(EngineRequest)} == {"audio", "prompts", *values}
    engine = Gain(48_000)
    source = ArraySource(noise(1, 4_800), 48_000)
    separate(PipelineTask(source, (EnginePrompt("x"),), **values), engine, Recorder(), [Collect()])  # type: ignore[arg-type]
    assert {name: getattr(engine.requests[0], name) for name in values} == values


@dataclass
class Torn(Gain):
    """Sure of what it hears in the first pass, in doubt over the second."""

    def separate(self, request: EngineRequest, control: Control) -> Iterator[Waveform]:
        yield from super().separate(request, control)
        sure = len(self.requests) == 1
        control.find(0, Finding(True, 0.9 if sure else 0.3))
        if not sure:
            control.warn(0, "LOW_CONFIDENCE", "The sound is hardly there.")


def test_a_stem_that_is_sure_does_not_also_say_that_it_is_in_doubt() -> None:
    mix, control = np.concatenate((noise(1, 50_000, 1), noise(1, 50_000, 2))), Recorder()
    engine = Torn(48_000)
    separate(PipelineTask(ArraySource(mix, 48_000), (EnginePrompt("x"),)), engine, control, [Collect()])
    assert len(engine.requests) == 2
    assert control.findings[0].confidence == 0.9
    assert control.warnings == []


def test_the_doubts_of_the_pass_that_is_kept_are_told_once() -> None:
    control, engine = Recorder(), Torn(48_000, requests=[EngineRequest(ArraySource(noise(1, 9), 48_000), ())])
    mix = np.concatenate((noise(1, 50_000, 1), noise(1, 50_000, 2)))
    separate(PipelineTask(ArraySource(mix, 48_000), (EnginePrompt("x"),)), engine, control, [Collect()])
    assert control.warnings == [(0, "LOW_CONFIDENCE", "The sound is hardly there.")]


def test_a_cancel_stops_the_engine_at_its_next_step() -> None:
    control = Recorder(cancel_at_step=4)
    with pytest.raises(Cancelled):
        separate(
            PipelineTask(ArraySource(noise(1, 100_000), 48_000), (EnginePrompt("x"),)), Gain(), control, [Collect()]
        )
    assert len(control.steps) == 4


def test_progress_grows_over_all_passes() -> None:
    control = Recorder()
    mix = np.concatenate((noise(1, 50_000, 1), noise(1, 50_000, 2)))
    separate(PipelineTask(ArraySource(mix, 48_000), (EnginePrompt("x"),)), Gain(), control, [Collect()])
    parts = [done / total for done, total in control.steps]
    assert parts == sorted(parts)
    assert parts[-1] > 0.9


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_never_reach_a_stem(value: float) -> None:
    sink = Collect()
    with pytest.raises(SeparationError):
        separate(
            PipelineTask(ArraySource(noise(1, 9_000), 48_000), (EnginePrompt("x"),)),
            Gain(gains=(value,)),
            Recorder(),
            [sink],
        )
    assert sink.blocks == []


@dataclass
class Ending(Gain):
    """Ends after `blocks` blocks, of the wrong number of channels where `channels` is not 1."""

    blocks: int = 0
    channels: int = 1

    def separate(self, request: EngineRequest, control: Control) -> Iterator[Waveform]:
        for block in itertools.islice(super().separate(request, control), self.blocks):
            yield np.repeat(block, self.channels, axis=1)


@pytest.mark.parametrize("rate", [44_100, 48_000])
@pytest.mark.parametrize(
    ("samples", "blocks", "channels"), [(100, 0, 1), (90_000, 0, 1), (90_000, 1, 1), (90_000, 10, 1), (9_000, 2, 2)]
)
def test_an_engine_that_ends_early_or_gives_another_shape_fails_instead_of_giving_silence(
    rate: int, samples: int, blocks: int, channels: int
) -> None:
    with pytest.raises(SeparationError, match="The model"):
        run(noise(1, samples), rate, Ending(48_000, blocks=blocks, channels=channels, block=4_800))


def test_a_voice_in_antiphase_behind_music_in_phase_is_not_cancelled() -> None:
    """Over the whole time the channels correlate; only moments tell."""
    at = np.arange(100_000)
    voice = 2 * noise(1, at.size, 1) * (at % 20_000 < 2_000)
    music = 0.8 * noise(1, at.size, 2)
    mix = np.concatenate((music + voice, music - voice)).astype(np.float32)
    assert np.asarray(np.corrcoef(mix))[0, 1] > 0.2
    engine = Gain(48_000)
    run(mix, 48_000, engine)
    assert len(engine.requests) == 2
