# SPDX-License-Identifier: GPL-3.0-or-later
"""What each key does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from stemline_panel.model.marks import Sign

if TYPE_CHECKING:
    from stemline_panel.director import Director

_ZOOM = 1.5


Handlers = dict[str, Callable[[], object]]


def handlers(director: Director) -> Handlers:
    """By the action names of `model.shortcuts`."""
    return _moving(director) | _marking(director) | _comparing(director) | _asking(director) | _opening(director)


def _moving(director: Director) -> Handlers:
    window, sound = director.window, director.playback
    return {
        "play": director.play,
        "loop": window.transport.loop.toggle,
        "back": lambda: director.step_frame(-1),
        "forward": lambda: director.step_frame(1),
        "back_second": lambda: director.nudge(-1),
        "forward_second": lambda: director.nudge(1),
        "start": lambda: sound.seek(window.wave.whole.start),
        "end": lambda: sound.seek(window.wave.whole.end),
        "zoom_in": lambda: window.wave.zoom(1 / _ZOOM),
        "zoom_out": lambda: window.wave.zoom(_ZOOM),
        "zoom_selection": director.marks.zoom_selection,
    }


def _marking(director: Director) -> Handlers:
    marks = director.marks
    return {
        "select_sound": marks.select_extent,
        "set_in": marks.set_in,
        "set_out": marks.set_out,
        "mark_plus": lambda: marks.mark(Sign.PLUS),
        "mark_minus": lambda: marks.mark(Sign.MINUS),
        "flip_mark": marks.turn,
        "delete_mark": marks.delete,
        "undo": marks.undo,
    }


def _comparing(director: Director) -> Handlers:
    results = director.results
    takes: Handlers = {f"layer_{number}": partial(results.choose_number, number) for number in range(1, 10)}
    return takes | {
        "toggle_ab": results.toggle_ab,
        "match_loudness": director.window.transport.matched.toggle,
        "take_back": results.take_back,
    }


def _asking(director: Director) -> Handlers:
    asking = director.requests
    return {
        "prompt": asking.to_prompt,
        "presets": director.window.prompt.prompt.show_presets,
        "add_stem": asking.add_stem,
        "remove_stem": asking.remove_stem,
        "next_verb": asking.next_verb,
        "audition": asking.audition,
        "primary": asking.trigger_primary,
        "stop": asking.stop,
        "copy_job": asking.copy_job,
        "settings": asking.change_settings,
    }


def _opening(director: Director) -> Handlers:
    return {
        "previous_clip": lambda: director.step_clip(-1),
        "next_clip": lambda: director.step_clip(1),
        "reload": director.hosts.read,
        "render": director.render,
        "open": director.ask_for_file,
        "help": director.show_help,
    }
