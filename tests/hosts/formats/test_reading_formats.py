"""Edits of other formats: converted or refused with one sentence, their sound where the editor put it."""

from __future__ import annotations

import zipfile
from fractions import Fraction
from pathlib import Path, PureWindowsPath
from urllib.parse import unquote

import numpy as np
import opentimelineio as otio
import pytest

from hosts.otio.support import audio_track, clip, difference, frames, gap, is_stem, media, save, separate
from otio_player import Player, aaf_channels
from stemline.errors import Code, EditError, StemlineError, UsageError
from stemline.hosts.base import Selection
from stemline_otio import LinkRules, OtioEdit, OtioTarget, ReadOptions, open_edit, read_edit
from stemline_otio.packed_media import unpack_bundle
from stemline_otio.reading import SourceTrack, source_tracks

SAMPLE_RATE = 8000  # keeps the stand-ins of minutes of media small
CONVERTED = {
    "lossless-cut__Final_Cut_Pro_XMEML.xml": 12,
    "otio-fcp-adapter__premiere_example.xml": 7,
    "otio-fcp-adapter__premiere_generators.xml": 0,
    "otio-aaf-adapter__multitrack.aaf": 16,
    "otio-aaf-adapter__2997fps-DFTC.aaf": 6,
    "otio-aaf-adapter__nested_audio_dissolve.aaf": 1,
    "LibAAF__MC_Clip_Mute.aaf": 0,
    "otio-cmx3600-adapter__multi_audio.edl": 0,
}


def stand_ins(timeline: otio.schema.Timeline, root: Path) -> dict[str, Path]:
    """Write a ramp for each media file that the edit names, long enough for all that is used of it."""
    wanted: dict[str, int] = {}
    for item in timeline.find_clips():
        reference = item.media_reference
        if isinstance(reference, otio.schema.GeneratorReference):
            continue
        name = PureWindowsPath(unquote(getattr(reference, "target_url", "") or item.name)).name
        available = reference.available_range if reference else None
        length = available.duration if available else item.source_range.end_time_exclusive()
        wanted[name] = max(wanted.get(name, 0), int(length.to_seconds()) + 1)
    return {
        name: media(root / name, seconds, sample_rate=SAMPLE_RATE, channels=6 if "58982c7f" in name else 2)
        for name, seconds in wanted.items()
        if seconds < 600
    }


def open_with_stand_ins(path: Path, tmp_path: Path) -> tuple[OtioEdit, Path, dict[str, Path]]:
    options = ReadOptions(Fraction(24))
    files = stand_ins(read_edit(path, options).timeline, tmp_path / "media")
    target = OtioTarget(tmp_path / "out" / "edit.stems.otio")
    rules = LinkRules(path.parent, (), (tmp_path / "media",))
    return open_edit(path, target, rules, options), target.path, files


@pytest.mark.parametrize(("name", "clips"), CONVERTED.items())
def test_every_clip_of_a_real_edit_is_separated_or_named(
    shared_data: Path, tmp_path: Path, name: str, clips: int
) -> None:
    path = shared_data / "corpus" / name
    before = path.read_bytes()
    host, output, files = open_with_stand_ins(path, tmp_path)
    result = separate(host, output)
    audio = [t for t in host.timeline.tracks if t.kind == "Audio"]
    total = sum(clip.parent().kind == "Audio" for t in audio for clip in t.find_clips())
    assert len(result.read.clips) + len(result.read.skipped) == total
    assert len(result.read.clips) == clips
    assert all(skip.reason.endswith(".") for skip in result.read.skipped)
    assert path.read_bytes() == before
    if clips:
        sounding = [differs_by(output, track, files) for track in source_tracks(host.timeline)]
        assert max(loudest for _, loudest in sounding) > 0.0001
        assert max(worst for worst, _ in sounding) < 1e-9


def differs_by(output: Path, track: SourceTrack, files: dict[str, Path]) -> tuple[float, float]:
    """Return the largest difference between one track's originals and its stems, and its loudest sample."""
    player = Player(output, media=files)
    original = player.timeline.tracks[track.index]
    one = any(aaf_channels(clip.media_reference) for clip in original.find_clips())
    how = {"sample_rate": SAMPLE_RATE, "channels": 1 if one else 2, "length_s": 140}
    before = player.render(lambda t: t is original, **how)
    after = player.render(lambda t: is_stem(t) and t.metadata["stemline"]["source_track"] == track.name, **how)
    return float(np.abs(before - after).max()), float(np.abs(before).max())


