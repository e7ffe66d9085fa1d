"""Risks of finding engines: an id of another engine, a plug-in that hides the others, a contract that is wrong."""

from __future__ import annotations

import doctest
import pickle
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

import pytest

from stemline.clips import SampleRange
from stemline.errors import Code, SeparationError, UsageError
from stemline_server.engines import base, registry
from stemline_server.engines.base import EngineInfo, EnginePrompt, Finding
from stemline_server.engines.noop import NoopEngine
from stemline_server.generators import base as generators
from stemline_server.taggers.registry import tagger_ids


class BrokenEngine:
    def __init__(self) -> None:
        raise RuntimeError("no licence file")


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Install an entry point NAME that loads OBJECT of this module or another one."""

    def add(name: str, target: str) -> None:
        point = EntryPoint(name, target, registry.GROUP)
        monkeypatch.setattr(registry, "_installed", lambda: (point,))

    return add


def test_engines_are_found_by_name() -> None:
    assert registry.engine_ids()[0] == registry.DEFAULT_ENGINE
    assert "noop" in registry.engine_ids()
    assert registry.create("noop").info.id == "noop"
    assert registry.create("").info.id == registry.DEFAULT_ENGINE
    with pytest.raises(UsageError) as unknown:
        registry.create("nonsense")
    assert unknown.value.code is Code.MODEL_UNKNOWN
    assert "noop" in unknown.value.advice


def test_the_packages_are_scanned_once_however_often_engines_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    scans: list[object] = []

    def scan() -> Any:
        scans.append(None)
        return entry_points()

    monkeypatch.setattr(registry, "entry_points", scan)
    registry._installed.cache_clear()
    for _ in range(3):
        registry.create("noop")
        assert "audioset" in tagger_ids()
    assert len(scans) == 1


def test_an_entry_point_with_another_name_than_its_engine_is_refused(install: Callable[[str, str], None]) -> None:
    install("halve", "stemline_server.engines.noop:NoopEngine")
    with pytest.raises(SeparationError, match="'halve' provides an engine with the id 'noop'") as refused:
        registry.create("halve")
    assert refused.value.code is Code.MODEL_UNAVAILABLE


@pytest.mark.parametrize("target", [f"{__name__}:BrokenEngine", f"{__name__}:Missing", "no_such_package:Engine"])
def test_a_plug_in_that_cannot_be_created_leaves_the_other_engines_usable(
    install: Callable[[str, str], None], target: str
) -> None:
    install("broken", target)
    assert {"broken", "noop", "embedded"} <= set(registry.engine_ids())
    assert isinstance(registry.create("noop"), NoopEngine)
    with pytest.raises(SeparationError, match="'broken' cannot be loaded") as refused:
        registry.create("broken")
    assert refused.value.code is Code.MODEL_UNAVAILABLE


@pytest.mark.parametrize("contract", [base, generators])
def test_the_example_of_the_contract_runs(contract: ModuleType) -> None:
    result = doctest.testmod(contract)
    assert result.attempted and not result.failed


def test_prompts_findings_and_descriptions_survive_pickling() -> None:
    span = (SampleRange(0, 10),)
    for value in (
        EnginePrompt("dog", span, span),
        Finding(True, 0.5, "dog", (("a", "b"),)),
        EngineInfo("a", "A", "1", 1),
    ):
        assert pickle.loads(pickle.dumps(value)) == value  # noqa: S301 - made on the line above
