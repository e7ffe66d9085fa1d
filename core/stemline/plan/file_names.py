"""Names of stem files: readable, unique in an edit, valid on every file system."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from itertools import groupby
from pathlib import PurePath

from stemline.clips import MediaFacts, MediaSource
from stemline.timebase import format_timecode, round_half_up
from stemline_bridge.stem_names import is_letter

_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')
_RESERVED = frozenset(
    ["con", "prn", "aux", "nul", *(f"com{i}" for i in range(1, 10)), *(f"lpt{i}" for i in range(1, 10))]
)


def safe_part(text: str, limit: int = 48) -> str:
    """Return `text` as part of a file name: letters of any script, digits, `.`, `-` and `_`.

    It is never empty, hidden or the name of a device.
    """
    runs = groupby(unicodedata.normalize("NFC", text), lambda sign: is_letter(sign) or sign in "_.-")
    part = "".join("".join(signs) if safe else "-" for safe, signs in runs).strip("-. ")
    while len(part.encode()) > limit:
        part = part[:-1]
    part = part.strip("-. ")
    if not part or part.split(".")[0].lower() in _RESERVED:
        part = f"x{part}"
    return part


def plain_part(text: str, limit: int = 160) -> str:
    """Return `text` without what any file system forbids. It is never empty, hidden or the name of a device."""
    part = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", text).encode(errors="replace").decode())
    while len(part.encode()) > limit:
        part = part[:-1]
    part = part.strip(". ")
    return f"x{part}" if not part or part.split(".")[0].lower() in _RESERVED else part


def stem_file_name(stem: str, source: MediaSource, start_sample: int, facts: MediaFacts, digest: str) -> str:
    """Return `<stem>_<source>_<tcin>_<hash8>` without suffix.

    `tcin` is the digits of the source timecode of the file's first sample.
    """
    rate = facts.frame_rate or Fraction(25)
    position = (facts.timecode_sample + start_sample) / facts.sample_rate
    tcin = re.sub(r"\D", "", format_timecode(round_half_up(position * rate), rate, drop_frame=facts.drop_frame))
    return f"{safe_part(stem)}_{safe_part(PurePath(source.path).stem)}_{tcin}_{digest[:8]}"
