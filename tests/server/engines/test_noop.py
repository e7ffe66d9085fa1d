"""The no-op engine is what server tests stand on."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from server.audio import ArraySource, Collect, Recorder
from stemline.errors import Cancelled, Code, UsageError
from stemline_server.engines.base import EnginePrompt
from stemline_server.engines.noop import BLOCK_SAMPLES, NoopEngine
from stemline_server.engines.registry import DEFAULT_ENGINE, create, engine_ids
from stemline_server.pipeline import PipelineTask, separate


def test_each_stem_is_half_of_the_mix_at_any_rate_and_channel_count() -> None:
    mix = np.random.default_rng(1).standard_normal((6, 2 * BLOCK_SAMPLES + 7)).astype(np.float32)
    stems = [Collect(), Collect()]
    control = Recorder()
    prompts = (EnginePrompt("a"), EnginePrompt("b"))
    separate(PipelineTask(ArraySource(mix, 11_025), prompts), NoopEngine(), control, stems)
    for stem in stems:
        np.testing.assert_array_equal(stem.audio(), mix * np.float32(0.5))
    assert [control.findings[n].matched for n in (0, 1)] == ["a", "b"]


def test_sleeping_stops_within_one_step() -> None:
    control = Recorder(cancel_at_step=3)
    task = PipelineTask(ArraySource(np.ones((1, 10), np.float32), 48_000), (EnginePrompt("sleep:60"),))
    with pytest.raises(Cancelled):
        separate(task, NoopEngine(), control, [Collect()])
    assert len(control.steps) == 3


@pytest.mark.parametrize("text", ["sleep:", "sleep:soon", "sleep:-1", "sleep:inf", "sleep:nan"])
def test_a_sleep_without_seconds_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        NoopEngine().check(EnginePrompt(text))
    assert refused.value.code is Code.PROMPT_UNSUPPORTED


def test_engines_are_found_by_name() -> None:
    assert engine_ids()[0] == DEFAULT_ENGINE
    assert "noop" in engine_ids()
    assert create("noop").info.id == "noop"
    with pytest.raises(UsageError) as unknown:
        create("nonsense")
    assert unknown.value.code is Code.MODEL_UNKNOWN
    assert "noop" in unknown.value.advice


def test_no_op_work_imports_no_torch() -> None:
    code = (
        "import sys, stemline_server.pipeline\n"
        "from stemline_server.engines.registry import create\n"
        "create('noop')\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
