"""Frames of footage as cameras and programs write it: the right one, upright, and none past a broken end."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from core.media.films import HEIGHT, RATE, WIDTH, number_of, numbered, write_film
from stemline.errors import Cancelled, MediaError
from stemline.media.pictures.frames import FrameReader, has_picture

SECOND = Fraction(1)


def pictures(count: int, width: int = WIDTH, height: int = HEIGHT) -> list[np.ndarray]:
    return [numbered(number, width, height) for number in range(count)]


@pytest.fixture(scope="module")
def long_gop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds with two key frames and B-frames."""
    return write_film(tmp_path_factory.mktemp("film") / "long.mp4", pictures(240), gop=200, sound_s=10)


def test_every_time_gives_the_frame_that_a_player_shows(long_gop: Path) -> None:
    times = [Fraction(n, 1000) for n in (0, 41, 42, 5000, 3333, 9999, 120, 8334)]
    with FrameReader(long_gop) as reader:
        assert [number_of(reader.at(time).pixels) for time in times] == [int(time * RATE) for time in times]


def test_the_nearest_key_frame_comes_without_the_frames_between(long_gop: Path) -> None:
    with FrameReader(long_gop) as reader:
        frame = reader.key_frame(Fraction(8))
        assert frame.is_key
        assert number_of(frame.pixels) == 0
        assert number_of(reader.at(Fraction(8)).pixels) == 192


def test_frames_in_order_are_complete_and_none_comes_twice(long_gop: Path) -> None:
    with FrameReader(long_gop, longest=160) as reader:
        run = list(reader.in_order(Fraction(4), Fraction(6)))
    assert [number_of(frame.pixels) for frame in run] == list(range(96, 144))
    assert run[0].pixels.shape == (90, 160, 3)


def test_a_time_outside_the_film_gives_its_first_or_last_frame(long_gop: Path) -> None:
    with FrameReader(long_gop) as reader:
        assert number_of(reader.at(Fraction(-3)).pixels) == 0
        assert number_of(reader.at(Fraction(500)).pixels) == 239
        assert number_of(reader.at(Fraction(1)).pixels) == 24


