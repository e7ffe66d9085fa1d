"""Risks of the no-op engine: a wrong sample, a delay that cannot be stopped, torch imported."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from server.audio import ArraySource, Collect, Recorder
from stemline.errors import Cancelled, Code, UsageError
from stemline_server.engines.base import EnginePrompt
from stemline_server.engines.noop import BLOCK_SAMPLES, NoopEngine
from stemline_server.pipeline import PipelineTask, separate

pytestmark = pytest.mark.smoke


def test_each_stem_is_half_of_the_mix_at_any_rate_and_channel_count() -> None:
    mix = np.random.default_rng(1).standard_normal((6, 2 * BLOCK_SAMPLES + 7)).astype(np.float32)
    stems = [Collect(), Collect()]
    control = Recorder()
    prompts = (EnginePrompt("a"), EnginePrompt("b"))
    separate(PipelineTask(ArraySource(mix, 11_025), prompts), NoopEngine(), control, stems)
    for stem in stems:
        np.testing.assert_array_equal(stem.audio(), mix * np.float32(0.5))
    assert [control.findings[n].matched for n in (0, 1)] == ["a", "b"]


def test_cancelling_ends_the_delay_within_one_step() -> None:
    control = Recorder(cancel_at_step=3)
    task = PipelineTask(ArraySource(np.ones((1, 10), np.float32), 48_000), (EnginePrompt("sleep:60"),))
    with pytest.raises(Cancelled):
        separate(task, NoopEngine(), control, [Collect()])
    assert len(control.steps) == 3


@pytest.mark.parametrize("text", ["sleep:", "sleep:soon", "sleep:-1", "sleep:inf", "sleep:nan"])
def test_a_delay_without_valid_seconds_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        NoopEngine().check(EnginePrompt(text))
    assert refused.value.code is Code.PROMPT_UNSUPPORTED


def test_the_no_op_engine_does_not_import_torch() -> None:
    code = (
        "import sys, stemline_server.pipeline\n"
        "from stemline_server.engines.registry import create\n"
        "create('noop')\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