@pytest.mark.parametrize(
    "name", [pytest.param(name, id=name) for name in ("DAWFileKit__29.97d.fcpxml", "DAWFileKit__SyncClipRoles.fcpxml")]
)
def test_what_no_adapter_reads_is_refused_with_a_way_out(shared_data: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(EditError) as refused:
        open_edit(shared_data / "corpus" / name, OtioTarget(tmp_path / "x.otio"))
    assert refused.value.code is Code.EDIT_FORMAT_UNKNOWN
    assert ".otio" in refused.value.advice


def test_a_bundle_of_final_cut_pro_is_refused_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "edit.fcpxmld").mkdir()
    with pytest.raises(EditError) as refused:
        open_edit(tmp_path / "edit.fcpxmld", OtioTarget(tmp_path / "x.otio"))
    assert refused.value.code is Code.EDIT_FORMAT_UNKNOWN
    assert "DaVinci Resolve" in refused.value.advice


def test_no_file_of_the_corpus_ends_in_a_traceback(shared_data: Path, tmp_path: Path) -> None:
    for path in sorted((shared_data / "corpus").iterdir()):
        try:
            host = open_edit(path, OtioTarget(tmp_path / "x.otio"), None, ReadOptions(Fraction(24)))
        except StemlineError as error:
            assert error.message.endswith("."), path.name
            continue
        read = host.read_clips(Selection())
        assert read.clips or read.skipped or not host.timeline.find_clips(), path.name


def test_a_premiere_clip_plays_the_channels_its_xml_says(shared_data: Path, tmp_path: Path) -> None:
    host, _, _ = open_with_stand_ins(shared_data / "corpus" / "otio-fcp-adapter__premiere_example.xml", tmp_path)
    assert {clip.source.channels for clip in host.read_clips(Selection()).clips} == {()}
    host, _, _ = open_with_stand_ins(
        shared_data / "corpus" / "lossless-cut__Final_Cut_Pro_XMEML.xml", tmp_path / "other"
    )
    by_track: dict[str, set[tuple[int, ...]]] = {}
    for read in host.read_clips(Selection()).clips:
        by_track.setdefault(read.track, set()).add(read.source.channels)
    assert list(by_track.values()) == [{(0,)}, {(1,)}]


def test_a_feature_films_dialogue_list_plays_no_media_that_it_does_not_name(shared_data: Path, tmp_path: Path) -> None:
    root = tmp_path / "media"
    begin = (19 * 3600 + 11 * 60 + 50) * SAMPLE_RATE
    media(root / "SR018.wav", 30, sample_rate=SAMPLE_RATE, timecode_sample=begin)
    media(root / "anything.wav", 30, sample_rate=SAMPLE_RATE, timecode_sample=(16 * 3600 + 26 * 60) * SAMPLE_RATE)
    media(root / "UNILOGO_2012_S235_MONO_DNX175X.wav", 40, sample_rate=SAMPLE_RATE)
    path = shared_data / "corpus" / "pycmx__INS4_R1_DX_092117.edl"
    target = OtioTarget(tmp_path / "out" / "edit.stems.otio")
    host = open_edit(path, target, LinkRules(path.parent, (), (root,)), ReadOptions(Fraction(24)))
    read = host.read_clips(Selection())
    assert len(read.clips) + len(read.skipped) == 466
    starts = {(c.name, c.record_range.start) for c in read.clips}
    assert ("UNILOGO_2012_S235_MONO_DNX175X.MOV", Fraction(8)) in starts
    first = min((c for c in read.clips if c.name == "1-2B"), key=lambda c: c.record_range.start)
    assert first.record_range.start == 60 + 51 + Fraction(18, 24)
    assert first.source_range.start == 4 + Fraction(10, 24)
    assert any("found by reel" in note for note in read.notes)
    assert not [clip for clip in read.clips if clip.source.path.endswith("anything.wav")]
    offered = [skip for skip in read.skipped if "anything.wav covers its timecode" in skip.reason]
    assert {skip.code for skip in offered} == {Code.MEDIA_MISSING}
    assert any("A054C002_160819_R1BY" in skip.reason for skip in offered)


EVENTS = """TITLE: one
FCM: DROP FRAME
001  TAKE1    A     C        10:00:00;00 10:00:02;00 01:00:00;00 01:00:02;00
* FROM CLIP NAME: take1
002  TAKE1    A     C        10:01:00.02 10:01:01.02 01:01:00:02 01:01:01:02
* FROM CLIP NAME: take1
"""


