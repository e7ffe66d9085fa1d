# SPDX-License-Identifier: GPL-3.0-or-later
"""Every key of the panel, in one table: the window binds them, the help shows them, the manual lists them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shortcut:
    """Any of its `keys` does it. Letters type where a text field has the focus."""

    action: str
    keys: tuple[str, ...]
    words: str


SHORTCUTS = (
    Shortcut("play", ("Space",), "Play or pause"),
    Shortcut("loop", ("L",), "Loop the selection"),
    Shortcut("back", ("Left",), "A frame back"),
    Shortcut("forward", ("Right",), "A frame on"),
    Shortcut("back_second", ("Shift+Left",), "A second back"),
    Shortcut("forward_second", ("Shift+Right",), "A second on"),
    Shortcut("start", ("Home",), "To the clip's start"),
    Shortcut("end", ("End",), "To the clip's end"),
    Shortcut("select_sound", ("X",), "Select the sound at the playhead, from onset to offset"),
    Shortcut("set_in", ("I",), "Begin the selection at the playhead"),
    Shortcut("set_out", ("O",), "End the selection at the playhead"),
    Shortcut("mark_plus", ("P", "+"), "It sounds in the selection"),
    Shortcut("mark_minus", ("M", "-"), "It does not sound in the selection"),
    Shortcut("flip_mark", ("T",), "Turn the mark at the playhead from + to − or back"),
    Shortcut("delete_mark", ("Delete", "Backspace"), "Remove the mark at the playhead"),
    Shortcut("undo", ("Ctrl+Z",), "Take the last change of the marks back"),
    Shortcut("zoom_in", ("Ctrl+=", "Ctrl+Up"), "Zoom in"),
    Shortcut("zoom_out", ("Ctrl+-", "Ctrl+Down"), "Zoom out"),
    Shortcut("zoom_selection", ("Z",), "Zoom to the selection, then to the whole clip"),
    Shortcut("toggle_ab", ("B",), "Between the mix and the last other sound"),
    *(Shortcut(f"layer_{n}", (str(n),), f"Hear sound {n}: 1 is the mix") for n in range(1, 10)),
    Shortcut("match_loudness", ("E",), "Compare equally loud or as they are"),
    Shortcut("prompt", ("Ctrl+L", "/"), "To the prompt line"),
    Shortcut("presets", ("Ctrl+P",), "Presets"),
    Shortcut("add_stem", ("Ctrl+N",), "Another stem"),
    Shortcut("remove_stem", ("Ctrl+Backspace",), "Take the stem off the list"),
    Shortcut("next_verb", ("Ctrl+T",), "Isolate, remove or split"),
    Shortcut("audition", ("Ctrl+R",), "Audition: a few seconds around the playhead"),
    Shortcut("primary", ("Ctrl+Return",), "The big button"),
    Shortcut("stop", ("Ctrl+.",), "Stop the run"),
    Shortcut("take_back", ("Ctrl+Delete",), "Take the applied stems out again"),
    Shortcut("copy_job", ("Ctrl+J",), "Copy the job as JSON"),
    Shortcut("previous_clip", ("PgUp",), "Previous clip"),
    Shortcut("next_clip", ("PgDown",), "Next clip"),
    Shortcut("reload", ("F5",), "Read the host's clips again"),
    Shortcut("render", ("Ctrl+E",), "Have the host render the clip, with its effects"),
    Shortcut("open", ("Ctrl+O",), "Open a file or an edit"),
    Shortcut("settings", ("Ctrl+,",), "Settings"),
    Shortcut("help", ("F1", "?"), "This list"),
)
