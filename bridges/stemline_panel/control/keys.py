# SPDX-License-Identifier: GPL-3.0-or-later
"""What each key does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from stemline_panel.model.spans import Sign

if TYPE_CHECKING:
    from stemline_panel.director import Director

_ZOOM = 1.5


def handlers(director: Director) -> dict[str, Callable[[], object]]:
    """By the action names of `model.shortcuts`."""
    window, marks, asking, results = director.window, director.marks, director.asking, director.results
    takes: dict[str, Callable[[], object]] = {
        f"take_{number}": partial(results.choose_number, number) for number in range(1, 10)
    }
    return takes | {
        "play": director.play,
        "loop": window.transport.loop.toggle,
        "back": lambda: director.nudge(0, -1),
        "forward": lambda: director.nudge(0, 1),
        "back_second": lambda: director.nudge(-1),
        "forward_second": lambda: director.nudge(1),
        "start": lambda: director.sound.seek(window.wave.whole.start),
        "end": lambda: director.sound.seek(window.wave.whole.end),
        "extent": marks.select_extent,
        "set_in": marks.set_in,
        "set_out": marks.set_out,
        "mark_plus": lambda: marks.mark(Sign.PLUS),
        "mark_minus": lambda: marks.mark(Sign.MINUS),
        "turn_span": marks.turn,
        "delete_span": marks.delete,
        "undo": marks.undo,
        "zoom_in": lambda: window.wave.zoom(1 / _ZOOM),
        "zoom_out": lambda: window.wave.zoom(_ZOOM),
        "zoom_selection": marks.zoom_selection,
        "toggle_ab": results.toggle_ab,
        "equally_loud": window.transport.matched.toggle,
        "prompt": asking.to_prompt,
        "presets": window.prompt.prompt.show_presets,
        "add_stem": asking.add_stem,
        "remove_stem": asking.remove_stem,
        "verb": asking.next_verb,
        "audition": asking.audition,
        "big": asking.press_big,
        "stop": asking.stop,
        "remove_result": results.remove,
        "copy_job": asking.copy_job,
        "previous_clip": lambda: director.step_clip(-1),
        "next_clip": lambda: director.step_clip(1),
        "refresh": director.hosts.read,
        "render": director.render,
        "open": director.ask_for_file,
        "settings": asking.change_settings,
        "help": director.show_help,
    }
