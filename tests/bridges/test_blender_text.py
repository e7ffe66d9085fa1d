"""Sentences in Blender's panel are shown to their end: a label hides what does not fit."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest

import stemline_bridge

LAYOUT = Path(stemline_bridge.__file__).parents[1] / "stemline_blender" / "text_layout.py"
UNKNOWN = "This model doesn't know 'vuvuzela horn'. Use speech, music, dog barking or mark where the sound is."
PATH = "/films/a_folder_whose_name_has_no_space/reel_0001/voice.wav cannot be written."


@pytest.fixture
def layout(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, in a Blender whose letters are 7 pixels wide at a scale of 1."""
    bpy, blf = mock.MagicMock(), mock.MagicMock()
    scale = bpy.context.preferences.system.ui_scale = 1.5
    blf.dimensions = lambda font, text: (7 * scale * len(text), 10.0)
    monkeypatch.setitem(sys.modules, "bpy", bpy)
    monkeypatch.setitem(sys.modules, "blf", blf)
    spec = importlib.util.spec_from_file_location("text_layout", LAYOUT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("text", [UNKNOWN, PATH, "語" * 40, "one", ""])
@pytest.mark.parametrize("width", [7, 60, 100, 2000])
def test_every_line_fits_and_no_character_is_lost(layout: ModuleType, text: str, width: int) -> None:
    lines = layout.wrap_text(text, width, lambda line: 7 * len(line))
    assert all(len(line) * 7 <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize("region_px", [220, 260, 480])
def test_lines_follow_the_width_of_the_sidebar_and_the_scale_of_the_screen(layout: ModuleType, region_px: int) -> None:
    """They once had 44 characters at any width: the end of the sentence about unknown words was not shown."""
    column = mock.MagicMock()
    layout.draw_wrapped(column, UNKNOWN, "ERROR", mock.MagicMock(width=region_px))
    lines = [call.kwargs["text"] for call in column.label.call_args_list]
    icons = [call.kwargs["icon"] for call in column.label.call_args_list]
    assert "".join(lines).replace(" ", "") == UNKNOWN.replace(" ", "")
    assert max(len(line) for line in lines) * 7 * 1.5 < region_px - 64
    assert icons == ["ERROR", *["BLANK1"] * (len(lines) - 1)]
