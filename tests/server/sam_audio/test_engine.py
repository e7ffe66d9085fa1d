"""Risks of the engine: a wrong length, a result that varies, a cancel that is ignored, a resume that starts over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from server.sam_audio.generated import ArraySource, Recorder, sounds
from stemline.clips import SampleRange
from stemline.errors import Cancelled, Code, SeparationError, UsageError
from stemline_server.engines.base import EnginePrompt, EngineRequest, Waveform
from stemline_server.engines.sam_audio import prompts
from stemline_server.engines.sam_audio.engine import SamAudioEngine
from stemline_server.engines.sam_audio.flow import TimeConditionsCache
from stemline_server.engines.sam_audio.model import SamAudioModel
from stemline_server.engines.sam_audio.settings import Settings

DOG = EnginePrompt("dog barking")


def separate(engine: SamAudioEngine, request: EngineRequest, control: Recorder | None = None) -> Waveform:
    return np.concatenate(list(engine.separate(request, control or Recorder())), axis=2)


def model(engine: SamAudioEngine) -> SamAudioModel:
    assert engine._loaded is not None
    return engine._loaded.model


@pytest.mark.parametrize("samples", [1, 7, 1919, 1920, 1921, 48000, 100_001])
def test_a_target_is_exactly_as_long_as_the_audio(engine: SamAudioEngine, samples: int) -> None:
    audio = ArraySource(sounds(3)[:, :samples])
    target = separate(engine, EngineRequest(audio, (DOG,)))
    assert target.shape == (1, 1, samples)
    assert np.isfinite(target).all()


def test_the_same_request_gives_the_same_samples(engine: SamAudioEngine) -> None:
    request = EngineRequest(ArraySource(sounds(1)), (DOG,), seed=5)
    assert np.array_equal(separate(engine, request), separate(engine, request))


def test_another_seed_gives_another_estimate(engine: SamAudioEngine) -> None:
    audio = ArraySource(sounds(1))
    targets = [separate(engine, EngineRequest(audio, (DOG,), seed=seed)) for seed in (1, 2)]
    assert np.abs(targets[0] - targets[1]).max() > 1e-3


def test_a_target_does_not_depend_on_the_other_prompts(engine: SamAudioEngine) -> None:
    audio = ArraySource(sounds(1))
    prompts = (DOG, EnginePrompt("a man speaking"), EnginePrompt("", plus=(SampleRange(0, 9600),)))
    together = separate(engine, EngineRequest(audio, prompts))
    for number, prompt in enumerate(prompts):
        alone = separate(engine, EngineRequest(audio, (prompt,)))
        np.testing.assert_allclose(together[number], alone[0], atol=1e-4)


def test_each_part_of_a_prompt_changes_the_target(engine: SamAudioEngine) -> None:
    audio = ArraySource(sounds(1))
    visual = np.random.default_rng(3).standard_normal((10, 12)).astype(np.float32)
    prompts = (
        DOG,
        EnginePrompt("thunder"),
        EnginePrompt("dog barking", plus=(SampleRange(9600, 24000),)),
        EnginePrompt("dog barking", minus=(SampleRange(9600, 24000),)),
        EnginePrompt("dog barking", visual=visual),
    )
    targets = separate(engine, EngineRequest(audio, prompts))[:, 0]
    for one in range(len(prompts)):
        for other in range(one):
            assert np.abs(targets[one] - targets[other]).max() > 1e-4, (one, other)


def test_case_and_spaces_of_the_text_do_not_change_the_target(engine: SamAudioEngine) -> None:
    audio = ArraySource(sounds(0.5))
    loud = separate(engine, EngineRequest(audio, (EnginePrompt("  DOG Barking "),)))
    # The watermark's message depends on the normalised text as well.
    assert np.array_equal(loud, separate(engine, EngineRequest(audio, (DOG,))))


def test_progress_is_reported_at_every_evaluation_up_to_the_total(engine: SamAudioEngine) -> None:
    control = Recorder()
    separate(engine, EngineRequest(ArraySource(sounds(1)), (DOG,)), control)
    done = [step for step, _ in control.steps]
    assert done == sorted(done)
    assert len({total for _, total in control.steps}) == 1
    assert done[-1] == control.steps[-1][1]
    assert len(done) >= 32


@pytest.mark.parametrize("stop_at", [0, 1, 10, 34])
def test_a_cancel_stops_the_work_at_any_point(engine: SamAudioEngine, stop_at: int) -> None:
    control = Recorder(stop_at, Cancelled)
    with pytest.raises(Cancelled):
        separate(engine, EngineRequest(ArraySource(sounds(1)), (DOG,)), control)
    assert control.steps[-1][0] == stop_at


def test_prompts_that_differ_in_one_picture_have_different_identities() -> None:
    pictures = np.zeros((2, 400, 12), np.float32)
    pictures[1, 200, 6] = 1
    first, second = (prompts.prompt_identity(EnginePrompt("dog", visual=rows)) for rows in pictures)
    assert first != second
    assert prompts.prompt_identity(EnginePrompt(" Dog ", visual=pictures[0])) == first


class Killed(BaseException):
    """The process of the server ends."""


class KillingRecorder(Recorder):
    def step(self, done: int, total: int) -> None:
        super().step(done, total)
        if done >= 20:
            raise Killed


def test_a_killed_job_resumes_where_it_was(engine: SamAudioEngine, tmp_path: Path) -> None:
    request = EngineRequest(ArraySource(sounds(1)), (DOG, EnginePrompt("rain")), seed=9, scratch=tmp_path)
    with pytest.raises(Killed):
        separate(engine, request, KillingRecorder())
    control = Recorder()
    resumed = separate(engine, request, control)
    whole = Recorder()
    expected = separate(engine, EngineRequest(request.audio, request.prompts, seed=9), whole)
    assert np.array_equal(resumed, expected)
    assert len(control.steps) < len(whole.steps) - 5


def test_a_damaged_state_or_one_of_another_request_is_not_used(engine: SamAudioEngine, tmp_path: Path) -> None:
    audio = ArraySource(sounds(0.5))
    request = EngineRequest(audio, (DOG,), scratch=tmp_path)
    expected = separate(engine, request)
    (state,) = tmp_path.glob("*.safetensors")
    state.write_bytes(state.read_bytes()[:100])
    assert np.array_equal(separate(engine, request), expected)
    other = separate(engine, EngineRequest(ArraySource(sounds(0.5, seed=2)), (DOG,), scratch=tmp_path))
    assert np.abs(other - expected).max() > 1e-3


def test_digital_silence_stays_silent_and_is_reported_as_not_found(engine: SamAudioEngine) -> None:
    control = Recorder()
    audio = ArraySource(np.zeros((1, 50_000), np.float32))
    target = separate(engine, EngineRequest(audio, (DOG, EnginePrompt("rain"))), control)
    assert target.shape == (2, 1, 50_000)
    assert not target.any()
    assert [control.findings[number].found for number in (0, 1)] == [False, False]


def test_near_silence_is_reported_as_not_found(settings: Settings) -> None:
    quiet, control = SamAudioEngine(settings=replace(settings, watermark=False)), Recorder()
    quiet.load("cpu")
    model(quiet).decoder.head.weight.mul_(1e-6)
    model(quiet).decoder.head.bias.zero_()
    separate(quiet, EngineRequest(ArraySource(sounds(0.5)), (DOG,)), control)
    assert control.findings[0].found is False
    assert control.findings[0].confidence > 0.9


def test_the_watermark_changes_the_target_and_its_message_is_in_the_finding(settings: Settings) -> None:
    audio = ArraySource(sounds(0.5))
    targets, notes = [], []
    for chosen in (settings, replace(settings, watermark=False)):
        engine, control = SamAudioEngine(settings=chosen), Recorder()
        engine.load("cpu")
        targets.append(separate(engine, EngineRequest(audio, (DOG,)), control))
        notes.append(dict(control.findings[0].notes)["watermark"])
    assert np.abs(targets[0] - targets[1]).max() > 1e-4
    assert len(notes[0]) == 16
    assert set(notes[0]) <= {"0", "1"}
    assert notes[1] == "off"


def test_out_of_memory_halves_the_batch_and_does_not_change_the_target(
    engine: SamAudioEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = EngineRequest(ArraySource(sounds(0.5)), (DOG, EnginePrompt("rain"), EnginePrompt("thunder")))
    expected = separate(engine, request)
    sizes: list[int] = []

    def small(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        sizes.append(inputs[0].shape[0])
        if inputs[0].shape[0] > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")

    hooks = [part.register_forward_pre_hook(small) for part in (model(engine).dit, model(engine).decoder)]
    try:
        got = separate(engine, request)
    finally:
        for hook in hooks:
            hook.remove()
    np.testing.assert_allclose(got, expected, atol=1e-4)
    assert max(sizes) == 3


def test_out_of_memory_for_one_window_fails_with_advice(engine: SamAudioEngine) -> None:

    def none(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    hook = model(engine).dit.register_forward_pre_hook(none)
    try:
        with pytest.raises(SeparationError) as caught:
            separate(engine, EngineRequest(ArraySource(sounds(0.5)), (DOG,)))
    finally:
        hook.remove()
    assert caught.value.code is Code.DEVICE_OUT_OF_MEMORY
    assert caught.value.advice


@pytest.mark.hour
@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's compiler uses deprecated parts of PyTorch
def test_a_compiled_transformer_gives_the_same_target(settings: Settings, engine: SamAudioEngine) -> None:
    request = EngineRequest(ArraySource(sounds(1)), (DOG, EnginePrompt("rain")))
    compiled = SamAudioEngine(settings=replace(settings, compile=True))
    compiled.load("cpu")
    np.testing.assert_allclose(separate(compiled, request), separate(engine, request), atol=1e-4)


def test_invalid_prompts_are_refused_before_any_work(engine: SamAudioEngine) -> None:
    refused = {
        Code.PROMPT_EMPTY: EnginePrompt("  "),
        Code.PROMPT_TOO_LONG: EnginePrompt("dog " * 1000),
        Code.PROMPT_UNSUPPORTED: EnginePrompt("dog", visual=np.zeros(3)),
    }
    for code, prompt in refused.items():
        with pytest.raises(UsageError) as caught:
            engine.check(prompt)
        assert caught.value.code is code
    engine.check(EnginePrompt("", minus=(SampleRange(0, 10),)))


def test_too_many_tokens_are_refused(engine: SamAudioEngine) -> None:
    with pytest.raises(UsageError) as caught:
        separate(engine, EngineRequest(ArraySource(sounds(0.2)), (EnginePrompt("a " * 600),)))
    assert caught.value.code is Code.PROMPT_TOO_LONG


def test_a_sentence_is_served_with_a_warning(engine: SamAudioEngine) -> None:
    control = Recorder()
    prompts = (EnginePrompt("Please remove the dog."), DOG)
    separate(engine, EngineRequest(ArraySource(sounds(0.2)), prompts), control)
    assert [(number, code) for number, code, _ in control.warnings] == [(0, "PROMPT_SENTENCE")]


def test_every_quality_works_and_an_unknown_one_is_refused(engine: SamAudioEngine) -> None:
    audio = ArraySource(sounds(0.2))
    for quality in ("fast", "standard", "best"):
        assert separate(engine, EngineRequest(audio, (DOG,), quality=quality)).shape == (1, 1, 9600)
    with pytest.raises(UsageError):
        separate(engine, EngineRequest(audio, (DOG,), quality="finest"))


def test_each_text_is_encoded_once(engine: SamAudioEngine) -> None:
    assert engine._loaded is not None
    text, calls = engine._loaded.text, []
    hook = text._encoder.register_forward_hook(lambda *_: calls.append(1))
    try:
        first, _ = text.encode_all(("door rain", " Door RAIN "))
        second, _ = text.encode_all(("door rain", "man door"))
    finally:
        hook.remove()
    assert len(calls) == 2
    assert torch.equal(first[0], first[1])
    assert torch.equal(first[0], second[0, : first.shape[1]])


def test_times_prepared_together_equal_times_prepared_alone(engine: SamAudioEngine) -> None:
    torch.manual_seed(6)
    times, text = (0.0, 0.25, 0.5), torch.randn(2, 5, 16)
    with torch.inference_mode():
        together = TimeConditionsCache(model(engine), text, None, times)
        alone = TimeConditionsCache(model(engine), text, None, ())
        for time in times:
            one, other = together(time), alone(time)
            for name in ("attention", "feed_forward"):
                torch.testing.assert_close(getattr(one.layers[1], name), getattr(other.layers[1], name))
            torch.testing.assert_close(one.layers[1].keys, other.layers[1].keys)
            torch.testing.assert_close(one.layers[1].values, other.layers[1].values)
            torch.testing.assert_close(one.final, other.final)