def test_the_nearest_frame_is_taken_for_each_time_and_the_earlier_of_two(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mkv", pictures(30), time_base=Fraction(1, 1000), pts=lambda n: n * 40)
    times = [Fraction(n, 1000) for n in (0, 19, 20, 21, 400, 419, 421, 5000)]
    with FrameReader(film) as reader:
        numbers = [number_of(frame.pixels) for frame in reader.nearest(times)]
    assert numbers == [0, 0, 0, 1, 10, 10, 11, 29]


def test_a_variable_frame_rate_is_read_by_its_timestamps(tmp_path: Path) -> None:
    ticks = np.cumsum([0, *np.random.default_rng(3).integers(20, 90, 59)]).tolist()
    film = write_film(tmp_path / "phone.mp4", pictures(60), time_base=Fraction(1, 600), pts=lambda n: ticks[n])
    with FrameReader(film) as reader:
        for number in (0, 7, 30, 59, 12):
            frame = reader.at(Fraction(ticks[number], 600))
            assert (number_of(frame.pixels), frame.time) == (number, Fraction(ticks[number], 600))


@pytest.mark.parametrize(("degrees", "corner"), [(90, (1, 1)), (-90, (0, 0)), (180, (0, 1))])
def test_a_phone_film_stands_upright(tmp_path: Path, degrees: int, corner: tuple[int, int]) -> None:
    film = write_film(tmp_path / "phone.mp4", pictures(3), prepare=lambda stream: stream.set_display_rotation(degrees))
    with FrameReader(film) as reader:
        pixels = reader.at(Fraction(0)).pixels
        assert pixels.shape[:2] == ((HEIGHT, WIDTH) if degrees == 180 else (WIDTH, HEIGHT))
        assert (reader.shape.height, reader.shape.width) == pixels.shape[:2]
    down, across = (-8 if corner[0] else 8), (-8 if corner[1] else 8)
    assert pixels[down, across, 0] > 150 > pixels[down, across, 1]


def test_wide_pixels_are_made_square(tmp_path: Path) -> None:
    def wide(stream: av.VideoStream) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(2)

    with FrameReader(write_film(tmp_path / "dv.mov", pictures(2), prepare=wide)) as reader:
        assert reader.at(Fraction(0)).pixels.shape == (HEIGHT, 2 * WIDTH, 3)


def test_only_one_field_of_an_interlaced_frame_is_shown(tmp_path: Path) -> None:
    woven = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    woven[0::2], woven[1::2] = 200, 40

    def interlaced(stream: av.VideoStream) -> None:
        stream.options = {**stream.options, "x264-params": "tff=1", "crf": "4"}
        stream.codec_context.flags |= 1 << 18

    film = write_film(tmp_path / "tape.mov", [woven] * 2, prepare=interlaced)
    with FrameReader(film) as reader:
        pixels = reader.at(Fraction(0)).pixels.astype(int)
    assert abs(pixels[40:-40] - 200).max() < 25


@pytest.mark.parametrize(("curve", "code"), [(16, 0.58), (18, 0.75)])
def test_hdr_white_is_shown_bright_and_not_flat(tmp_path: Path, curve: int, code: float) -> None:
    """Paper white of PQ and HLG: as ordinary video it is a mid grey."""
    deep = np.full((64, 64, 3), round(code * 65535), np.uint16)
    deep[:, 32:] = round(0.2 * 65535)

    def tag(frame: av.VideoFrame) -> None:
        frame.color_trc = curve

    path = tmp_path / "hdr.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", 24)
        stream.width = stream.height = 64
        stream.pix_fmt = "gbrp16le"
        stream.codec_context.color_trc = curve
        frame = av.VideoFrame.from_ndarray(deep, format="rgb48le").reformat(format="gbrp16le")
        tag(frame)
        container.mux([*stream.encode(frame), *stream.encode(None)])
    with FrameReader(path) as reader:
        pixels = reader.at(Fraction(0)).pixels
    assert 170 < pixels[32, 8].mean() < 235
    assert pixels[32, 56].mean() < 60


def test_a_film_of_one_frame_and_a_still_have_one_picture_at_every_time(tmp_path: Path) -> None:
    one = write_film(tmp_path / "one.mp4", pictures(1))
    still = tmp_path / "still.png"
    with av.open(str(still), "w", format="image2") as container:
        stream = container.add_stream("png", 1)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "rgb24"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(5), format="rgb24")))
    for path, number in ((one, 0), (still, 5)):
        with FrameReader(path) as reader:
            assert reader.frame_rate is None
            assert [number_of(reader.at(time).pixels) for time in (0 * SECOND, 9 * SECOND)] == [number, number]


def test_black_and_white_footage_gets_three_equal_channels(tmp_path: Path) -> None:
    film = write_film(tmp_path / "grey.mkv", pictures(2), codec="ffv1", pixel_format="gray")
    with FrameReader(film) as reader:
        pixels = reader.at(Fraction(0)).pixels
    assert np.array_equal(pixels[:, :, 0], pixels[:, :, 2])


def test_a_film_cut_short_gives_what_it_holds(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mkv", pictures(100))
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    with FrameReader(film) as reader:
        last = number_of(reader.at(Fraction(100)).pixels)
        assert 20 < last < 99
        assert number_of(reader.at(Fraction(21, 48)).pixels) == 10


def test_sound_alone_text_and_covers_have_no_picture(tmp_path: Path) -> None:
    sound = write_film(tmp_path / "sound.wav", [], sound_s=0.1)
    text = tmp_path / "notes.mp4"
    text.write_text("no film" * 100)
    assert not has_picture(sound)
    with pytest.raises(MediaError, match="has no picture"):
        FrameReader(sound)
    for path in (text, tmp_path / "missing.mp4"):
        with pytest.raises(MediaError):
            FrameReader(path)


def test_decoding_can_be_stopped(long_gop: Path) -> None:
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 60

    with FrameReader(long_gop, stop=stop) as reader, pytest.raises(Cancelled):
        reader.at(Fraction(8))
    assert asked == 61
