"""The names of `import stemline`: what they are, that they are typed, explained, and that their examples run."""

from __future__ import annotations

import dataclasses
import doctest
import inspect
import json
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import stemline

NAMES = {
    "Block",
    "Box",
    "Cancelled",
    "Client",
    "ClipOutcome",
    "Code",
    "Detection",
    "EditError",
    "EditOptions",
    "EditResult",
    "Estimate",
    "HostError",
    "InputError",
    "KnownSound",
    "KnownSounds",
    "Mask",
    "MediaError",
    "NoServerError",
    "ObjectSpans",
    "OutputError",
    "Preset",
    "Progress",
    "Prompt",
    "PromptCheck",
    "PromptStatus",
    "Record",
    "Replace",
    "Result",
    "Run",
    "SeparationError",
    "Settings",
    "Span",
    "Stem",
    "StemOutcome",
    "StemlineError",
    "Suggestion",
    "Suggestions",
    "UsageError",
    "Verdict",
    "WatchEvent",
    "WatchState",
    "__version__",
    "check_prompt",
    "connect",
    "detect",
    "estimate",
    "find_preset",
    "find_voices",
    "known_sounds",
    "list_presets",
    "list_trackers",
    "read_presets",
    "recorded_stems",
    "remove_preset",
    "save_presets",
    "separate",
    "separate_edit",
    "sign",
    "start",
    "suggest",
    "suggest_spans",
    "take_back",
    "verify",
    "watch",
    "write_presets",
}
HEAVY = ("numpy", "av", "grpc", "google", "opentimelineio", "torch", "PyQt5", "rich", "jinja2")
VALUES = (
    "Box",
    "Mask",
    "Prompt",
    "Span",
    "Stem",
    "Settings",
    "EditOptions",
    "Result",
    "EditResult",
    "ClipOutcome",
    "Preset",
    "Record",
    "Replace",
    "Suggestion",
    "Suggestions",
    "Verdict",
)


def test_a_name_does_not_come_or_go_unnoticed() -> None:
    assert set(stemline.__all__) == NAMES
    assert set(stemline.__all__) <= set(dir(stemline))
    with pytest.raises(AttributeError):
        stemline.nonsense  # noqa: B018


@pytest.mark.parametrize("name", sorted(NAMES - {"__version__"}))
def test_every_name_is_typed_and_explained_with_an_example_that_runs(name: str, project: Path) -> None:
    found = getattr(stemline, name)
    assert name in (found.__name__, "Record")
    text = vars(found)["__doc__"] if inspect.isclass(found) else found.__doc__
    assert text and text[0].isupper()
    if inspect.isfunction(found):
        hints = typing.get_type_hints(found)
        assert set(hints) == {*inspect.signature(found).parameters, "return"}
    examples = doctest.DocTestFinder(recurse=False).find(found, name, globs={})
    assert examples and examples[0].examples, f"{name} has no example"
    for example in examples:
        assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example).failed == 0


@pytest.mark.parametrize("name", VALUES)
def test_values_cannot_be_changed_by_mistake(name: str) -> None:
    assert dataclasses.fields(getattr(stemline, name))
    assert getattr(stemline, name).__dataclass_params__.frozen


def test_importing_and_asking_for_help_loads_nothing_heavy() -> None:
    for line in ("import stemline", "from stemline_app.cli.main import build_parser; build_parser(['--help'])"):
        code = f"{line}; import sys, json; print(json.dumps(sorted(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        loaded = {module.partition(".")[0] for module in json.loads(done.stdout)}
        assert loaded.isdisjoint(HEAVY), line
