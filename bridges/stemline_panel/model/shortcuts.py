# SPDX-License-Identifier: GPL-3.0-or-later
"""Every key of the panel, in one table: the window binds them, the help shows them, the manual lists them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shortcut:
    """`plain` keys type text where a text field has the focus and act everywhere else."""

    action: str
    keys: tuple[str, ...]
    words: str
    plain: bool = False


SHORTCUTS = (
    Shortcut("play", ("Space",), "Play or pause", plain=True),
    Shortcut("loop", ("L",), "Loop the selection", plain=True),
    Shortcut("back", ("Left",), "A frame back", plain=True),
    Shortcut("forward", ("Right",), "A frame on", plain=True),
    Shortcut("back_second", ("Shift+Left",), "A second back", plain=True),
    Shortcut("forward_second", ("Shift+Right",), "A second on", plain=True),
    Shortcut("start", ("Home",), "To the clip's start", plain=True),
    Shortcut("end", ("End",), "To the clip's end", plain=True),
    Shortcut("extent", ("X",), "Select the sound at the playhead, from onset to offset", plain=True),
    Shortcut("set_in", ("I",), "Begin the selection at the playhead", plain=True),
    Shortcut("set_out", ("O",), "End the selection at the playhead", plain=True),
    Shortcut("mark_plus", ("P", "+"), "It sounds in the selection", plain=True),
    Shortcut("mark_minus", ("M", "-"), "It does not sound in the selection", plain=True),
    Shortcut("turn_span", ("T",), "Turn the mark at the playhead from + to − or back", plain=True),
    Shortcut("delete_span", ("Delete", "Backspace"), "Remove the mark at the playhead", plain=True),
    Shortcut("undo", ("Ctrl+Z",), "Take the last change of the marks back"),
    Shortcut("zoom_in", ("Ctrl+=", "Ctrl+Up"), "Zoom in"),
    Shortcut("zoom_out", ("Ctrl+-", "Ctrl+Down"), "Zoom out"),
    Shortcut("zoom_selection", ("Z",), "Zoom to the selection, then to the whole clip", plain=True),
    Shortcut("toggle_ab", ("B",), "Between the mix and the last other sound", plain=True),
    *(Shortcut(f"take_{n}", (str(n),), f"Hear sound {n}: 1 is the mix", plain=True) for n in range(1, 10)),
    Shortcut("equally_loud", ("E",), "Compare equally loud or as they are", plain=True),
    Shortcut("prompt", ("Ctrl+L", "/"), "To the prompt line", plain=True),
    Shortcut("presets", ("Ctrl+P",), "Presets"),
    Shortcut("add_stem", ("Ctrl+N",), "Another stem"),
    Shortcut("remove_stem", ("Ctrl+Backspace",), "Take the stem off the list"),
    Shortcut("verb", ("Ctrl+T",), "Isolate, remove or split"),
    Shortcut("audition", ("Ctrl+R",), "Audition: a few seconds around the playhead"),
    Shortcut("big", ("Ctrl+Return",), "The big button"),
    Shortcut("stop", ("Ctrl+.",), "Stop the run"),
    Shortcut("remove_result", ("Ctrl+Delete",), "Take the applied stems out again"),
    Shortcut("copy_job", ("Ctrl+J",), "Copy the job as JSON"),
    Shortcut("previous_clip", ("PgUp",), "Previous clip"),
    Shortcut("next_clip", ("PgDown",), "Next clip"),
    Shortcut("refresh", ("F5",), "Read the host's clips again"),
    Shortcut("render", ("Ctrl+E",), "Have the host render the clip, with its effects"),
    Shortcut("open", ("Ctrl+O",), "Open a file or an edit"),
    Shortcut("settings", ("Ctrl+,",), "Settings"),
    Shortcut("help", ("F1", "?"), "This list", plain=True),
)
