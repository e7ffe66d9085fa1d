"""Footage as editors have it, through the command line: the engine gets the object at its place, or a black picture."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2")

from core.media.films import RATE, write_film
from runs.test_pictures import Seen
from stemline.media.pictures.cache import picture_cache
from stemline.media.pictures.picture_track import Picture
from stemline.workflow import shown_object
from stemline_app.cli import main
from stemline_server.config import ServerConfig
from stemline_server.engines.base import EnginePrompt, Waveform
from stemline_server.testing import FunctionEngine, serve_engines, serve_in_thread

pytestmark = pytest.mark.usefixtures("own_folders")
SIDE = 60
Place = tuple[int, int]


def scene(places: list[Place | None], width: int, height: int) -> np.ndarray:
    """Bright, textured squares at places (None: not in the picture) over a dark, textured ground."""
    random = np.random.default_rng(1)
    picture = random.integers(20, 70, (height, width, 3), dtype=np.uint8)
    for place in places:
        texture = np.kron(random.integers(120, 255, (10, 10, 3), dtype=np.uint8), np.ones((6, 6, 1), np.uint8))
        if place is not None:
            x, y = place
            left, right = max(0, x), min(width, x + SIDE)
            if left < right:
                picture[y : y + SIDE, left:right] = texture[:, left - x : right - x]
    return picture


def overlap(picture: Picture, place: Place, width: int, height: int) -> float:
    true = np.zeros((336, 336), bool)
    x, y = place
    rows, columns = (y, y + SIDE), (max(0, x), min(width, x + SIDE))
    true[
        round(rows[0] * 336 / height) : round(rows[1] * 336 / height),
        round(columns[0] * 336 / width) : round(columns[1] * 336 / width),
    ] = True
    lit = picture.max(axis=2) > 80
    return float(np.count_nonzero(lit & true) / np.count_nonzero(lit | true))


class Runner:
    """Runs `stemline separate` on a server whose engine writes down what it sees."""

    def __init__(self, address: str, seen: Seen, output: Path) -> None:
        self.seen, self.address, self.output = seen, address, output

    def __call__(self, film: Path, boxes: dict[str, str], *more: str) -> int:
        stems = [argument for name in boxes for argument in ("--stem", f"{name}={name}")]
        shown = [argument for name, box in boxes.items() for argument in ("--box", f"{name}={box}")]
        return main(["separate", str(film), "--server", self.address, *stems, *shown, "-o", str(self.output), *more])

    def pictures(self, name: str) -> list[tuple[Fraction, Picture]]:
        return list(zip(*self.seen.prompts[name], strict=True))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    seen = Seen()
    with serve_engines(FunctionEngine(seen, pictures=True), state=tmp_path / "state") as server:
        monkeypatch.setenv("STEMLINE_TOKEN", server.token)
        yield Runner(server.address, seen, tmp_path / "out")


def test_a_turned_phone_film_of_variable_rate_shows_the_object_upright_and_in_time(run: Runner, tmp_path: Path) -> None:
    """The box is in upright pixels; frames come at 15, 30 and 60 a second in turn."""
    width, height = 180, 320
    ticks = np.cumsum([0, *([40, 20, 10] * 30)])
    places = [(20 + number, 40 + 2 * number) for number in range(len(ticks))]
    frames = (np.rot90(scene([place], width, height), 1) for place in places)
    film = write_film(
        tmp_path / "phone.mp4",
        frames,
        gop=200,
        crf=12,
        time_base=Fraction(1, 600),
        pts=lambda number: int(ticks[number]),
        sound_s=3,
        prepare=lambda stream: stream.set_display_rotation(-90),
    )
    assert run(film, {"dog": f"20,40,{SIDE},{SIDE}@0"}) == 0
    shown = run.pictures("dog")
    assert len(shown) == 12
    for time_s, picture in shown[:-1]:
        number = int(np.argmin(np.abs(ticks - float(time_s) * 600)))
        assert overlap(picture, places[number], width, height) > 0.8, time_s


def test_a_film_of_one_frame_shows_the_object_throughout(run: Runner, tmp_path: Path) -> None:
    film = write_film(tmp_path / "one.mp4", [scene([(100, 60)], 320, 180)], crf=12, sound_s=2)
    assert run(film, {"dog": f"96,56,{SIDE + 8},{SIDE + 8}@0"}) == 0
    shown = run.pictures("dog")
    assert len(shown) == 8
    assert len({picture.tobytes() for _, picture in shown}) == 1
    assert overlap(shown[0][1], (100, 60), 320, 180) > 0.8


@pytest.mark.parametrize("level", [0, 255])
def test_a_box_in_a_black_or_white_frame_is_refused_in_one_sentence(
    level: int, run: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flat = np.full((180, 320, 3), level, np.uint8)
    film = write_film(tmp_path / "flat.mp4", [flat] * 24, sound_s=1)
    assert run(film, {"dog": "100,60,60,60@0"}) != 0
    said = capsys.readouterr().err
    assert "show no object" in said
    assert "Internal" not in said
    assert "dog" not in run.seen.prompts


@pytest.mark.parametrize("level", [0, 255])
def test_after_black_or_white_frames_the_object_is_not_claimed(level: int, run: Runner, tmp_path: Path) -> None:
    seen = [scene([(100, 60)], 320, 180)] * 24
    flat = np.full((180, 320, 3), level, np.uint8)
    film = write_film(tmp_path / "fade.mp4", [*seen, *[flat] * 24], crf=12, sound_s=2)
    assert run(film, {"dog": f"96,56,{SIDE + 8},{SIDE + 8}@0"}) == 0
    shown = run.pictures("dog")
    assert all(overlap(picture, (100, 60), 320, 180) > 0.8 for _, picture in shown[:4])
    assert not any(picture.any() for _, picture in shown[5:])


def test_a_film_without_colours_is_followed(run: Runner, tmp_path: Path) -> None:
    places = [(20 + 4 * number, 60) for number in range(48)]
    grey = (np.repeat(scene([place], 320, 180).mean(axis=2, keepdims=True), 3, 2).astype(np.uint8) for place in places)
    film = write_film(tmp_path / "grey.mp4", grey, crf=12, sound_s=2)
    assert run(film, {"dog": f"16,56,{SIDE + 8},{SIDE + 8}@0"}) == 0
    for time_s, picture in run.pictures("dog"):
        assert overlap(picture, places[min(47, round(time_s * RATE))], 320, 180) > 0.75, time_s


def test_an_object_that_leaves_leaves_black_pictures_and_is_shown_again_when_it_is_back(
    run: Runner, tmp_path: Path
) -> None:
    places: list[Place | None] = [(200 + 8 * number, 60) for number in range(24)]
    places += [None] * 24
    places += [(260 - 8 * number, 60) for number in range(24)]
    film = write_film(tmp_path / "away.mp4", (scene([place], 320, 180) for place in places), crf=12, sound_s=3)
    assert run(film, {"dog": f"196,56,{SIDE + 8},{SIDE + 8}@0"}) == 0
    for time_s, picture in run.pictures("dog"):
        place = places[min(71, round(time_s * RATE))]
        ground = np.ones((336, 336), bool)
        if place is not None and place[0] < 320:
            x = round((place[0] - 8) * 336 / 320)
            ground[90:250, max(0, x) : x + 85] = False
        assert np.count_nonzero((picture.max(axis=2) > 10) & ground) < 300, time_s
    shown = run.pictures("dog")
    assert overlap(shown[1][1], (248, 60), 320, 180) > 0.6
    assert not any(picture.any() for _, picture in shown[5:8])
    back = places[round(shown[10][0] * RATE)]
    assert back is not None
    assert overlap(shown[10][1], back, 320, 180) > 0.75


def test_three_boxed_objects_have_a_prompt_each(run: Runner, tmp_path: Path) -> None:
    def places(number: int) -> list[Place | None]:
        return [(20 + number, 10), (130, 60 + number), (250 - number, 110)]

    film = write_film(
        tmp_path / "three.mp4", (scene(places(number), 320, 180) for number in range(48)), crf=12, sound_s=2
    )
    boxes = {}
    for name, place in zip("abc", places(0), strict=True):
        assert place is not None
        boxes[name] = f"{place[0]},{place[1]},{SIDE},{SIDE}@0"
    assert run(film, boxes) == 0
    for index, name in enumerate("abc"):
        for time_s, picture in run.pictures(name):
            place = places(min(47, round(time_s * RATE)))[index]
            assert place is not None
            assert overlap(picture, place, 320, 180) > 0.75, (name, time_s)


def test_a_still_without_sound_is_refused_in_one_sentence(
    run: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    still = write_film(tmp_path / "still.png", [scene([(1, 1)], 320, 180)], codec="png", pixel_format="rgb24")
    assert run(still, {"dog": "0,0,60,60@0"}) != 0
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("stemline:")]
    assert len(said) == 1


def moving(path: Path, seconds: int = 2) -> Path:
    frames = (scene([(20 + 2 * number, 60)], 320, 180) for number in range(seconds * RATE))
    return write_film(path, frames, gop=200, crf=12, sound_s=seconds)


def test_a_killed_run_goes_on_without_following_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film, reached, go_on = moving(tmp_path / "clip.mp4"), threading.Event(), threading.Event()
    seen = Seen()

    def slow(mix: Waveform, rate: int, prompt: EnginePrompt) -> Waveform:
        reached.set()
        go_on.wait(60)
        return seen(mix, rate, prompt)

    with serve_engines(FunctionEngine(slow, pictures=True), state=tmp_path / "state") as server:
        monkeypatch.setenv("STEMLINE_TOKEN", server.token)
        arguments = ["separate", str(film), "--server", server.address, "--stem", "dog=bark"]
        arguments += ["--box", f"dog=20,60,{SIDE},{SIDE}@0", "-o", str(tmp_path / "out")]
        killed = subprocess.Popen([sys.executable, "-m", "stemline", *arguments])
        assert reached.wait(120)
        killed.send_signal(signal.SIGKILL)
        killed.wait(30)
        go_on.set()
        monkeypatch.setattr(shown_object, "create_tracker", lambda name: pytest.fail("followed again"))
        assert main(arguments) == 0
    assert len(seen.prompts) == 1
    assert (tmp_path / "out" / "clip.dog.wav").exists()


def test_a_run_that_is_killed_while_it_follows_leaves_nothing_that_a_later_one_trusts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Runner
) -> None:
    film = moving(tmp_path / "clip.mp4", seconds=6)
    boxes = {"bark": f"20,60,{SIDE},{SIDE}@0"}
    cache = picture_cache().folder
    arguments = ["separate", str(film), "--server", run.address, "--stem", "bark=bark"]
    arguments += ["--box", f"bark={boxes['bark']}", "-o", str(tmp_path / "out")]
    killed = subprocess.Popen([sys.executable, "-m", "stemline", *arguments])
    deadline = time.monotonic() + 120
    while not list(cache.glob(".*.part")) and killed.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait(30)
    assert run(film, boxes) == 0
    shown = run.pictures("bark")
    assert len(shown) == 24
    assert overlap(shown[8][1], (20 + 2 * 48, 60), 320, 180) > 0.8


def test_a_server_that_reads_no_files_gets_the_sound_and_small_pictures_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film, seen = moving(tmp_path / "clip.mp4"), Seen()
    engine = FunctionEngine(seen, pictures=True)
    config = ServerConfig(tmp_path / "state", media_roots=(), devices=("cpu",), model=engine.info.id)
    with serve_in_thread(config, OneEngine(engine)) as server:
        monkeypatch.setenv("STEMLINE_TOKEN", server.token)
        elsewhere = Runner(server.address, seen, tmp_path / "out")
        assert elsewhere(film, {"dog": f"20,60,{SIDE},{SIDE}@0"}) == 0
        stored = [file for file in (tmp_path / "state").rglob("*.f32") if file.stat().st_size]
        assert sum(file.read_bytes()[:8] == b"STMPICT1" for file in stored) == 1
        assert not any(b"ftyp" in file.read_bytes()[:16] for file in stored)
    assert overlap(elsewhere.pictures("dog")[4][1], (20 + 48, 60), 320, 180) > 0.8


class OneEngine:
    """The engines of a server that has one."""

    def __init__(self, engine: FunctionEngine) -> None:
        self._engine = engine

    def engine_ids(self) -> tuple[str, ...]:
        return (self._engine.info.id,)

    def create(self, engine_id: str) -> FunctionEngine:
        return self._engine
