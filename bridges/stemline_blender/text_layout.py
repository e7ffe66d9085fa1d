"""Text of several lines in Blender's interface, whose labels have one line and hide what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import blf
import bpy

_ICON_PX = 22  # at a resolution scale of 1
_MARGINS_PX = 64  # of the region, its tabs, the panel and a box in it
_NARROWEST_PX = 60
_FONT = 0
_USUAL_POINTS = 11


def draw_wrapped(column: Any, text: str, icon: str, region: Any) -> None:
    """Draw `text` over as many labels as the width of the region needs. Only the first has the icon."""
    scale = bpy.context.preferences.system.ui_scale
    width = region.width - (_MARGINS_PX + (_ICON_PX if icon != "NONE" else 0)) * scale
    for line in wrap_text(text, max(width, _NARROWEST_PX), _measure(scale)):
        column.label(text=line, icon=icon, translate=False)
        icon = "BLANK1" if icon != "NONE" else "NONE"


def wrap_text(text: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """Return the lines of `text`, each at most `width` wide. A word that is wider is broken, as paths are."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        if line and measure(f"{line} {word}") <= width:
            line = f"{line} {word}"
            continue
        if line:
            lines.append(line)
        line = word
        while measure(line) > width and len(line) > 1:
            count = _fitting(line, width, measure)
            lines.append(line[:count])
            line = line[count:]
    return [*lines, line]


def _fitting(word: str, width: float, measure: Callable[[str], float]) -> int:
    """Return how many characters of `word` fit, at least one."""
    low, high = 1, len(word)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if measure(word[:middle]) <= width else (low, middle - 1)
    return low


def _measure(scale: float) -> Callable[[str], float]:
    """Return the measure of a text in pixels as the interface draws it."""
    styles = bpy.context.preferences.ui_styles
    points = styles[0].widget.points if len(styles) else _USUAL_POINTS
    blf.size(_FONT, points * scale)

    def measured(text: str) -> float:
        return float(blf.dimensions(_FONT, text)[0])

    return measured
