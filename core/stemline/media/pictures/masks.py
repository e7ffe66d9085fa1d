"""Read masks that other programs made: films, folders of numbered pictures, stills, and alpha channels."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np

from stemline.errors import Code, MediaError, UsageError
from stemline.files import printable
from stemline.media.pictures.frames import FrameReader, Stop
from stemline.media.pictures.picture_track import Picture
from stemline.media.pictures.tracking import Mask
from stemline.media.pictures.upright import PictureShape, alpha_levels, mask_levels

ALPHA = "alpha"
_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".webp")
_HALF = 128
_ASPECT_TOLERANCE = 0.02
_LATE_S = Fraction(1, 2)
_EARLY_S = Fraction(1, 500)  # timestamps are rounded differently in different files


class MaskSource(Protocol):
    """Masks over time, for one thread."""

    def at(self, time: Fraction) -> Mask | None:
        """Return the mask at a time of the media; None where the object is not in the picture."""
        ...

    def close(self) -> None:
        """Close the files."""
        ...


class FilmMasks:
    """Masks from a film, a still picture, or the alpha channel of the media."""

    def __init__(
        self, path: str | Path, shape: PictureShape, start: Fraction, *, alpha: bool = False, stop: Stop = lambda: False
    ) -> None:
        """Open the film, whose first frame is shown at `start` of the media.

        Args:
            path: The film.
            shape: The picture that the masks belong to.
            start: When its first frame is shown, in seconds of the media.
            alpha: Whether the alpha channel alone counts.
            stop: Asked between frames; true raises Cancelled.

        Raises:
            UsageError: The masks have another shape than the picture.
            MediaError: The film cannot be read.
        """
        self._start, self._path = start, path
        self._reader = FrameReader(path, stop=stop, convert=alpha_levels if alpha else mask_levels)
        with contextlib.ExitStack() as on_error:
            on_error.callback(self.close)
            check_shape(path, self._reader.shape, shape)
            on_error.pop_all()

    def at(self, time: Fraction) -> Mask | None:
        """See `MaskSource`. Raises MediaError where the film ends before its stated end."""
        reader = self._reader
        if reader.frame_rate is None:
            return _decided(reader.at(Fraction(0)).pixels)
        wanted = time - self._start + _EARLY_S
        if wanted < 0 or (reader.end > 0 and wanted >= reader.end):
            return None
        frame = reader.at(wanted)
        if wanted - frame.time > max(_LATE_S, 2 / reader.frame_rate) and reader.end > 0:
            raise MediaError(
                f"The mask {printable(self._path)} is cut short at {float(frame.time):.2f} s.",
                code=Code.MEDIA_UNREADABLE,
                advice="Export it again.",
            )
        return _decided(frame.pixels)

    def close(self) -> None:
        """Close the film."""
        self._reader.close()


class FolderMasks:
    """Masks from a folder of pictures, one for each frame, in the order of the numbers in their names."""

    def __init__(self, folder: Path, shape: PictureShape, start: Fraction, rate: Fraction) -> None:
        """Read the names. The first picture is shown at `start` of the media, the others at `rate`.

        Raises:
            UsageError: The folder holds no pictures, or they have another shape than the picture of the media.
            MediaError: The first picture cannot be read.
        """
        self._files = pictures_in(folder)
        self._shape, self._start, self._rate = shape, start, rate
        self._last: tuple[int, Mask] = (0, self._read(0))

    def at(self, time: Fraction) -> Mask | None:
        """See `MaskSource`. Raises MediaError, UsageError for a picture that cannot be used."""
        since = time - self._start + _EARLY_S
        number = int(since * self._rate) if since >= 0 else -1
        if len(self._files) == 1:
            number = 0
        if not 0 <= number < len(self._files):
            return None
        if self._last[0] != number:
            self._last = number, self._read(number)
        return self._last[1]

    def close(self) -> None:
        """Do nothing: each picture is closed once it is read."""

    def _read(self, number: int) -> Mask:
        with FrameReader(self._files[number], convert=mask_levels) as reader:
            check_shape(self._files[number], reader.shape, self._shape)
            return _decided(reader.at(Fraction(0)).pixels)


def open_masks(path: Path, shape: PictureShape, start: Fraction, rate: Fraction, stop: Stop) -> MaskSource:
    """Open a film, a still or a folder of masks; `rate` is that of a folder's pictures. Raises StemlineError."""
    if path.is_dir():
        return FolderMasks(path, shape, start, rate)
    return FilmMasks(path, shape, start, stop=stop)


def pictures_in(folder: Path) -> Sequence[Path]:
    """Return the pictures of a folder in the order of the numbers in their names. Raises UsageError for none."""
    files = [file for file in folder.iterdir() if file.suffix.lower() in _SUFFIXES and not file.name.startswith(".")]
    if not files:
        raise UsageError(
            f"The folder {printable(folder)} holds no pictures.",
            advice=f"Export the mask as a film, or as pictures ({', '.join(_SUFFIXES[:3])}).",
        )
    return sorted(
        files,
        key=lambda file: [
            (part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"([0-9]{1,18})", file.stem)
        ],
    )


def masks_of_clip(folder: Path, clip: str) -> Path | None:
    """Return the film, folder or still in `folder` that has the name of a clip; None where there is none.

    Raises:
        UsageError: The folder does not exist.
    """
    if not folder.is_dir():
        raise UsageError(f"There is no folder of masks {printable(folder)}.", advice="Check the path.")
    wanted = clip.casefold()
    stem = Path(clip).stem.casefold()
    for name in (wanted, stem):
        for entry in sorted(folder.iterdir()):
            if name in (entry.name.casefold(), entry.stem.casefold() if entry.is_file() else ""):
                return entry
    return None


def check_shape(path: str | Path, mask: PictureShape, picture: PictureShape) -> None:
    """Raise UsageError for a mask of another aspect than the picture."""
    aspect, wanted = mask.width / mask.height, picture.width / picture.height
    if abs(aspect / wanted - 1) > _ASPECT_TOLERANCE:
        raise UsageError(
            f"The mask {printable(path)} has {mask.width} x {mask.height} pixels, the upright picture "
            f"{picture.width} x {picture.height}.",
            advice="Export the mask in the size of the picture.",
        )


def scaled_mask(mask: Mask, height: int, width: int) -> Mask:
    """Return the mask in another size, by its nearest pixels."""
    if mask.shape == (height, width):
        return mask
    rows = (np.arange(height) * mask.shape[0]) // height
    columns = (np.arange(width) * mask.shape[1]) // width
    found: Mask = mask[rows[:, None], columns]
    return found


def _decided(levels: Picture) -> Mask:
    """Return where a mask is at least half white; in a mask of zeros and ones, where it is one."""
    decided: Mask = levels >= (1 if levels.max() == 1 else _HALF)
    return decided
