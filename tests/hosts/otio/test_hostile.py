"""Edits and media from anywhere must not crash the reader: one sentence each, never a traceback or a dead process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import opentimelineio as otio
import pytest

from hosts.otio.support import audio_track, clip, edit, gap, media, save, separate, source_samples
from stemline.errors import Code, EditError, OutputError, UsageError
from stemline.hosts.base import Selection, WriteOptions
from stemline_otio import LinkRules, OtioEdit, OtioTarget, open_edit

WHOLE = (0, 100)
ONE_STACK = (
    '{"OTIO_SCHEMA":"Stack.1","metadata":{},"name":"","source_range":null,"effects":[],"markers":[],"children":['
)
BAD_TEXT = {
    "empty": b"",
    "cut off": b'{"OTIO_SCHEMA": "Timeline.1", "metadata": {',
    "binary": bytes(range(256)),
    "other json": b'{"a": [1, 2]}',
    "a number": b"5",
    "a lone clip": json.dumps(json.loads(otio.schema.Clip(name="x").to_json_string())).encode(),
    "a newer clip": otio.schema.Timeline().to_json_string().replace("Timeline.1", "Timeline.9").encode(),
    "no tracks": b'{"OTIO_SCHEMA": "Timeline.1", "metadata": {}, "global_start_time": null, "tracks": null}',
    "wrong type": b'{"OTIO_SCHEMA": "Timeline.1", "metadata": {}, "global_start_time": null, "tracks": 7}',
    "lone surrogate": b'{"OTIO_SCHEMA": "Timeline.1", "name": "\\ud800"}',
    "two timelines": otio.schema.SerializableCollection(children=[otio.schema.Timeline(), otio.schema.Timeline()])
    .to_json_string()
    .encode(),
}


@pytest.mark.parametrize("text", BAD_TEXT.values(), ids=BAD_TEXT.keys())
def test_what_is_no_edit_is_refused_in_one_sentence(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "bad.otio"
    path.write_bytes(text)
    with pytest.raises(EditError) as refused:
        open_edit(path, OtioTarget(tmp_path / "out.otio"))
    assert "\n" not in refused.value.message
    assert len(refused.value.message) < 600


@pytest.mark.parametrize("frames", [1e300, -1e300, float("inf"), float("nan")])
def test_a_time_beyond_all_bounds_is_refused_by_name(tmp_path: Path, frames: float) -> None:
    media(tmp_path / "m.wav", 4)
    path = save(tmp_path / "e.otio", audio_track("a", [clip("m.wav", (0, frames), 25, WHOLE)]))
    with pytest.raises(EditError, match="an impossible time"):
        edit(path).read_clips(Selection())


@pytest.mark.parametrize("text", [ONE_STACK * 40000 + "]}" * 40000, "[" * 300000, '{"a":' * 200000])
def test_endless_nesting_does_not_end_the_process(tmp_path: Path, text: str) -> None:
    """In a process of its own: the native parser overflows its stack on such text."""
    path = tmp_path / "deep.otio"
    path.write_text(text)
    script = (
        "import sys\nfrom pathlib import Path\nfrom stemline.errors import EditError\n"
        "from stemline_otio import read_timeline\n"
        "try:\n    read_timeline(Path(sys.argv[1]))\nexcept EditError as error:\n    print(error.code)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "EDIT_CYCLIC")


def test_a_sequence_inside_itself_is_cyclic(tmp_path: Path) -> None:
    timeline = otio.schema.Timeline()
    loop = timeline.tracks
    loop.append(loop)
    with pytest.raises(EditError) as refused:
        OtioEdit(timeline, LinkRules(tmp_path), OtioTarget(tmp_path / "o.otio"))
    assert refused.value.code is Code.EDIT_CYCLIC
    del loop[0]


def test_metadata_that_holds_the_edit_is_cyclic(tmp_path: Path) -> None:
    timeline = otio.schema.Timeline()
    timeline.metadata["self"] = timeline
    host = OtioEdit(timeline, LinkRules(tmp_path), OtioTarget(tmp_path / "o.otio"))
    with pytest.raises(EditError) as refused:
        host.write_tracks((), WriteOptions())
    assert refused.value.code is Code.EDIT_CYCLIC
    del timeline.metadata["self"]


@pytest.mark.parametrize(
    ("start", "duration", "rate"),
    [(float("nan"), 5, 25), (0, float("inf"), 25), (0, 5, 0), (0, 5, -25), (0, -5, 25), (0, 5, float("nan"))],
)
def test_times_that_are_no_times_are_refused(tmp_path: Path, start: float, duration: float, rate: float) -> None:
    timeline = otio.schema.Timeline()
    bad = otio.schema.Clip(name="bad")
    bad.source_range = otio.opentime.TimeRange(
        otio.opentime.RationalTime(start, rate), otio.opentime.RationalTime(duration, rate)
    )
    timeline.tracks.append(audio_track("a", [bad]))
    with pytest.raises(EditError):
        OtioEdit(timeline, LinkRules(tmp_path), OtioTarget(tmp_path / "o.otio")).read_clips(Selection())


def test_hostile_names_stay_names(tmp_path: Path) -> None:
    media(tmp_path / "m.wav", 4)
    names = ["../../up", "a\nb\x1b[31m", "x" * 10_000_000, "", "𝄞 ünï", "a\0b"]
    clips = [clip("m.wav", (0, 20), 25, WHOLE, name=name) for name in names]
    output = tmp_path / "out" / "e.otio"
    result = separate(edit(save(tmp_path / "e.otio", audio_track("../t\n", clips)), output), output)
    assert len(result.read.clips) == len(names)
    assert all(c.name and c.name.isprintable() and len(c.name) <= 120 for c in result.read.clips)
    assert {f.parent for f in tmp_path.rglob("*.otio")} == {tmp_path, output.parent}


def test_media_that_is_none_is_skipped_by_name(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no sound in here")
    (tmp_path / "folder.wav").mkdir()
    os.mkfifo(tmp_path / "pipe.wav")
    media(tmp_path / "empty.wav", 0)
    good = media(tmp_path / "good.wav", 4)
    (tmp_path / "cut.wav").write_bytes(good.read_bytes()[:1000])
    wanted = {
        "text.wav": Code.MEDIA_UNREADABLE,
        "folder.wav": Code.MEDIA_UNREADABLE,
        "pipe.wav": Code.MEDIA_UNREADABLE,
        "empty.wav": Code.MEDIA_EMPTY,
        "gone.wav": Code.MEDIA_MISSING,
        "a\0b.wav": Code.MEDIA_MISSING,
        "https://example.org/a.wav": Code.MEDIA_MISSING,
        "/" + "x" * 5000: Code.MEDIA_MISSING,
        "": Code.MEDIA_MISSING,
        "C:\\films\\a.wav": Code.MEDIA_MISSING,
    }
    clips = [clip(url, (0, 20), 25, WHOLE, name=f"n{i}") for i, url in enumerate([*wanted, "good.wav"])]
    read = edit(save(tmp_path / "e.otio", audio_track("a", clips))).read_clips(Selection())
    assert [s.code for s in read.skipped] == list(wanted.values())
    assert [c.record_range.start for c in read.clips] == [len(wanted) * 20 / 25]


def test_a_day_long_timeline_keeps_its_places(tmp_path: Path) -> None:
    media(tmp_path / "m.wav", 4)
    rate = 30000 / 1001
    day = 24 * 3600 * 30
    items = [gap(day, rate), clip("m.wav", (7, 30), rate, (0, 119))]
    output = tmp_path / "out" / "e.otio"
    separate(edit(save(tmp_path / "e.otio", audio_track("a", items)), output), output)
    timeline = otio.adapters.read_from_file(str(output))
    stem = next(t for t in timeline.tracks if t.name == "half a")
    assert stem.range_of_child_at_index(1).start_time == otio.opentime.RationalTime(day, rate)


def test_the_edit_itself_is_never_the_output(tmp_path: Path) -> None:
    path = save(tmp_path / "e.otio", audio_track("a", []))
    link = tmp_path / "link.otio"
    link.symlink_to(path)
    for target in (path, link):
        with pytest.raises(OutputError) as refused:
            open_edit(path, OtioTarget(target))
        assert refused.value.code is Code.OUTPUT_EXISTS


def test_an_unwritable_folder_leaves_nothing_behind(tmp_path: Path) -> None:
    path = save(tmp_path / "e.otio", audio_track("a", []))
    (tmp_path / "out").write_text("a file where the folder should be")
    with pytest.raises(OutputError):
        edit(path).write_tracks((), WriteOptions())
    assert sorted(f.name for f in tmp_path.iterdir()) == ["e.otio", "out"]


def test_an_unknown_track_is_a_usage_error_that_lists_the_tracks(tmp_path: Path) -> None:
    path = save(tmp_path / "e.otio", audio_track("boom", []), audio_track("", []))
    with pytest.raises(UsageError, match="boom, A2"):
        edit(path).read_clips(Selection(tracks=("nope",)))


def test_ramps_read_back(tmp_path: Path) -> None:
    """The stand-in media is what these tests believe it is."""
    samples = source_samples(str(media(tmp_path / "m.wav", 1, channels=2)))
    assert samples.shape == (2, 48000)
    assert (samples[0, 47999], samples[1, 47999]) == (47999, -47999)
