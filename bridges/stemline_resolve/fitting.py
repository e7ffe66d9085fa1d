"""Stem files fitted to Resolve's whole frames: used as they are, or copied, cut to the sample and padded.

Resolve counts a WAV in frames of the project (its clip's "FPS") and places it on frames of the timeline. A stem that
begins and ends on frames of both plays from its own file, handles included. Any other gets a copy that begins with a
frame of the timeline and is silent where its original is not heard.
"""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from stemline_bridge import HostError, from_exact
from stemline_bridge.timeline import round_half_up
from stemline_bridge.wav import Piece, read_head, write_piece

from .document import OpenTimeline

_SPARE_FRAMES = 2


class Fit(NamedTuple):
    """Where a stem goes.

    `first` and `frames` are frames of the timeline; `media_start` and `media_frames` are frames of the file. `piece` is
    the part of the stem that the file must hold; None: the file is the stem itself.
    """

    path: str
    first: int
    frames: int
    media_start: int
    media_frames: int
    piece: Piece | None

    @property
    def end(self) -> int:
        """The frame after the last."""
        return self.first + self.frames


def fit(document: OpenTimeline, clip: dict[str, Any], media_rate: Fraction) -> Fit:
    """Return the place of a stem clip of the protocol, for a file that Resolve counts in `media_rate`."""
    start, end = (document.frame(from_exact(clip["record_range"][side])) for side in ("start", "end"))
    first, last = math.floor(start), math.ceil(end)
    media_frames = math.ceil((last - first) * media_rate / document.rate)
    frames = math.floor(media_frames * document.rate / media_rate)
    sample_rate = int(clip["sample_rate"])
    file_start = from_exact(clip["file_start"])
    media_start = file_start * media_rate
    held = int(clip["file_range"]["end_sample"]) - int(clip["file_range"]["start_sample"])
    on_frames = start == first and end == last and media_start.denominator == 1 and media_rate == document.rate
    if on_frames and round_half_up((media_start + media_frames) / media_rate * sample_rate) <= held:
        return Fit(str(clip["path"]), first, frames, int(media_start), media_frames, None)
    zero, heard, silent = (round_half_up(document.seconds(at) * sample_rate) for at in (Fraction(first), start, end))
    total = math.ceil((media_frames + _SPARE_FRAMES) * sample_rate / media_rate)
    piece = Piece(round_half_up(file_start * sample_rate), silent - heard, heard - zero, total)
    return Fit(_piece_path(str(clip["path"]), piece), first, frames, 0, media_frames, piece)


def make_piece(stem: str, wanted: Fit) -> None:
    """Write the copy that `wanted` needs, unless it exists. Raises HostError."""
    if wanted.piece is None:
        return
    target = Path(wanted.path)
    try:
        if target.exists() and read_head(target).length_samples == wanted.piece.total:
            return
        write_piece(Path(stem), wanted.piece, target)
    except ValueError as failure:
        raise HostError(
            f"A stem lies between frames and must be cut, but {failure}.",
            "HOST_UNSUPPORTED",
            "Choose the sample format wav24 or wav32f.",
        ) from failure
    except OSError as failure:
        raise HostError(
            f"{target} cannot be written ({failure.strerror}).", "OUTPUT_UNWRITABLE", "Make room there."
        ) from failure


def _piece_path(stem: str, piece: Piece) -> str:
    path = Path(stem)
    name = f"{path.stem}.{piece.start}-{piece.length}-{piece.lead}-{piece.total}.wav"
    return str(path.parent / "resolve" / name)
