"""Engines in tests: a function is enough, and a plug-in that fails harms no other model."""

from __future__ import annotations

import doctest
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import stemline
import stemline_server.testing
from server.harness import RATE, samples_of, write_noise
from stemline.client.values import JobRequest
from stemline.clips import MediaSource, SampleRange
from stemline.errors import Code, SeparationError
from stemline.prompts import SamplePrompt
from stemline_server.engines.base import Control, EngineRequest, Waveform
from stemline_server.engines.noop import NoopEngine
from stemline_server.testing import FunctionEngine, serve_engines

pytestmark = pytest.mark.smoke

LENGTH = 9_000


def separate(client: stemline.Client, path: Path, model: str = "", text: str = "speech") -> np.ndarray:
    media = client.ensure_media(MediaSource(str(path)), SampleRange(0, LENGTH))
    (job,) = client.create_jobs([JobRequest(media=media.name, prompt=SamplePrompt(text), model=model)])
    *_, done = client.watch([job.name])
    if done.error is not None:
        raise done.error.error()
    assert done.stem is not None
    with client.open_media(done.stem.media) as stem:
        return stem.read(0, LENGTH).T


def test_a_function_separates_a_file_through_the_front_door(tmp_path: Path) -> None:
    clip = write_noise(tmp_path / "clip.wav", LENGTH)
    engine = FunctionEngine(lambda mix, rate, prompt: 0.5 * mix)
    with (
        serve_engines(engine, state=tmp_path / "state") as server,
        stemline.connect(server.address, token=server.token) as client,
    ):
        result = stemline.separate(clip, {"dialogue": "speech"}, output=tmp_path / "out", client=client)
    assert [outcome.stem for outcome in result.stems] == ["dialogue"]


@pytest.mark.parametrize("sample_rate", [None, 44_100])
def test_the_function_gets_the_mix_the_rate_and_the_prompt(tmp_path: Path, sample_rate: int | None) -> None:
    clip = write_noise(tmp_path / "clip.wav", LENGTH)
    seen: list[tuple[tuple[int, ...], int, str]] = []

    def function(mix: Waveform, rate: int, prompt: stemline.Prompt) -> Waveform:
        seen.append((mix.shape, rate, prompt.text))
        return mix

    engine = FunctionEngine(function, sample_rate=sample_rate)  # type: ignore[arg-type]
    with (
        serve_engines(engine, state=tmp_path / "state") as server,
        stemline.connect(server.address, token=server.token) as client,
    ):
        stem = separate(client, clip, text="dog")
    rate = sample_rate or RATE
    assert seen == [((2, -(-LENGTH * rate // RATE)), rate, "dog")]
    if sample_rate is None:
        assert np.array_equal(stem, samples_of(clip))


def test_a_function_that_gives_another_shape_fails_the_job(tmp_path: Path) -> None:
    clip = write_noise(tmp_path / "clip.wav", LENGTH)
    with (
        serve_engines(FunctionEngine(lambda mix, rate, prompt: mix[:, 1:]), state=tmp_path / "state") as server,
        stemline.connect(server.address, token=server.token) as client,
        pytest.raises(SeparationError, match="The function gave"),
    ):
        separate(client, clip)


def test_the_example_of_the_docstring_runs() -> None:
    assert doctest.testmod(stemline_server.testing).failed == 0


class FailingPlugin(NoopEngine):
    """An engine of somebody else that raises wherever the server asks it."""

    info = NoopEngine.info.__class__("failing", "Failing", "1", None)

    def availability(self) -> str:
        raise KeyError("no settings")

    def separate(self, request: EngineRequest, control: Control) -> Iterator[Waveform]:
        raise AssertionError("it never runs")


def test_a_plugin_that_raises_when_it_is_asked_harms_no_other_model(tmp_path: Path) -> None:
    clip = write_noise(tmp_path / "clip.wav", LENGTH)
    engines = (NoopEngine(), FailingPlugin())
    with (
        serve_engines(*engines, state=tmp_path / "state") as server,
        stemline.connect(server.address, token=server.token) as client,
    ):
        models = {model.id: model for model in client.models()}
        assert models["noop"].available
        assert not models["failing"].available
        assert "no settings" in models["failing"].note
        assert np.array_equal(separate(client, clip), samples_of(clip) / 2)
        with pytest.raises(SeparationError) as refused:
            separate(client, clip, model="failing")
        assert refused.value.code is Code.MODEL_UNAVAILABLE
