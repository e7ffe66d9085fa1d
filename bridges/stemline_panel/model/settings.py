# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's settings, saved between sessions."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from stemline.companion.wire import from_wire, to_wire
from stemline.errors import StemlineError
from stemline.files import write_json
from stemline.options import CHANNELS, FORMATS, QUALITIES, RECORD_PATHS, RECORD_WORDS
from stemline_bridge import read_json_object

AUDITION_LENGTHS_S = (3, 5, 10)


@dataclass(slots=True)
class PanelSettings:
    """What the user can choose in the settings dialog.

    An empty `model` is the server's default, an empty `sample_format` follows the media, and an empty `output_dir`
    is a folder beside the media. An empty `device` is the system's default output, and an empty `server` is this
    user's private one; the token and the certificates to trust are in files. `sign` signs stems, and adds Content
    Credentials, where this installation has a key. `record_paths` and `record_words` say how records name media and
    prompts, and `mark` marks sounds that a model made from words. `tracker` follows marked objects; empty is `corners`.
    `consent_line` shows a line below prompts that name a person.
    """

    model: str = ""
    quality: str = "standard"
    channels: str = "linked"
    sample_format: str = ""
    chain: bool = False
    disable_originals: bool = True
    output_dir: str = ""
    audition_s: int = 5
    keys: str = "stemline"
    seed: int = 0
    device: str = ""
    server: str = ""
    token_file: str = ""
    ca_file: str = ""
    loudness_matched: bool = True
    sign: bool = True
    record_paths: str = "name"
    record_words: str = "full"
    mark: bool = True
    consent_line: bool = True
    tracker: str = ""


def use_credentials(settings: PanelSettings) -> None:
    """Let the library read the token and trust the certificates of the settings, as the environment does."""
    for name, value in (("STEMLINE_TOKEN_FILE", settings.token_file), ("STEMLINE_CA", settings.ca_file)):
        if value:
            os.environ[name] = value


def absolute_folder(text: str) -> str:
    """Return the absolute path of a folder that a user typed, with `~` expanded; empty for an empty text."""
    text = text.strip()
    if not text:
        return ""
    try:
        return str(Path(text).expanduser().absolute())
    except RuntimeError:  # no home folder for this user name
        return str(Path(text).absolute())


def read_settings(path: Path) -> PanelSettings:
    """Return the saved settings, or the defaults if the file is missing or invalid."""
    try:
        settings = from_wire(PanelSettings, read_json_object(path), "settings")
    except StemlineError:
        return PanelSettings()
    good = settings.quality in QUALITIES and settings.channels in CHANNELS and settings.sample_format in ("", *FORMATS)
    good = good and settings.record_paths in RECORD_PATHS and settings.record_words in RECORD_WORDS
    return settings if good and settings.audition_s in AUDITION_LENGTHS_S else PanelSettings()


def write_settings(path: Path, settings: PanelSettings) -> None:
    """Save the settings. A failure is ignored, because losing them does no harm."""
    try:
        write_json(path, to_wire(settings))
    except StemlineError:
        return