def test_drop_frame_labels_of_an_edit_list_become_their_frames(tmp_path: Path) -> None:
    rate = Fraction(30000, 1001)
    begin = 10 * 3600 * 30 - 108 * 10  # 10:00:00;00 in frames
    stamp = round(begin / rate * 48000)
    media(tmp_path / "take1.wav", 70, sample_rate=48000, timecode_sample=stamp)
    path = tmp_path / "list.edl"
    path.write_bytes(b"\xef\xbb\xbf" + EVENTS.replace("\n", "\r\n").encode())
    rules = LinkRules(tmp_path, (), (tmp_path,))
    host = open_edit(path, OtioTarget(tmp_path / "out" / "x.otio"), rules, ReadOptions(rate))
    read = host.read_clips(Selection())
    assert read.drop_frame, "its labels are shown as the list writes them"
    clips = read.clips
    assert [c.record_range.start * rate for c in clips] == [0, 1800]
    assert [c.source_range.start * rate for c in clips] == [0, 1800]
    assert clips[1].record_range.duration * rate == 30


def test_an_edit_list_without_a_rate_is_asked_for_it(tmp_path: Path) -> None:
    path = tmp_path / "list.edl"
    path.write_text(EVENTS)
    with pytest.raises(UsageError, match="frame rate"):
        open_edit(path, OtioTarget(tmp_path / "out.otio"))


@pytest.mark.parametrize("suffix", [".xml", ".aaf", ".edl", ".otioz"])
@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 5000, b"not an edit", b"<xmeml version='4'>", b"\xd0\xcf\x11\xe0" + b"\xff" * 2000,
     b"<xmeml><sequence id='a'><media><video><track><clipitem><sequence id='a'/></clipitem></track></video></media>"
     b"</sequence></xmeml>"],
)  # fmt: skip
def test_damaged_edits_are_refused_in_a_sentence(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"edit{suffix}"
    path.write_bytes(content)
    with pytest.raises(EditError) as refused:
        open_edit(path, OtioTarget(tmp_path / "x.otio"), None, ReadOptions(Fraction(25)))
    assert "\n" not in refused.value.message


def test_a_missing_adapter_is_named_with_the_command(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otio.adapters, "available_adapter_names", lambda: ["otio_json"])
    with pytest.raises(EditError) as refused:
        open_edit(shared_data / "corpus" / "otio-aaf-adapter__multitrack.aaf", OtioTarget(tmp_path / "x.otio"))
    assert refused.value.code is Code.EDIT_ADAPTER_MISSING
    assert "[otio]" in refused.value.advice


def bundle(tmp_path: Path, kind: str) -> Path:
    media(tmp_path / "take.wav", 6)
    path = save(
        tmp_path / "edit.otio",
        audio_track("A1", [gap(10, 25), clip((tmp_path / "take.wav").as_uri(), (20, 50), 25, (0, 150))]),
        start=frames(90000, 25),
    )
    target = tmp_path / f"edit.{kind}"
    otio.adapters.write_to_file(otio.adapters.read_from_file(str(path)), str(target))
    (tmp_path / "take.wav").unlink()
    return target


@pytest.mark.parametrize("kind", ["otioz", "otiod"])
def test_a_bundle_brings_its_own_media(tmp_path: Path, kind: str) -> None:
    path = bundle(tmp_path, kind)
    output = tmp_path / "out" / "edit.stems.otio"
    options = ReadOptions(unpack_to=tmp_path / "out" / "edit.media")
    result = separate(open_edit(path, OtioTarget(output), None, options), output)
    assert len(result.read.clips) == 1
    worst, loudest = difference(output)
    assert loudest > 0.001
    assert worst == 0


def test_a_bundle_writes_nothing_outside_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "edit.otioz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("content.otio", otio.schema.Timeline().to_json_string())
        archive.writestr("media/../../evil.wav", "x")
        archive.writestr("../evil.wav", "x")
        archive.writestr("media/good.wav", "x")
    read_edit(path, ReadOptions(unpack_to=tmp_path / "a" / "b"))
    found = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    assert found == ["a/b/content.otio", "a/b/media/good.wav", "edit.otioz"]


def test_a_bundle_exported_again_never_plays_the_sound_of_the_one_before(tmp_path: Path) -> None:
    """Nor does another bundle of the same name: what stands there may be linked from an edit that was written."""
    path, folder = tmp_path / "edit.otioz", tmp_path / "edit.media"
    first, second = {"a.wav": b"AAAA", "b.wav": b"same"}, {"a.wav": b"BBBB", "b.wav": b"same"}
    unpacked = [_unpacked(path, folder, sounds) for sounds in (first, second, first, second)]
    assert [sounds for _, sounds in unpacked] == [first, second, first, second]
    assert [place.name for place, _ in unpacked] == ["edit.media", "edit-2.media"] * 2


def _unpacked(path: Path, folder: Path, sounds: dict[str, bytes]) -> tuple[Path, dict[str, bytes]]:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("content.otio", "{}")
        for name, sound in sounds.items():
            archive.writestr(f"media/{name}", sound)
    place = unpack_bundle(path, folder).parent
    return place, {file.name: file.read_bytes() for file in sorted((place / "media").iterdir())}
