"""Proxies of films with distant key frames: the same frames at the same times, made once, and removed by a stop."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from core.media.films import number_of, numbered, write_film
from stemline.errors import Cancelled, MediaError
from stemline.media.pictures.cache import picture_cache
from stemline.media.pictures.following import BACKWARD, follow
from stemline.media.pictures.frames import FrameReader
from stemline.media.pictures.proxy import SEGMENT_S, find_segment, make_segment, open_segment, segment_at
from stemline.media.pictures.tracking import Marks, Mask, Step

pytestmark = pytest.mark.usefixtures("own_folders")
RATE = 12
SECONDS = 45
TICKS = 600


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of variable rate, with an odd size and one key frame in 20 s."""
    frames = (numbered(number, 322, 182) for number in range(SECONDS * RATE))
    path = tmp_path_factory.mktemp("film") / "phone.mp4"
    return write_film(path, frames, gop=240, time_base=Fraction(1, TICKS), pts=lambda n: n * 50 + n % 3 * 7)


def shown(reader: FrameReader, start: Fraction, end: Fraction) -> list[tuple[Fraction, int]]:
    return [(frame.time, number_of(frame.pixels)) for frame in reader.in_order(start, end)]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_segment_has_the_frames_of_the_media_at_their_exact_times(film: Path, number: int) -> None:
    start, end = Fraction(number * SEGMENT_S), Fraction((number + 1) * SEGMENT_S)
    with FrameReader(film, longest=640) as reader, open_segment(make_segment(film, number)) as segment:
        assert shown(segment, start, end) == shown(reader, start, end)
        for time in (start, start + Fraction(7, 3), start + Fraction(22, 5)):
            one, other = reader.at(time), segment.at(time)
            assert (one.time, one.pixels.shape) == (other.time, other.pixels.shape)
            assert np.abs(one.pixels.astype(int) - other.pixels).mean() < 3
            assert other.is_key


def test_a_segment_without_its_time_is_refused_rather_than_shown_at_another(film: Path) -> None:
    with pytest.raises(MediaError, match="not a readable media file"):
        open_segment(film)


def test_a_segment_is_made_once_and_again_for_changed_media(film: Path, tmp_path: Path) -> None:
    copy = tmp_path / "film.mp4"
    copy.write_bytes(film.read_bytes())
    assert find_segment(copy, 0) is None
    shares: list[float] = []
    first = make_segment(copy, 0, progress=shares.append)
    assert find_segment(copy, 0) == first
    assert shares == sorted(shares)
    assert 0.9 < shares[-1] <= 1
    make_segment(copy, 0, progress=lambda share: pytest.fail("made again"))
    copy.write_bytes(film.read_bytes() + b"\0")
    assert find_segment(copy, 0) is None


def test_a_stop_leaves_no_file(film: Path, tmp_path: Path) -> None:
    copy = tmp_path / "film.mp4"
    copy.write_bytes(film.read_bytes())
    seen: list[float] = []
    with pytest.raises(Cancelled):
        make_segment(copy, 0, stop=lambda: len(seen) > 5, progress=seen.append)
    assert find_segment(copy, 0) is None
    assert not list(picture_cache().folder.glob("*.part"))


def test_distant_key_frames_are_noticed_without_decoding(film: Path, tmp_path: Path) -> None:
    near = write_film(tmp_path / "near.mp4", (numbered(number) for number in range(48)), gop=12)
    for path, expected in ((film, True), (near, False)):
        with FrameReader(path) as reader:
            before = reader.at(Fraction(1)).time
            assert reader.has_distant_keys(Fraction(1)) is expected
            assert reader.at(Fraction(1)).time == before


class Noted:
    """A tracker that only writes down the pictures it gets."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def start(self, picture: np.ndarray, marks: Marks) -> Mask:
        return self.step(picture).mask

    def step(self, picture: np.ndarray) -> Step:
        self.numbers.append(number_of(picture))
        return Step(np.ones(picture.shape[:2], bool), 1.0)


def test_following_backwards_gets_every_frame_once_through_two_segments(film: Path) -> None:
    start, end = Fraction(22), Fraction(18)
    tracker = Noted()
    with FrameReader(film, longest=640) as reader:
        masks = list(follow(reader, tracker, (start, Marks(box=(1, 1, 5, 5))), end, BACKWARD))
        expected = [number for _, number in shown(reader, end, start + Fraction(1, 1000))]
    assert tracker.numbers == expected[::-1]
    assert [mask.time for mask in masks] == sorted((mask.time for mask in masks), reverse=True)
    assert find_segment(film, segment_at(start)) and find_segment(film, segment_at(end))
