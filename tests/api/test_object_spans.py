"""Suggested places of an object: the strikes of a hammer and nothing else, and none where the picture does not tell."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2")

import stemline
from core.media.films import write_film
from core.media.struck_clips import StruckClip, write_struck
from stemline.media.pictures.motion import sharp_stops
from stemline_app.cli import main

pytestmark = pytest.mark.usefixtures("own_folders")
NEAR_S = 0.06


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> StruckClip:
    return write_struck(tmp_path_factory.mktemp("struck"), seed=1)


def box(clip: StruckClip) -> stemline.Box:
    return stemline.Box(*clip.box)


def starts(found: stemline.ObjectSpans) -> list[float]:
    return [float(span.start) for span in found.spans]


def test_the_strikes_are_found_among_other_sounds(clip: StruckClip) -> None:
    found = stemline.suggest_spans(clip.path, box(clip))
    right = [hit for hit in clip.hits if any(abs(start - hit) < NEAR_S for start in starts(found))]
    wrong = [start for start in starts(found) if all(abs(start - hit) >= NEAR_S for hit in clip.hits)]
    assert (len(right), wrong) == (len(clip.hits), [])
    assert found.onsets > 2 * len(found.spans)
    assert all(0.04 < float(span.end) - float(span.start) <= 0.5 for span in found.spans)


def test_a_silent_object_among_other_sounds_gets_none(tmp_path: Path) -> None:
    clip = write_struck(tmp_path, seed=2, sounds=False, other=5)
    found = stemline.suggest_spans(clip.path, box(clip))
    assert found.stops >= 4
    assert not found.spans
    assert found.text == "No sound begins where the object stops, so the picture does not show where it sounds."


def test_an_object_that_glides_never_stops(tmp_path: Path) -> None:
    ground = np.random.default_rng(0).integers(0, 90, (180, 320, 3), dtype=np.uint8)
    thing = np.random.default_rng(1).integers(120, 255, (50, 50, 3), dtype=np.uint8)
    pictures = []
    for number in range(48):
        picture = ground.copy()
        picture[60:110, 20 + 3 * number : 70 + 3 * number] = thing
        pictures.append(picture)
    film = write_film(tmp_path / "glide.mov", pictures, crf=12, sound_s=2)
    found = stemline.suggest_spans(film, stemline.Box(16, 56, 58, 58))
    assert (found.stops, found.spans) == (0, ())


def test_a_part_of_the_file_gives_its_times_from_the_first_sample(clip: StruckClip) -> None:
    start, end = clip.hits[1] + 0.25, clip.hits[3] + 0.25
    y = clip.box[1]
    shown = stemline.Box(clip.box[0], y, clip.box[2], clip.box[3] + 90, time=start)
    found = stemline.suggest_spans(clip.path, shown, range=(start, end))
    assert starts(found)
    assert all(start <= at < end for at in starts(found))


def test_sharp_means_a_fall_within_two_frames() -> None:
    times = np.arange(12) / 24
    fast = np.array([0, 0, 600, 700, 600, 10, 0, 0, 0, 0, 0, 0], float)
    slow = np.array([0, 0, 600, 500, 400, 300, 220, 160, 110, 70, 30, 0], float)
    assert sharp_stops(times, fast) == [times[4]]
    assert not [stop for stop in sharp_stops(times, slow) if stop < times[7]]
    assert sharp_stops(times[:0], fast[:0]) == []


def test_the_command_prints_spans_as_plus_takes_them_and_what_a_picture_cannot_do(
    clip: StruckClip, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEMLINE_SERVER", "127.0.0.1:1")  # no server can listen for words
    place = ",".join(map(str, clip.box))
    assert main(["suggest", str(clip.path), "--box", f"{place}@0"]) == 0
    printed = capsys.readouterr()
    assert printed.out.count("--plus ") == len(clip.hits)
    assert "speech" in printed.err
    assert main(["suggest", str(clip.path), "--box", f"{place}@0", "--json"]) == 0
    (facts,) = json.loads(capsys.readouterr().out)["results"]
    assert len(facts["spans"]) == len(clip.hits)


def test_masks_of_a_file_are_a_film_or_a_folder_as_separate_takes_them(
    clip: StruckClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STEMLINE_SERVER", "127.0.0.1:1")
    x, _, width, _ = clip.box
    white = np.zeros((360, 640, 3), dtype=np.uint8)
    white[:, x : x + width] = 255
    film = write_film(tmp_path / "mask.mov", [white] * 96)
    assert main(["suggest", str(clip.path), "--mask", str(film)]) == 0
    capsys.readouterr()
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "1.png").write_text("no picture")
    assert main(["suggest", str(clip.path), "--mask", str(tmp_path / "masks")]) == 2
    assert "1.png" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--box", "1,1,5,5@99"], "No clip shows the object"),
        (["--box", "1,1,5,5@0", "--mask", "alpha"], "show the same object"),
        (["--box", "1,1,5,5@0", "--csv"], "not an object"),
        (["--box", "1,1,5,5@0", "--tracker", "nonsense"], "There is no tracker"),
        (["--box", "9999,1,5,5@0"], "outside the upright picture"),
    ],
)
def test_what_cannot_be_answered_is_said_in_one_sentence(
    arguments: list[str], said: str, clip: StruckClip, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["suggest", str(clip.path), *arguments]) == 2
    shown = capsys.readouterr().err.splitlines()
    assert said in shown[-1]


def test_words_are_those_heard_at_most_places() -> None:
    spans = (stemline.Span(1, 1.1), stemline.Span(2, 2.1))
    found = stemline.ObjectSpans(spans, stops=2, onsets=4)
    rain = stemline.Suggestion("rain", 0.9, (stemline.Span(3, 9),))
    wind = stemline.Suggestion("wind", 0.9, (stemline.Span(0, 1.5),))
    hammer = stemline.Suggestion("hammer", 0.4, (stemline.Span(1, 1.2), stemline.Span(2, 2.2)))
    assert found.words([rain, wind, hammer]) == (hammer, wind)
