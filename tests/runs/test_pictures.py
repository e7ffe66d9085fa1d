"""Separation by pictures: the engine gets the object of the box or the mask at the right times, and nothing else."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import stemline
from core.media.films import HEIGHT, RATE, WIDTH, write_film
from runs.conftest import record_in
from runs.hostile_masks import bomb, damaged, empty, many_damaged, pipe, text_files, text_named_png, wrong_size
from runs.moving_square import SECONDS, SIDE, film_of_masks, folder_of_pngs, mask_of, place, square
from server.trackers.tiny_weights import write_tiny_weights
from stemline.client.client import Client
from stemline.client.values import JobRequest, request_message
from stemline.clips import SampleRange
from stemline.errors import StemlineError, UsageError
from stemline.media.pictures import masks
from stemline.media.pictures.frames import FrameReader
from stemline.media.pictures.picture_track import Picture
from stemline.prompts import SamplePrompt
from stemline_app.cli import main
from stemline_server.engines.base import EnginePrompt, Waveform
from stemline_server.engines.noop import NoopEngine
from stemline_server.testing import FunctionEngine, LocalServer, serve_engines

pytestmark = pytest.mark.usefixtures("own_folders")


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_film(tmp_path / "clip.mp4", map(square, range(SECONDS * RATE)), gop=200, crf=12, sound_s=SECONDS)


class Seen:
    """What the engine got: text, times and pictures of each prompt."""

    def __init__(self) -> None:
        self.prompts: dict[str, tuple[list[Fraction], list[Picture]]] = {}
        self.count = 0
        self._lock = threading.Lock()

    def __call__(self, mix: Waveform, rate: int, prompt: EnginePrompt) -> Waveform:
        with self._lock:
            self.count += 1
            track = prompt.pictures
            if track is not None:
                pictures = [track.read(int(number)) for number in track.picture_of]
                self.prompts[prompt.text] = list(track.times), pictures
        return mix * np.float32(0.5)


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def server(tmp_path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    with serve_engines(FunctionEngine(seen, pictures=True), NoopEngine(), state=tmp_path / "state") as local:
        monkeypatch.setenv("STEMLINE_TOKEN", local.token)
        yield local


@pytest.fixture
def client(server: LocalServer) -> Iterator[Client]:
    with stemline.connect(server.address, token=server.token) as opened:
        yield opened


def shown_at(pictures: list[Picture], times: list[Fraction]) -> None:
    """Each picture is the square at its place, within a few pixels, and black elsewhere."""
    assert pictures
    for time, picture in zip(times, pictures, strict=True):
        x, y = place(min(SECONDS * RATE - 1, round(time * RATE)))
        true = np.zeros((336, 336), bool)
        true[
            round(y * 336 / HEIGHT) : round((y + SIDE) * 336 / HEIGHT),
            round(x * 336 / WIDTH) : round((x + SIDE) * 336 / WIDTH),
        ] = True
        lit = picture.max(axis=2) > 60
        assert np.count_nonzero(lit & true) / np.count_nonzero(lit | true) > 0.85, time


def test_a_box_in_one_frame_shows_the_engine_the_object_in_all(
    film: Path, server: LocalServer, seen: Seen, tmp_path: Path
) -> None:
    pytest.importorskip("cv2")
    x, y = place(24)
    box = f"dog={x},{y},{SIDE},{SIDE}@1.0"
    arguments = ["separate", str(film), "--server", server.address, "--stem", "dog=bark", "--box", box]
    assert main([*arguments, "-o", str(tmp_path / "out")]) == 0
    times, pictures = seen.prompts["bark"]
    assert times == [Fraction(tick, 4) for tick in range(len(times))]
    assert len(times) == 4 * SECONDS
    shown_at(pictures, times)
    record = record_in(str(tmp_path / "out" / "clip.dog.wav"))
    assert record.prompt.extra["pictures_per_second"] == 4
    assert main([*arguments, "-o", str(tmp_path / "out")]) == 0
    assert seen.count == 1
    assert main([*arguments, "--pictures-per-second", "10", "-o", str(tmp_path / "finer")]) == 0
    assert len(seen.prompts["bark"][0]) == 10 * SECONDS


@pytest.mark.parametrize("form", ["folder", "16 bit", "film", "alpha"])
def test_masks_of_other_programs_are_read(form: str, film: Path, client: Client, seen: Seen, tmp_path: Path) -> None:
    media, mask = film, tmp_path / "masks"
    if form == "film":
        mask = film_of_masks(tmp_path / "masks.mkv")
    elif form == "alpha":
        mattes = (np.dstack([square(n), mask_of(n)[:, :, 0]]) for n in range(SECONDS * RATE))
        media = write_film(tmp_path / "matte.mov", mattes, codec="png", pixel_format="rgba", sound_s=SECONDS)
        mask = Path("alpha")
    else:
        folder_of_pngs(mask, range(SECONDS * RATE), "gray16be" if form == "16 bit" else "gray")
    prompt = stemline.Prompt("bark", mask=stemline.Mask(str(mask)))
    stemline.separate(media, {"dog": prompt}, output=tmp_path / "out", client=client)
    times, pictures = seen.prompts["bark"]
    shown_at(pictures, times)


def test_where_a_mask_is_empty_or_has_ended_the_picture_is_black(
    film: Path, client: Client, seen: Seen, tmp_path: Path
) -> None:
    masks = folder_of_pngs(tmp_path / "masks", range(RATE))
    prompt = stemline.Prompt("bark", mask=stemline.Mask(str(masks)))
    stemline.separate(film, {"dog": prompt}, output=tmp_path / "out", client=client)
    _, pictures = seen.prompts["bark"]
    assert [bool(picture.any()) for picture in pictures] == [True] * 4 + [False] * 4


@pytest.mark.parametrize("make", [text_files, wrong_size, damaged, many_damaged, text_named_png, pipe, empty, bomb])
def test_a_hostile_mask_gets_one_sentence_and_no_file(
    make: Callable[[Path], str], film: Path, client: Client, tmp_path: Path
) -> None:
    mask = tmp_path / "mask.mkv"
    said = make(mask)
    prompt = stemline.Prompt("bark", mask=stemline.Mask(str(mask)))
    with pytest.raises(StemlineError, match=said) as refused:
        stemline.separate(film, {"dog": prompt}, output=tmp_path / "out", client=client)
    assert "\n" not in str(refused.value)
    assert not list((tmp_path / "out").glob("*.wav"))


def test_a_folder_of_100000_masks_is_read_where_it_is_needed(
    film: Path, client: Client, seen: Seen, tmp_path: Path
) -> None:
    one = folder_of_pngs(tmp_path / "one", range(1)) / "m0.png"
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(100_000):
        if number % 20_000 == 0:  # file systems limit the links to a file
            first = folder / f"{number}.png"
            first.write_bytes(one.read_bytes())
        else:
            os.link(first, folder / f"{number}.png")
    prompt = stemline.Prompt("bark", mask=stemline.Mask(str(folder)))
    opened: list[Path] = []

    def reader(path: Path, **options: Any) -> FrameReader:
        opened.append(path)
        return FrameReader(path, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(masks, "FrameReader", reader)
        stemline.separate(film, {"dog": prompt}, output=tmp_path / "out", client=client)
    assert len(seen.prompts["bark"][0]) == 4 * SECONDS
    assert len(opened) <= 4 * SECONDS + 1


def test_a_mask_film_that_is_cut_short_is_noticed(film: Path, client: Client, tmp_path: Path) -> None:
    whole = film_of_masks(tmp_path / "whole.mkv")
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(whole.read_bytes()[: whole.stat().st_size // 3])
    prompt = stemline.Prompt("bark", mask=stemline.Mask(str(broken)))
    with pytest.raises(StemlineError, match="is cut short at"):
        stemline.separate(film, {"dog": prompt}, output=tmp_path / "out", client=client)


def test_a_model_without_pictures_refuses_before_any_work(film: Path, client: Client, tmp_path: Path) -> None:
    prompt = stemline.Prompt("bark", box=stemline.Box(1, 1, 9, 9))
    with pytest.raises(UsageError, match="The model noop does not take pictures") as refused:
        stemline.separate(
            film, {"dog": prompt}, output=tmp_path / "out", settings=stemline.Settings(model="noop"), client=client
        )
    assert "words" in refused.value.advice


def test_a_box_outside_the_picture_and_sound_without_one_are_refused(
    film: Path, client: Client, tmp_path: Path
) -> None:
    pytest.importorskip("cv2")
    sound = write_film(tmp_path / "sound.wav", [], sound_s=1)
    for media, box, said in (
        (film, stemline.Box(400, 10, 20, 20), "outside the upright picture of 320 x 180"),
        (sound, stemline.Box(4, 10, 20, 20), "has no picture"),
    ):
        with pytest.raises(StemlineError, match=said):
            prompt = stemline.Prompt("bark", box=box)
            stemline.separate(media, {"dog": prompt}, output=tmp_path / "out", client=client)


def test_three_objects_have_one_prompt_each(film: Path, client: Client, seen: Seen, tmp_path: Path) -> None:
    def still(name: str, column: int) -> stemline.Mask:
        mask = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        mask[:, column : column + 40] = 255
        path = tmp_path / f"{name}.png"
        with av.open(str(path), "w", format="image2") as container:
            stream = container.add_stream("png", 1)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "rgb24"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(mask, format="rgb24")))
        return stemline.Mask(str(path))

    stems = {name: stemline.Prompt(name, mask=still(name, at)) for name, at in (("a", 0), ("b", 100), ("c", 200))}
    stemline.separate(film, stems, output=tmp_path / "out", client=client)
    for name, at in (("a", 0), ("b", 100), ("c", 200)):
        lit = np.flatnonzero(seen.prompts[name][1][0].max(axis=(0, 2)) > 10) * WIDTH / 336
        assert at - 3 < lit.min() < lit.max() < at + 43


def test_without_pictures_nothing_new_is_sent_or_loaded(
    film: Path, server: LocalServer, seen: Seen, tmp_path: Path
) -> None:
    import subprocess
    import sys

    arguments = ["separate", str(film), "--server", server.address, "--stem", "dog=bark", "-o", str(tmp_path)]
    program = (
        f"import sys; from stemline_app.cli import main; main({arguments!r})\n"
        "print(sorted(n for n in sys.modules if n.startswith('stemline.media.pictures') or n in ('cv2', 'torch')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "[]"
    assert seen.count == 1


def test_without_pictures_a_request_has_the_bytes_it_always_had() -> None:
    """A server of the version before pictures gets what it knows, and a key that finds its results."""
    request = JobRequest(media="media/" + "0" * 64, prompt=SamplePrompt("bark", (SampleRange(1, 9),)), model="noop")
    spec = request_message(request).spec
    shown = request_message(
        dataclasses.replace(request, prompt=dataclasses.replace(request.prompt, mask="media/1"))
    ).spec
    assert spec.SerializeToString() != shown.SerializeToString()
    shown.prompt.ClearField("mask")
    assert spec.SerializeToString() == shown.SerializeToString()
    assert hashlib.sha256(spec.SerializeToString()).hexdigest()[:16] == "e160c210fcc5359d"  # as before pictures


@pytest.mark.parametrize(
    "box", ["1,2,3", "a,b,c,d@1", "dog=1,2,3,4", "0,0,0,5@1", "50%,0%,60%,5%@1", "-1,0,5,5@0", "nan,0,5,5@1"]
)
def test_a_box_that_is_none_is_refused_in_one_sentence(
    box: str, film: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["separate", str(film), "--stem", "dog=", f"--box={box}"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_folder_has_a_mask_for_each_clip_of_an_edit_by_its_name(
    film: Path, server: LocalServer, seen: Seen, tmp_path: Path
) -> None:
    """The mask of "shot one" begins with that clip, which plays the second half of the film."""
    otio = pytest.importorskip("opentimelineio")

    def frames(start: int, count: int) -> object:
        return otio.opentime.TimeRange(otio.opentime.RationalTime(start, RATE), otio.opentime.RationalTime(count, RATE))

    timeline = otio.schema.Timeline("edit")
    track = otio.schema.Track("A1", kind="Audio")
    timeline.tracks.append(track)
    media = otio.schema.ExternalReference(film.as_uri(), frames(0, SECONDS * RATE))
    track.append(otio.schema.Clip("shot one", media, frames(RATE, RATE)))
    otio.adapters.write_to_file(timeline, str(tmp_path / "edit.otio"))
    (tmp_path / "masks").mkdir()
    folder_of_pngs(tmp_path / "masks" / "Shot One", range(RATE, 2 * RATE))
    arguments = [
        "batch",
        str(tmp_path / "edit.otio"),
        "--server",
        server.address,
        "--stem",
        "dog=bark",
        "--handles",
        "0",
    ]
    assert main([*arguments, "--mask", f"dog={tmp_path / 'masks'}", "-o", str(tmp_path / "out")]) == 0
    times, pictures = seen.prompts["bark"]
    half = len(times) // 2
    assert not any(picture.any() for picture in pictures[:half])
    shown_at(pictures[half:], times[half:])


def test_an_edit_gives_the_boxes_and_masks_of_its_stems_back(
    film: Path, server: LocalServer, seen: Seen, tmp_path: Path
) -> None:
    """The edit that was written is enough to run again: the same prompt finds the same stems."""
    pytest.importorskip("cv2")
    otio = pytest.importorskip("opentimelineio")
    timeline = otio.schema.Timeline("edit")
    track = otio.schema.Track("A1", kind="Audio")
    timeline.tracks.append(track)
    whole = otio.opentime.TimeRange(
        otio.opentime.RationalTime(0, RATE), otio.opentime.RationalTime(SECONDS * RATE, RATE)
    )
    track.append(otio.schema.Clip("shot", otio.schema.ExternalReference(film.as_uri(), whole), whole))
    edit = tmp_path / "edit.otio"
    otio.adapters.write_to_file(timeline, str(edit))
    (tmp_path / "out" / "masks").mkdir(parents=True)
    folder_of_pngs(tmp_path / "out" / "masks" / "shot", range(SECONDS * RATE))
    x, y = place(0)
    stems = [
        stemline.Stem("dog", stemline.Prompt("bark", [stemline.Span(0.5, 1)], box=stemline.Box(x, y, SIDE, SIDE))),
        stemline.Stem("cat", stemline.Prompt("meow", mask=stemline.Mask(str(tmp_path / "out" / "masks")))),
    ]
    settings = stemline.Settings(server=server.address)
    first = stemline.separate_edit(edit, stems, output=tmp_path / "out", settings=settings)
    again = stemline.recorded_stems(first.output)
    assert [(stem.name, stem.prompt.text, stem.prompt.box, stem.prompt.spans) for stem in again] == [
        (stem.name, stem.prompt.text, stem.prompt.box, stem.prompt.spans) for stem in stems
    ]
    count = seen.count
    arguments = [
        "batch",
        str(edit),
        "--server",
        server.address,
        "--stems-from",
        first.output,
        "-o",
        str(tmp_path / "out"),
    ]
    assert main(arguments) == 0
    assert seen.count == count, "nothing is separated again"
    (tmp_path / "out" / "masks").rename(tmp_path / "elsewhere")
    with pytest.raises(stemline.UsageError, match="The mask masks of cat is not beside"):
        stemline.recorded_stems(first.output)
    with pytest.raises(stemline.EditError, match="names no stems"):
        stemline.recorded_stems(edit)


def test_another_tracker_follows_the_box_and_its_masks_are_not_those_of_corners(
    film: Path, server: LocalServer, seen: Seen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cv2")
    monkeypatch.setenv("STEMLINE_MODELS", str(tmp_path / "models"))
    write_tiny_weights(tmp_path / "models" / "tiny")
    x, y = place(0)
    box = f"dog={x},{y},{SIDE},{SIDE}@0.0"
    arguments = ["separate", str(film), "--server", server.address, "--stem", "dog=bark", "--box", box]
    arguments += ["--pictures-per-second", "1", "--out", "1"]
    shown = []
    for tracker in ("corners", "tiny"):
        assert main([*arguments, "--tracker", tracker, "-o", str(tmp_path / tracker)]) == 0
        shown.append([picture.tobytes() for picture in seen.prompts["bark"][1]])
    assert shown[0] != shown[1]
    assert seen.count == 2
    assert record_in(str(tmp_path / "tiny" / "clip.0-1.dog.wav")).prompt.extra["tracker"] == "tiny"


def test_an_unknown_tracker_is_refused_before_any_work(film: Path, client: Client, seen: Seen, tmp_path: Path) -> None:
    prompt = stemline.Prompt("bark", box=stemline.Box(1, 1, 9, 9))
    with pytest.raises(UsageError, match="There is no tracker 'nonsense'") as refused:
        settings = stemline.Settings(tracker="nonsense")
        stemline.separate(film, {"dog": prompt}, output=tmp_path / "out", settings=settings, client=client)
    assert "corners" in refused.value.advice
    assert seen.count == 0
