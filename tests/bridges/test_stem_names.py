"""One set of rules for stem names, whichever program the user types one in."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys

import pytest

from stemline.errors import UsageError
from stemline.prompts import clean_name, name_from_text
from stemline_bridge.stem_names import (
    StemNameError,
    asks_to_remove,
    clean_stem_name,
    numbered,
    sound_in,
    stem_name_from_text,
)

pytestmark = pytest.mark.smoke

TYPED = [
    "dialogue",
    " two  words ",
    "e\u0301te\u0301",
    "हिन्दी",
    "Residual",
    "RESİDUAL",
    ".a",
    "a/b",
    "x" * 65,
    "a\u200bb",
    "-",
]
PROMPTS = [
    "remove the rain",
    "Isolate a dog barking",
    "residual",
    "remove",
    "the",
    "ภาษาไทย!",
    "a very long description of some sound that goes on",
    "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichenträgerverein",
    "?",
]

_ASK_BLENDER = """
import json, sys
from unittest import mock
class Types:
    def __getattr__(self, name):
        return type(name, (), {})
sys.modules["bpy"] = bpy = mock.MagicMock(types=Types())
for name in ("bpy.app", "bpy.app.translations", "blf"):
    sys.modules[name] = mock.MagicMock()
from stemline_blender import asking
from stemline_blender.link import HostError
def named(given, text):
    try:
        return asking.stem_name(given, text)
    except HostError:
        return None
typed, prompts = json.load(sys.stdin)
print(json.dumps([[named(one, "") for one in typed], [named("", one) for one in prompts]]))
"""


def _typed_name(name: str) -> str | None:
    try:
        return clean_name(name)
    except UsageError:
        return None


def test_blender_and_the_command_line_give_a_stem_the_same_name() -> None:
    """They once differed for "remove the rain" and for "residual"."""
    asked = subprocess.run(
        [sys.executable, "-c", _ASK_BLENDER],
        input=json.dumps([TYPED, PROMPTS]),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    typed, derived = json.loads(asked.stdout)
    assert typed == [_typed_name(name) for name in TYPED]
    assert derived == [name_from_text(text) for text in PROMPTS]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("remove the rain", "rain"),
        ("please get rid of the traffic noise", "traffic noise"),
        ("residual", "residual stem"),
        ("remove the residual", "residual stem"),
        ("remove", "remove"),
        ("", "stem"),
        ("?!", "stem"),
        ("a very long description of some sound that goes on", "very long description of some"),
        ("dog, far-off (barking)", "dog far-off barking"),
    ],
)
def test_a_prompt_names_its_stem_after_the_sound(text: str, name: str) -> None:
    assert stem_name_from_text(text) == name


@pytest.mark.parametrize("text", PROMPTS)
def test_a_derived_name_can_be_typed_as_a_name(text: str) -> None:
    name = stem_name_from_text(text)
    assert clean_stem_name(name) == name


@pytest.mark.parametrize("name", ["", "residual", "RESIDUAL", ".hidden", "a/b", "a\\b", "a:b", "x" * 65])
def test_a_name_that_a_file_or_the_residual_could_not_have_is_refused_with_advice(name: str) -> None:
    with pytest.raises(StemNameError) as refused:
        clean_stem_name(name)
    assert refused.value.advice


def test_a_request_phrase_is_not_part_of_the_sound() -> None:
    assert sound_in("Please isolate the dog barking") == "dog barking"
    assert sound_in("can you") == "can you"
    assert asks_to_remove("please mute the rain")
    assert not asks_to_remove("isolate the rain")


def test_numbered_names_begin_with_the_plain_one() -> None:
    assert list(itertools.islice(numbered("cut"), 3)) == ["cut", "cut-2", "cut-3"]
    assert list(itertools.islice(numbered("Scene", " "), 2)) == ["Scene", "Scene 2"]
