"""Risk: more threads than the machine has cores to give, which makes every product wait for the slowest of them."""

from __future__ import annotations

import pytest
import torch

from stemline_server.engines.sam_audio import device
from stemline_server.engines.sam_audio.device import cpu_threads, fastest_threads


@pytest.fixture
def eight_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which PyTorch starts eight threads by itself."""
    using = [8]
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: using[-1])
    monkeypatch.setattr(torch, "set_num_threads", using.append)
    fastest_threads.cache_clear()


@pytest.mark.usefixtures("eight_threads")
@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({1: 0.04, 2: 0.02, 4: 0.011, 8: 0.006}, 8),
        ({1: 0.04, 2: 0.021, 4: 0.0205, 8: 0.2}, 2),
        ({1: 0.04, 2: 0.05, 4: 0.05, 8: 0.05}, 1),
    ],
)
def test_the_fewest_threads_that_are_about_as_fast_are_used(
    monkeypatch: pytest.MonkeyPatch, seconds: dict[int, float], expected: int
) -> None:
    monkeypatch.setattr(device, "_seconds_of_product", lambda *_: seconds[torch.get_num_threads()])
    assert fastest_threads() == expected
    assert torch.get_num_threads() == 8
    fastest_threads.cache_clear()


@pytest.mark.usefixtures("eight_threads")
def test_a_number_in_the_environment_takes_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    monkeypatch.setattr(device, "_seconds_of_product", lambda *_: pytest.fail("measured"))
    assert fastest_threads() == 8
    fastest_threads.cache_clear()


def test_other_engines_keep_their_threads() -> None:
    before = torch.get_num_threads()
    with pytest.raises(KeyError), cpu_threads(3):
        assert torch.get_num_threads() == 3
        raise KeyError
    assert torch.get_num_threads() == before
