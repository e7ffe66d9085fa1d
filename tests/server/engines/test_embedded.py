"""Risks of the embedded engine: a shift, a seam, a wrong length, a lost sound, work that cannot be cancelled."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from server.audio import ArraySource, Collect, Recorder
from stemline.clips import SampleRange
from stemline.errors import Cancelled, Code, SeparationError
from stemline_server.engines.base import EnginePrompt, EngineRequest, Waveform
from stemline_server.engines.embedded import EmbeddedEngine, deepfilter
from stemline_server.engines.embedded.span_context import span_contexts
from stemline_server.engines.embedded.span_nmf import SpeechReference, TargetKind, separate_spans
from stemline_server.pipeline import PipelineTask, separate

RATE = 48_000


def engine() -> EmbeddedEngine:
    built = EmbeddedEngine()
    built.load("cpu")
    return built


def stems(mix: Waveform, *prompts: EnginePrompt) -> tuple[list[Waveform], Recorder]:
    sinks, control = [Collect() for _ in prompts], Recorder()
    separate(PipelineTask(ArraySource(mix, RATE), prompts), engine(), control, sinks)
    return [sink.audio() for sink in sinks], control


def si_sdr_db(estimate: npt.NDArray[np.float64], target: npt.NDArray[np.float64]) -> float:
    """Le Roux et al., "SDR - half-baked or well done?", 2019."""
    scaled = (estimate @ target) / (target @ target) * target
    return float(10 * np.log10((scaled @ scaled) / np.square(estimate - scaled).sum()))


def gained_db(stem: Waveform, target: npt.NDArray[np.float64], mix: Waveform) -> float:
    return si_sdr_db(stem[0].astype(np.float64), target) - si_sdr_db(mix[0].astype(np.float64), target)


def samples(path: Path) -> npt.NDArray[np.float64]:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)]) / 32_768


@pytest.fixture(scope="session")
def evalset(shared_data: Path) -> dict[str, tuple[npt.NDArray[np.float64], Waveform, tuple[SampleRange, ...]]]:
    """For each clip: target, mix [1, n], and where the target sounds."""
    folder = shared_data / "evalset"
    if not folder.is_dir():
        pytest.skip(f"no evaluation set at {folder}")
    clips = {}
    for entry in json.loads((folder / "manifest.json").read_text()):
        target, residual = samples(folder / entry["target"]), samples(folder / entry["residual"])
        spans = tuple(SampleRange(round(a * RATE), min(round(b * RATE), target.size)) for a, b in entry["spans"])
        clips[entry["id"]] = (target, (target + residual).astype(np.float32)[None], spans)
    return clips


def voice_like(seconds: int) -> npt.NDArray[np.float64]:
    """Harmonics of a gliding pitch in syllables: enough for DeepFilterNet3 to take it for a voice."""
    at = np.arange(seconds * RATE) / RATE
    phase = 2 * np.pi * np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * at)) / RATE
    tone = sum(np.cos(k * phase) / k for k in range(1, 30))
    return 0.1 * tone * np.clip(np.sin(2 * np.pi * 3 * at), 0, 1)


def bursts_in_noise(
    seconds: int, period_s: int = 2
) -> tuple[npt.NDArray[np.float64], Waveform, tuple[SampleRange, ...]]:
    """A tone for half a second of every period, in steady noise: target, mix, spans."""
    count = seconds * RATE
    at = np.arange(count)
    on = (at % (period_s * RATE) >= RATE // 2) & (at % (period_s * RATE) < RATE)
    target = 0.2 * on * (np.sin(2 * np.pi * 700 * at / RATE) + np.sin(2 * np.pi * 1_900 * at / RATE))
    mix = (target + 0.05 * np.random.default_rng(3).standard_normal(count)).astype(np.float32)[None]
    starts = range(RATE // 2, count, period_s * RATE)
    return target, mix, tuple(SampleRange(start, start + RATE // 2) for start in starts)


def test_speech_is_not_shifted() -> None:
    voice = voice_like(2)
    (stem,), control = stems(voice.astype(np.float32)[None], EnginePrompt("speech"))
    heard = stem[0].astype(np.float64)
    lags = range(-60, 61, 4)
    best = max(lags, key=lambda lag: float(np.roll(heard, -lag) @ voice))
    assert abs(best) <= 4
    assert control.findings[0].matched == "speech"


@pytest.mark.parametrize("length", [1, 479, 480, 48_000, 48_001])
def test_stems_are_as_long_as_the_mix(length: int) -> None:
    mix = (0.1 * np.random.default_rng(1).standard_normal((1, length))).astype(np.float32)
    (speech, rest), _ = stems(mix, EnginePrompt("speech"), EnginePrompt("background noise"))
    assert speech.shape == rest.shape == mix.shape
    np.testing.assert_allclose(speech + rest, mix, atol=1e-6)


def test_speech_improves_by_more_than_5_db(
    evalset: dict[str, tuple[npt.NDArray[np.float64], Waveform, tuple[SampleRange, ...]]],
) -> None:
    target, mix, spans = evalset["g03_speech"]
    (by_words, by_both), _ = stems(mix, EnginePrompt("remove the voice"), EnginePrompt("voice", plus=spans))
    assert gained_db(by_words, target, mix) > 5
    assert gained_db(by_both, target, mix) > 5


def test_marked_sounds_improve_by_more_than_5_db(
    evalset: dict[str, tuple[npt.NDArray[np.float64], Waveform, tuple[SampleRange, ...]]],
) -> None:
    target, mix, spans = evalset["g13_animal"]
    (stem,), _ = stems(mix, EnginePrompt(plus=spans))
    assert gained_db(stem, target, mix) > 5


def test_an_animal_by_name_improves_by_more_than_8_db(
    evalset: dict[str, tuple[npt.NDArray[np.float64], Waveform, tuple[SampleRange, ...]]],
) -> None:
    target, mix, _ = evalset["g12_animal"]
    (stem,), _ = stems(mix, EnginePrompt("duck quacking"))
    assert gained_db(stem, target, mix) > 8


def test_a_marked_sound_is_separated_from_noise_and_nothing_else_is() -> None:
    target, mix, spans = bursts_in_noise(6)
    (stem, rest), control = stems(mix, EnginePrompt(plus=spans), EnginePrompt(minus=spans))
    assert gained_db(stem, target, mix) > 8
    assert not stem[0, : RATE // 2].any()
    np.testing.assert_allclose(stem + rest, mix, atol=1e-6)
    assert control.findings[0].found


def test_plus_and_minus_spans_together_find_the_sound_in_unmarked_audio() -> None:
    target, mix, spans = bursts_in_noise(8)
    without = SampleRange(spans[0].end_sample, spans[1].start_sample)
    (stem,), _ = stems(mix, EnginePrompt(plus=spans[:1], minus=(without,)))
    assert gained_db(stem, target, mix) > 8
    assert not stem[0, without.start_sample : without.end_sample].any()


def test_the_same_request_gives_the_same_samples() -> None:
    _, mix, spans = bursts_in_noise(2)
    first, again = (stems(mix, EnginePrompt(plus=spans), EnginePrompt("speech"))[0] for _ in range(2))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_stem_does_not_depend_on_the_other_prompts() -> None:
    _, mix, spans = bursts_in_noise(2)
    (alone,), _ = stems(mix, EnginePrompt(plus=spans))
    (_, _, together), _ = stems(mix, EnginePrompt("speech"), EnginePrompt(minus=spans[:1]), EnginePrompt(plus=spans))
    np.testing.assert_array_equal(alone, together)


def test_blocks_of_a_marked_sound_have_no_seams() -> None:
    """A steady tone that is marked throughout stays steady where blocks and groups meet."""
    at = np.arange(30 * RATE)
    tone = np.where(at >= 5 * RATE, 0.2 * np.sin(2 * np.pi * 1_000 * at / RATE), 0)
    mix = (tone + 0.02 * np.random.default_rng(5).standard_normal(at.size)).astype(np.float32)[None]
    contexts = span_contexts([SampleRange(5 * RATE, at.size)], [], at.size)
    stem = np.concatenate(list(separate_spans(ArraySource(mix, RATE), contexts, 0, lambda: None)), axis=1)[0]
    levels = np.sqrt(np.square(stem[6 * RATE : 29 * RATE].reshape(-1, RATE // 50)).mean(axis=1))
    assert levels.max() / levels.min() < 1.2


def test_marked_speech_is_two_parts_speech_estimate_and_one_part_nmf() -> None:
    _, mix, spans = bursts_in_noise(4)
    estimate = (0.1 * np.random.default_rng(4).standard_normal(mix.shape)).astype(np.float32)
    contexts = span_contexts(spans, [], mix.shape[1])

    def marked(speech: Waveform) -> Waveform:
        reference = SpeechReference(ArraySource(speech, RATE), TargetKind.SPEECH)
        blocks = separate_spans(ArraySource(mix, RATE), contexts, 0, lambda: None, reference)
        return np.concatenate(list(blocks), axis=1)

    difference = marked(estimate) - marked(0 * estimate)
    inside = slice(spans[0].start_sample + 480, spans[0].end_sample - 480)
    np.testing.assert_allclose(difference[:, inside], 2 / 3 * estimate[:, inside], atol=1e-6)


@pytest.mark.parametrize("prompt", [EnginePrompt("speech"), EnginePrompt(plus=(SampleRange(RATE, 2 * RATE),))])
def test_cancel_stops_within_one_step(prompt: EnginePrompt) -> None:
    mix = (0.1 * np.random.default_rng(1).standard_normal((1, 4 * RATE))).astype(np.float32)
    control = Recorder(cancel_at_step=2)
    with pytest.raises(Cancelled):
        list(engine().separate(EngineRequest(ArraySource(mix, RATE), (prompt,)), control))
    assert len(control.steps) == 2


def test_temporary_files_are_in_the_folder_of_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hours of sound may not fit into the system's temporary folder, which is often in memory."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    request = EngineRequest(
        ArraySource(np.zeros((1, RATE), np.float32), RATE), (EnginePrompt("speech"),), scratch=tmp_path
    )
    assert sum(block.shape[-1] for block in engine().separate(request, Recorder())) == RATE


def test_spans_without_any_background_are_refused() -> None:
    mix = np.ones((1, RATE), np.float32)
    with pytest.raises(SeparationError) as refused:
        stems(mix, EnginePrompt(plus=(SampleRange(0, RATE),)))
    assert refused.value.code is Code.PROMPT_UNSUPPORTED


def test_speech_of_long_audio_is_read_in_short_pieces() -> None:
    class Long(ArraySource):
        longest = 0

        def read(self, start_sample: int, end_sample: int) -> Waveform:
            Long.longest = max(Long.longest, end_sample - start_sample)
            return super().read(start_sample, end_sample)

    source = Long(np.zeros((1, 4 * RATE), np.float32), RATE)
    assert sum(block.samples.shape[1] for block in deepfilter.speech_blocks(source)) == 4 * RATE
    assert Long.longest <= RATE
