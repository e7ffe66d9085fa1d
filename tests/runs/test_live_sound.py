"""Sound is heard while it is computed: too late, other samples than the files, or sound of a job that is lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import stemline
from runs.conftest import noise
from stemline.clips import RESIDUAL, MediaSource
from stemline.errors import Code
from stemline.media import open_audio
from stemline_server.engines.base import Control, EnginePrompt, EngineRequest, Finding, Waveform
from stemline_server.testing import FunctionEngine, LocalServer, serve_engines

RATE = 8000
CELL_S = 4
PATIENCE_S = 60.0


def at_its_own_level(mix: Waveform, rate: int, prompt: EnginePrompt) -> Waveform:
    return mix * np.float32(0.25 + np.abs(mix).mean())


class SteppingEngine(FunctionEngine):
    """Yields half a second at a time, and waits before the second one of a request until `go_on` is set."""

    def __init__(self, cell_s: int) -> None:
        super().__init__(at_its_own_level, cell_s=cell_s)
        self.go_on = threading.Event()
        self.finished = 0

    def separate(self, request: EngineRequest, control: Control) -> Iterator[Waveform]:
        audio = request.audio
        mix = audio.read(0, audio.length_samples)
        for start in range(0, audio.length_samples, RATE // 2):
            while start == RATE // 2 and not self.go_on.wait(0.05):
                control.step(start, audio.length_samples)
            yield np.stack([at_its_own_level(mix, RATE, p)[:, start : start + RATE // 2] for p in request.prompts])
        self.finished += 1
        for number in range(len(request.prompts)):
            control.find(number, Finding(found=True, confidence=1.0))


def whole(path: str) -> np.ndarray:
    with open_audio(MediaSource(path)) as reader:
        return reader.read(0, reader.length_samples)


@pytest.fixture
def engine() -> SteppingEngine:
    return SteppingEngine(CELL_S)


@pytest.fixture
def server(engine: SteppingEngine, tmp_path: Path) -> Iterator[LocalServer]:
    with serve_engines(engine, state=tmp_path / "state") as running:
        yield running
        engine.go_on.set()


@pytest.fixture
def client(server: LocalServer) -> Iterator[stemline.Client]:
    with stemline.connect(server.address, token=server.token) as connection:
        yield connection


@pytest.mark.parametrize("length_s", [3, 11])
def test_the_first_sound_comes_before_its_job_ends_and_all_sound_equals_the_files(
    length_s: int, engine: SteppingEngine, client: stemline.Client, tmp_path: Path
) -> None:
    """A short clip, which is one job, and one of three cells that cross-fade; 24-bit files of 16-bit media."""
    take = noise(tmp_path / "take.wav", seconds=length_s, sample_rate=RATE, channels=2)
    with stemline.start(take, {"a": "x", "b": "y"}, output=tmp_path / "out", client=client) as run:
        blocks = run.blocks()
        heard = [next(blocks)]
        assert engine.finished == 0 and heard[0].stem == "a" and 0 < heard[0].samples.shape[1] <= RATE // 2
        engine.go_on.set()
        heard += blocks
        result = run.result(PATIENCE_S)
    assert isinstance(result, stemline.Result)
    for stem in ("a", "b", RESIDUAL):
        own = [block for block in heard if block.stem == stem]
        assert [block.start_sample for block in own] == np.cumsum([0, *(b.samples.shape[1] for b in own[:-1])]).tolist()
        np.testing.assert_array_equal(np.concatenate([b.samples for b in own], axis=1), whole(result.paths[stem]))


def test_sound_that_was_heard_is_the_same_when_the_server_is_stopped_and_goes_on(
    engine: SteppingEngine, tmp_path: Path
) -> None:
    take = noise(tmp_path / "take.wav", seconds=3, sample_rate=RATE, channels=1)
    with serve_engines(engine, state=tmp_path / "state") as running:
        client = stemline.connect(running.address, token=running.token)
        run = stemline.start(take, {"a": "x"}, output=tmp_path / "out", client=client)
        first = next(run.blocks())
        run.close()
        client.close()
    engine.go_on.set()
    with (
        serve_engines(engine, state=tmp_path / "state") as again,
        stemline.connect(again.address, token=again.token) as client,
    ):
        result = stemline.separate(take, {"a": "x"}, output=tmp_path / "out", client=client)
    stored = whole(result.paths["a"])[:, : first.samples.shape[1]]
    np.testing.assert_array_equal(first.samples, stored)


def test_a_stem_of_an_unknown_job_is_not_sent(client: stemline.Client) -> None:
    received = threading.Event()
    stem = client.receive_stem("jobs/nothing", 1, received.set)
    assert not received.wait(0.3) and stem.received_samples == 0
    stem.close()
    with pytest.raises(ValueError, match="received"):
        stem.read(0, 1)
    with pytest.raises(stemline.StemlineError) as error:
        client.job("jobs/nothing")
    assert error.value.code is Code.JOB_UNKNOWN
