"""Room tone and files in the places of sounds that are learnt in the wrong place, lost, or the same for all stems."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import opentimelineio as otio
import pytest

import stemline
from conftest import ROOT
from runs.conftest import noise, record_in
from runs.test_derived import derived, level_db
from runs.test_separate import samples
from stemline.media import AudioFormat, SampleFormat, open_writer
from stemline_server.testing import FunctionEngine, serve_engines

pytestmark = pytest.mark.smoke

Command = Callable[..., tuple[int, dict[str, Any], str]]
INTERVIEW = ROOT / "examples" / "interview"


def test_a_sound_heard_throughout_is_not_filled_with_itself(command: Command, tmp_path: Path) -> None:
    media = noise(tmp_path / "in.wav")
    code, answer, _ = command(
        "separate", media, "--stem", "a=x", "--model", "noop", "--replace", "a=room", "-o", tmp_path
    )
    assert code == 0
    assert "fill a" not in answer["results"][0]["derived"]
    assert [w["code"] for w in answer["results"][0]["warnings"]] == ["ROOM_TONE_MISSING"]
    assert np.array_equal(samples(derived(answer, "residual.kept")), samples(answer["results"][0]["residual"]))


def quiet_then_loud(path: Path) -> Path:
    """Write 2 s of digital silence, 2 s of a room 40 dB down, and 4 s of loud noise."""
    sound = 0.3 * np.random.default_rng(1).standard_normal((1, 8 * 48_000)).clip(-3, 3)
    sound[:, : 2 * 48_000] = 0
    sound[:, 2 * 48_000 : 4 * 48_000] *= 0.01
    with open_writer(path, AudioFormat(SampleFormat.WAV24, 48_000, 1)) as writer:
        writer.write(sound.astype(np.float32))
    return path


def test_room_tone_is_learnt_where_the_user_hears_it(command: Command, tmp_path: Path) -> None:
    media = quiet_then_loud(tmp_path / "take.wav")
    arguments = ("separate", media, "--stem", "a=x", "--model", "noop", "--in", "4", "--replace", "a=room")
    _, without, _ = command(*arguments, "-o", tmp_path / "without")
    assert [w["code"] for w in without["results"][0]["warnings"]] == ["ROOM_TONE_MISSING"]
    assert "--room-from" in without["results"][0]["warnings"][0]["message"]
    fills = []
    for folder, option in (("one", "2..4"), ("two", "a=2..4"), ("three", "2..3")):
        code, answer, _ = command(*arguments, "--room-from", option, "-o", tmp_path / folder)
        assert code == 0, answer
        fills.append(derived(answer, "fill a").read_bytes())
        assert level_db(samples(derived(answer, "fill a"))) == pytest.approx(-50.5, abs=1), "as loud as the room"
        assert answer["results"][0]["null"] == {"peak": 0.0, "dbfs": -240.0}
    assert fills[0] == fills[1] != fills[2]
    made_from = record_in(str(derived(answer, "fill a"))).extra["made_from"]
    assert made_from["room_from"] == ["2", "3"]


@pytest.mark.parametrize(
    ("marked", "message"),
    [
        ("0..2", "There is no room tone from 0 to 2 s for 'a'"),
        ("2..2.1", "There is no room tone from 2 to 2.1 s for 'a'"),
        ("90..95", "is marked from 90 to 95 s, where no clip plays"),
        ("2", "'2' is not START..END"),
        ("3..2", "end after it starts"),
        ("b=1..2", "'b=1' is not a time"),
        ("01:00:00:00..01:00:02:00", "is not START..END in seconds"),
    ],
)
def test_a_range_without_room_tone_stops_before_any_work(
    command: Command, tmp_path: Path, marked: str, message: str
) -> None:
    media, out = quiet_then_loud(tmp_path / "take.wav"), tmp_path / "out"
    code, answer, _ = command(
        "separate",
        *(media, "--stem", "a=x", "--model", "noop", "--replace", "a=room", "--room-from", marked, "-o", out),
    )
    assert code == 2
    assert message in answer["errors"][0]["message"]
    assert not out.exists() or not any(out.iterdir())


def test_room_tone_marked_in_an_edit_serves_all_clips_of_its_media(command: Command, tmp_path: Path) -> None:
    path = quiet_then_loud(tmp_path / "take.wav")
    edit, track = otio.schema.Timeline("take"), otio.schema.Track("A1", kind="Audio")
    edit.tracks.append(track)
    for name, start, frames in (("talk", 100, 50), ("room", 60, 25), ("more talk", 150, 25)):
        span = otio.opentime.TimeRange(otio.opentime.RationalTime(start, 25), otio.opentime.RationalTime(frames, 25))
        track.append(otio.schema.Clip(name, otio.schema.ExternalReference(path.as_uri()), span))
    otio.adapters.write_to_file(edit, str(tmp_path / "take.otio"))
    arguments = ("batch", tmp_path / "take.otio", "--stem", "a=x", "--model", "noop", "--replace", "a=room")
    code, answer, _ = command(*arguments, "--handles", "0", "--room-from", "2..3", "-o", tmp_path / "out")
    assert code == 0, answer
    written = otio.adapters.read_from_file(answer["results"][0]["output"])
    (track,) = [track for track in written.audio_tracks() if track.name.startswith("fill a")]
    assert len(list(track.find_clips())) == 3
    code, answer, _ = command(*arguments, "--room-from", "50..51", "-o", tmp_path / "nowhere")
    assert code == 2
    assert "where no clip plays" in answer["errors"][0]["message"]


def test_each_stem_has_its_own_options(command: Command, tmp_path: Path) -> None:
    media = noise(tmp_path / "in.wav")
    odd = noise(tmp_path / "a=b, 50% [x] \u00fcber;.wav", seconds=0.5, channels=1)
    echo = tmp_path / "b=room,small.wav"
    with open_writer(echo, AudioFormat(SampleFormat.WAV32F, 48_000, 1)) as writer:
        writer.write(np.eye(1, 4800, dtype=np.float32))
    stems = ("--stem", "a=x", "--stem", "b=y", "--stem", "c=z", "--model", "noop")
    replace = ("--replace", f"a=file:{odd}", "--replace", f"b=file:{odd}")
    options = ("--replace-gain", "-3", "--replace-gain", "b=2", "--replace-nudge", "a=-25", "--replace-duck", "c=-9")
    code, answer, _ = command(
        "separate", media, *stems, *replace, *options, "--replace-room", f"b={echo}", "-o", tmp_path / "out"
    )
    assert code == 0, answer
    a, b = (record_in(str(derived(answer, f"fill {name}"))).extra["made_from"] for name in "ab")
    assert (a["gain_db"], b["gain_db"]) == (-3, 2)
    assert a["options"] == {"nudge_s": -0.025, "duck": "c", "duck_db": -9}
    assert b["options"] == {"room": echo.name, "duck": "c", "duck_db": -9}


def test_an_option_of_a_fill_without_one_is_not_ignored(command: Command, tmp_path: Path) -> None:
    media = noise(tmp_path / "in.wav")
    code, answer, _ = command("separate", media, "--stem", "a=x", "--model", "noop", "--room-from", "0..2")
    assert code == 2
    assert answer["errors"][0]["message"] == "--room-from belongs to --replace."


def test_another_impulse_response_of_the_same_name_is_another_fill(command: Command, tmp_path: Path) -> None:
    media, knock = noise(tmp_path / "in.wav"), noise(tmp_path / "knock.wav", seconds=0.5)
    echo = tmp_path / "echo.wav"
    fills = []
    for delay in (1000, 3000):
        impulse = np.zeros((1, 4800), np.float32)
        impulse[0, delay] = 0.5
        with open_writer(echo, AudioFormat(SampleFormat.WAV32F, 48_000, 1)) as writer:
            writer.write(impulse)
        options = ("--replace", f"a=file:{knock}", "--replace-room", echo, "--record-paths", "omit", "--overwrite")
        code, answer, _ = command(
            "separate", media, "--stem", "a=x", "--model", "noop", *options, "-o", tmp_path / "out"
        )
        assert code == 0, answer
        fills.append(samples(derived(answer, "fill a")))
    assert not np.array_equal(fills[0], fills[1])


def test_room_tone_keeps_the_level_where_dialogue_was(command: Command, tmp_path: Path) -> None:
    media = INTERVIEW / "camera.mp4"
    arguments = (
        "separate",
        media,
        "--stem",
        "dialogue=speech",
        "--replace",
        "dialogue=room",
        "--in",
        "3",
        "--out",
        "9",
    )
    code, answer, _ = command(*arguments, "-o", tmp_path / "one")
    assert code == 0
    kept, fill = samples(derived(answer, "residual.kept")), samples(derived(answer, "fill dialogue"))
    dialogue = samples(answer["results"][0]["stems"][0]["path"])
    assert kept.shape == fill.shape == dialogue.shape
    quarter = 12_000
    heard = [level_db((kept + fill)[:, at : at + quarter]) for at in range(0, kept.shape[1] - quarter, quarter)]
    assert max(heard) - min(heard) < 6.0, "no hole and no bump where the voice was"
    spoken = level_db(dialogue) > -60
    assert spoken
    loud = np.abs(dialogue).max(axis=0) > 0.1
    assert np.abs(kept[:, loud]).max() < 1e-3, "no leakage of the voice is heard there"
    assert answer["results"][0]["null"]["dbfs"] <= -140
    _, again, _ = command(*arguments, "-o", tmp_path / "two")
    assert derived(again, "fill dialogue").read_bytes() == derived(answer, "fill dialogue").read_bytes()
    assert record_in(str(derived(answer, "fill dialogue"))).kind == "fill"


def test_a_file_takes_the_place_of_a_sound_and_is_named_in_its_record(command: Command, tmp_path: Path) -> None:
    media, bell = noise(tmp_path / "in.wav"), noise(tmp_path / "bell.wav", seconds=0.5, sample_rate=44100, channels=1)
    code, answer, _ = command(
        "separate", media, "--stem", "a=x", "--model", "noop", "--replace", f"a=file:{bell}", "-o", tmp_path / "out"
    )
    assert code == 0
    assert list(answer["results"][0]["derived"]) == ["fill a"], "the residual stays as it is"
    fill = samples(derived(answer, "fill a"))
    assert fill.shape == samples(media).shape
    assert fill.any()
    made_from = record_in(str(derived(answer, "fill a"))).extra["made_from"]
    assert (made_from["method"], made_from["file"]) == ("file", "bell.wav")
    assert answer["results"][0]["null"] == {"peak": 0.0, "dbfs": -240.0}


def test_a_clip_without_a_pause_takes_the_room_tone_of_its_neighbour_and_says_so(
    command: Command, tmp_path: Path
) -> None:
    """Clip 1 is speech throughout; clip 2, later in the same take, is the room alone."""
    loud, room = noise(tmp_path / "loud.wav", seconds=2), np.random.default_rng(3).standard_normal((2, 8 * 48_000))
    take = (0.001 * room).astype(np.float32)
    take[:, : 2 * 48_000] += samples(loud)[:, : 2 * 48_000].astype(np.float32)
    path = tmp_path / "take.wav"
    with open_writer(path, AudioFormat(SampleFormat.WAV24, 48_000, 2)) as writer:
        writer.write(take)
    edit, track = otio.schema.Timeline("take"), otio.schema.Track("A1", kind="Audio")
    edit.tracks.append(track)
    for name, start in (("talk", 0), ("pause", 100)):
        span = otio.opentime.TimeRange(otio.opentime.RationalTime(start, 25), otio.opentime.RationalTime(50, 25))
        track.append(otio.schema.Clip(name, otio.schema.ExternalReference(path.as_uri()), span))
    otio.adapters.write_to_file(edit, str(tmp_path / "take.otio"))

    def loud_only(mix: np.ndarray, rate: int, prompt: object) -> np.ndarray:
        return np.where(np.abs(mix) > 0.01, mix, 0)

    engine = FunctionEngine(loud_only)
    with (
        serve_engines(engine, state=tmp_path / "state") as server,
        stemline.connect(server.address, token=server.token) as client,
    ):
        settings = stemline.Settings(replace={"a": stemline.Replace()})
        options = stemline.EditOptions(handle_s=0)
        result = stemline.separate_edit(
            tmp_path / "take.otio",
            {"a": "x"},
            output=tmp_path / "out",
            settings=settings,
            options=options,
            client=client,
        )
    said = {notice.clip: notice for notice in result.notices if notice.code == "ROOM_TONE_SHARED"}
    assert list(said) == ["talk"], result.notices
    assert said["talk"].message == "fill a: room tone from clip pause of the same media."


def test_room_tone_is_learnt_again_when_another_sound_is_removed_too(tmp_path: Path) -> None:
    rate = 48_000
    take = (0.001 * np.random.default_rng(3).standard_normal((1, 8 * rate))).astype(np.float32)
    for start_s in (0, 4):
        take[:, start_s * rate : (start_s + 2) * rate] *= 150
    path = tmp_path / "take.wav"
    with open_writer(path, AudioFormat(SampleFormat.WAV24, rate, 1)) as writer:
        writer.write(take)

    def early_or_late(mix: np.ndarray, rate: int, prompt: Any) -> np.ndarray:
        loud = np.where(np.abs(mix) > 0.006, mix, 0)
        if prompt.text == "early":
            loud[:, 3 * rate :] = 0
        else:
            loud[:, : 3 * rate] = 0
            loud *= 0.99  # some of it stays in the residual
        return loud

    replace = {"a": stemline.Replace(), "b": stemline.Replace(instead=False)}
    with (
        serve_engines(FunctionEngine(early_or_late), state=tmp_path / "state") as server,
        stemline.connect(server.address, token=server.token) as client,
    ):

        def fill_of(out: str, replaced: str) -> np.ndarray:
            settings = stemline.Settings(replace={name: replace[name] for name in replaced}, overwrite=True)
            stemline.separate(
                path, {"a": "early", "b": "late"}, output=tmp_path / out, settings=settings, client=client
            )
            return samples(tmp_path / out / "take.fill a.wav")

        alone = fill_of("one", "a")
        again, fresh = fill_of("one", "ab"), fill_of("two", "ab")
    assert not np.array_equal(alone, fresh), "the room without both sounds is another"
    assert np.array_equal(again, fresh), "the same sounds give the same fill, whatever was made before"


@pytest.mark.parametrize("replace", [stemline.Replace(), stemline.Replace(words="rain", generator="noop")])
def test_a_silent_stem_is_filled_with_silence(tmp_path: Path, replace: stemline.Replace) -> None:
    media = noise(tmp_path / "in.wav")
    with (
        serve_engines(FunctionEngine(lambda mix, rate, prompt: 0 * mix), state=tmp_path / "state") as server,
        stemline.connect(server.address, token=server.token) as client,
    ):
        settings = stemline.Settings(replace={"a": replace})
        result = stemline.separate(media, {"a": "x"}, output=tmp_path / "out", settings=settings, client=client)
    assert not samples(Path(result.derived["fill a"])).any()
    assert "ROOM_TONE_MISSING" not in [notice.code for notice in result.notices]


def test_a_sound_at_the_very_start_and_end_is_filled_to_the_last_sample(tmp_path: Path) -> None:
    rate = 48_000
    take = (0.003 * np.random.default_rng(3).standard_normal((1, 10 * rate))).astype(np.float32)
    loud = np.zeros_like(take)
    loud[:, :rate] = loud[:, -rate:] = 0.3
    media = tmp_path / "take.wav"
    with open_writer(media, AudioFormat(SampleFormat.WAV32F, rate, 1)) as writer:
        writer.write(take + loud)
    with (
        serve_engines(
            FunctionEngine(lambda mix, rate, prompt: np.where(mix > 0.1, mix, 0)), state=tmp_path / "s"
        ) as server,
        stemline.connect(server.address, token=server.token) as client,
    ):
        settings = stemline.Settings(replace={"a": stemline.Replace()})
        result = stemline.separate(media, {"a": "x"}, output=tmp_path / "out", settings=settings, client=client)
    heard = samples(Path(result.derived["residual.kept"])) + samples(Path(result.derived["fill a"]))
    assert heard.shape == take.shape
    levels = [level_db(part) for part in np.split(heard, 100, axis=1)]
    assert max(levels) - min(levels) < 1.5, "no hole and no bump at either end"
