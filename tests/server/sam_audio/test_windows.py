"""Risks of long clips: seams between windows, results that depend on the batch, noise that depends on the cut."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from server.sam_audio.generated import ArraySource, Recorder, sounds
from stemline_server.engines.base import EnginePrompt, EngineRequest
from stemline_server.engines.sam_audio.checkpoint import Placement, load_model
from stemline_server.engines.sam_audio.engine import SamAudioEngine
from stemline_server.engines.sam_audio.flow import Flow, RequestConditions
from stemline_server.engines.sam_audio.model import SamAudioModel
from stemline_server.engines.sam_audio.noise import frame_noise
from stemline_server.engines.sam_audio.solver import Method, Schedule, solve
from stemline_server.engines.sam_audio.windows import WindowPlan, WindowSize, plan_windows

STANDARD = Schedule(Method.MIDPOINT, 16)
SIZE = WindowSize(frames=60, overlap_frames=20)


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> SamAudioModel:
    return load_model(checkpoint, Placement(torch.device("cpu")))


def conditions(frames: int, prompts: int = 1) -> RequestConditions:
    """A steady mixture, so that all changes along it come from the engine."""
    torch.manual_seed(4)
    mixture = torch.randn(1, 8).repeat(frames, 1) + 0.05 * torch.randn(frames, 8)
    return RequestConditions(mixture, torch.zeros(prompts, frames, dtype=torch.long), torch.randn(prompts, 3, 16), None)


def noise(seed: int, start: int, frames: int) -> Tensor:
    return torch.from_numpy(frame_noise(seed, start, frames, 16))[None]


@torch.inference_mode()
def solved(model: SamAudioModel, given: RequestConditions, state: Tensor, size: WindowSize = SIZE) -> Tensor:
    flow = Flow(model, given, plan_windows(state.shape[1], size), lambda count: None)
    return solve(STANDARD, state, flow)


def cut(given: RequestConditions, start: int, frames: int) -> RequestConditions:
    part = slice(start, start + frames)
    return replace(given, mixture=given.mixture[part], tokens=given.tokens[:, part])


@pytest.mark.parametrize("total", [1, 59, 60, 61, 100, 101, 139, 140, 1000])
def test_windows_cover_all_frames_with_weights_that_sum_to_one(total: int) -> None:
    plan = plan_windows(total, SIZE)
    sums = torch.zeros(total)
    for start, weight in zip(plan.starts, plan.weights, strict=True):
        assert 0 <= start <= total - plan.frames
        sums[start : start + plan.frames] += weight
    torch.testing.assert_close(sums, torch.ones(total))
    assert plan.frames == min(total, 60)
    overlaps = [a + plan.frames - b for a, b in itertools.pairwise(plan.starts)]
    assert all(overlap >= SIZE.overlap_frames for overlap in overlaps)


def test_a_clip_of_one_window_equals_a_plain_solve(model: SamAudioModel) -> None:
    given, state = conditions(60), noise(1, 0, 60)
    conditioning, dit = model.conditioning, model.dit

    def plain(time: float, state: Tensor) -> Tensor:
        at = torch.tensor([time])
        context = conditioning.context(given.mixture[None], given.tokens, conditioning.pictures.without_pictures())
        change: Tensor = dit(conditioning(state, context), dit.prepare(at, conditioning.memory(given.text, at), None))
        return change

    with torch.inference_mode():
        expected = solve(STANDARD, state, plain)
    torch.testing.assert_close(solved(model, given, state), expected, atol=1e-5, rtol=0)


def test_the_batch_size_does_not_change_the_state(model: SamAudioModel) -> None:
    given = conditions(140, prompts=2)
    state = noise(2, 0, 140).repeat(2, 1, 1)
    plan = plan_windows(140, SIZE)
    results = []
    for batch in (1, 3, 100):
        flow = Flow(model, given, plan, lambda count: None)
        flow.batch = batch
        with torch.inference_mode():
            results.append(solve(STANDARD, state, flow))
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], atol=1e-4, rtol=0)


def crossfaded(
    model: SamAudioModel, given: RequestConditions, plan: WindowPlan, noises: list[Tensor]
) -> tuple[Tensor, float]:
    """Solve every window alone and crossfade, as a user does by hand; also return how far neighbours differ."""
    windows = [
        solved(model, cut(given, start, plan.frames), state)[0]
        for start, state in zip(plan.starts, noises, strict=True)
    ]
    whole = torch.zeros(plan.total_frames, 16)
    for start, weight, window in zip(plan.starts, plan.weights, windows, strict=True):
        whole[start : start + plan.frames] += weight[:, None] * window
    gaps = [
        (a[second - first :] - b[: first + plan.frames - second]).square().mean()
        for (first, a), (second, b) in itertools.pairwise(zip(plan.starts, windows, strict=True))
    ]
    return whole, math.sqrt(float(sum(gaps)) / len(gaps))


def dip_db(state: Tensor, plan: WindowPlan) -> float:
    """Power in the middle of the overlaps relative to the power outside of them."""
    shared = torch.zeros(plan.total_frames)
    for start in plan.starts:
        shared[start : start + plan.frames] += 1
    middle = torch.zeros(plan.total_frames, dtype=torch.bool)
    for first, second in itertools.pairwise(plan.starts):
        centre = (second + first + plan.frames) // 2
        middle[centre - 4 : centre + 4] = True
    power = (state - state.mean(dim=0)).square().mean(dim=1)
    return 10 * math.log10(float(power[middle].mean() / power[shared == 1].mean()))


def test_a_shared_state_has_no_seams_where_plain_crossfades_have_them(model: SamAudioModel) -> None:
    frames = 60 + 40 * 24
    given, plan = conditions(frames), plan_windows(frames, SIZE)
    shared = solved(model, given, noise(3, 0, frames))[0]
    own = [noise(100 + number, 0, 60) for number in range(len(plan.starts))]
    separate, gap_own = crossfaded(model, given, plan, own)
    same = [noise(3, start, 60) for start in plan.starts]
    _, gap_same = crossfaded(model, given, plan, same)
    left = last_step_gap(model, given, plan, noise(3, 0, frames))
    print(
        f"dip: shared state {dip_db(shared, plan):.2f} dB, crossfade {dip_db(separate, plan):.2f} dB; "
        f"neighbours differ by: shared state {left:.4f}, crossfade {gap_own:.3f}, with the same noise {gap_same:.4f}"
    )
    assert dip_db(separate, plan) < -1.5
    assert abs(dip_db(shared, plan)) < 0.6
    assert left < gap_same / 4
    assert left < gap_own / 20


@torch.inference_mode()
def last_step_gap(model: SamAudioModel, given: RequestConditions, plan: WindowPlan, state: Tensor) -> float:
    """How far neighbouring windows of the shared state differ after the last step; before it, they agree."""
    flow = Flow(model, given, plan, lambda count: None)
    before_last = solve(
        Schedule(Method.MIDPOINT, 16), state, lambda t, s: flow(t, s) if t < 15 / 16 else torch.zeros_like(s)
    )
    size = 1 / 16
    middle = before_last + size / 2 * flow(15 / 16, before_last)
    gaps = []
    for first, second in itertools.pairwise(plan.starts):
        ends = []
        for start in (first, second):
            alone = Flow(model, cut(given, start, plan.frames), plan_windows(plan.frames, SIZE), lambda count: None)
            velocity = alone(31 / 32, middle[:, start : start + plan.frames])
            ends.append(before_last[:, start : start + plan.frames] + size * velocity)
        gaps.append((ends[0][:, second - first :] - ends[1][:, : first + plan.frames - second]).square().mean())
    return math.sqrt(float(sum(gaps)) / len(gaps))


def test_noise_depends_on_seed_frame_and_candidate() -> None:
    whole = frame_noise(7, 0, 50, 16)
    np.testing.assert_array_equal(frame_noise(7, 20, 10, 16), whole[20:30])
    assert not np.array_equal(frame_noise(8, 0, 50, 16), whole)
    assert not np.array_equal(frame_noise(7, 0, 50, 16, candidate=1), whole)
    assert frame_noise(7, 0, 3, 10).shape == (3, 10)


def test_noise_is_standard_normal_and_reproducible() -> None:
    drawn = frame_noise(0, 0, 20_000, 16).astype(np.float64)
    assert abs(drawn.mean()) < 0.01
    assert abs(drawn.std() - 1) < 0.01
    assert abs((drawn**4).mean() - 3) < 0.05
    assert abs(np.corrcoef(drawn[:-1, 0], drawn[1:, 0])[0, 1]) < 0.03
    np.testing.assert_allclose(frame_noise(42, 1000, 1, 4)[0], EXPECTED_NOISE, atol=1e-6)


EXPECTED_NOISE = (1.0740280151, 0.7561148405, 0.1635152251, -0.1910089254)


def test_a_position_in_the_media_has_the_same_noise_in_every_cut(engine: SamAudioEngine) -> None:
    """Overlapping extents draw the same noise, so their targets differ by context only."""
    audio = sounds(2)
    prompt = (EnginePrompt("dog barking"),)
    whole = EngineRequest(ArraySource(audio), prompt, seed=3)
    later = EngineRequest(ArraySource(audio[:, 48000:]), prompt, seed=3, origin_sample=48000)
    shifted = replace(later, origin_sample=0)
    first, second, third = (
        np.concatenate(list(engine.separate(r, Recorder())), axis=2) for r in (whole, later, shifted)
    )
    near = np.abs(first[..., 48000:] - second).mean()
    far = np.abs(first[..., 48000:] - third).mean()
    assert near < far / 1.5


def test_a_long_clip_has_the_exact_length_and_resumes(engine: SamAudioEngine, tmp_path: Path) -> None:
    loaded = engine._loaded
    assert loaded is not None
    short = SamAudioEngine(settings=engine._settings)
    short._loaded = replace(loaded, window=SIZE)
    request = EngineRequest(ArraySource(sounds(10)[:, :-100]), (EnginePrompt("rain"), EnginePrompt("dog")))
    expected = np.concatenate(list(short.separate(request, Recorder())), axis=2)
    assert expected.shape == (2, 1, 479_900)

    class Stopped(Exception):
        pass

    resumable = replace(request, scratch=tmp_path)
    with pytest.raises(Stopped):
        list(short.separate(resumable, Recorder(200, Stopped)))
    again = np.concatenate(list(short.separate(resumable, Recorder())), axis=2)
    np.testing.assert_array_equal(again, expected)
