# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user has set in the panel, kept between sessions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from stemline.companion.wire import from_wire, to_wire
from stemline.errors import StemlineError
from stemline.files import write_json
from stemline.options import CHANNELS, FORMATS, QUALITIES

AUDITION_LENGTHS_S = (3, 5, 10)


@dataclass(slots=True)
class PanelSettings:
    """`model` and `sample_format` empty: the server's and the media's own. `output_dir` empty: beside the media."""

    model: str = ""
    quality: str = "standard"
    channels: str = "linked"
    sample_format: str = ""
    chain: bool = False
    disable_originals: bool = True
    output_dir: str = ""
    audition_s: int = 5
    loudness_matched: bool = True


def typed_folder(text: str) -> str:
    """The absolute path of a folder that a person typed, `~` included; empty for nothing."""
    text = text.strip()
    if not text:
        return ""
    try:
        return str(Path(text).expanduser().absolute())
    except RuntimeError:  # `~` of somebody who is not known here
        return str(Path(text).absolute())


def read_settings(path: Path) -> PanelSettings:
    """The defaults where nothing that can be used is kept."""
    try:
        settings = from_wire(PanelSettings, json.loads(path.read_text(encoding="utf-8")), "settings")
    except (OSError, ValueError, StemlineError):
        return PanelSettings()
    good = settings.quality in QUALITIES and settings.channels in CHANNELS and settings.sample_format in ("", *FORMATS)
    return settings if good and settings.audition_s in AUDITION_LENGTHS_S else PanelSettings()


def write_settings(path: Path, settings: PanelSettings) -> None:
    """Losing them does no harm."""
    try:
        write_json(path, to_wire(settings))
    except StemlineError:
        return
