"""Final Cut 7 XML as Premiere writes it: what its adapter loses or misplaces must not be lost or misplaced."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import opentimelineio as otio
import pytest

from hosts.formats.xmeml import RATE, TEN_HOURS, Document, channel, cross_fade, levels, time_remap, track
from hosts.otio.support import Result, separate
from stemline.errors import Code, EditError
from stemline.hosts.base import ReadClips, Selection
from stemline_otio import OtioTarget, open_edit
from stemline_otio.export import ExportRequest, export_stems, rewrite_edit


def read(path: Path) -> ReadClips:
    return open_edit(path, OtioTarget(path.parent / "x.otio")).read_clips(Selection())


def frames(clips: ReadClips) -> dict[str, tuple[object, object]]:
    """Where each clip begins in its media and on the timeline, in frames."""
    return {c.name: (c.source_range.start * RATE, c.record_range.start * RATE) for c in clips.clips}


def separated(path: Path) -> Result:
    output = path.parent / "out" / "reel.stems.otio"
    return separate(open_edit(path, OtioTarget(output)), output)


def test_a_nested_sequence_is_opened_up_and_cut_to_what_shows(tmp_path: Path) -> None:
    made = Document(tmp_path)
    inner = made.clip("inner", (10, 110), 50, made.file("mono"))
    path = made.save(track("A", [made.clip("use", (200, 260), 30, made.nest([inner]))]))
    assert frames(read(path)) == {"inner": (70, 200)}


def test_a_subclip_counts_from_where_it_begins(tmp_path: Path) -> None:
    made = Document(tmp_path)
    offset = "<subclipinfo><startoffset>200</startoffset><endoffset>10</endoffset></subclipinfo>"
    path = made.save(track("A", [made.clip("sub", (150, 200), 10, made.file("mono"), offset)]))
    clips = read(path)
    assert frames(clips) == {"sub": (210, 150)}
    assert any("subclip" in note for note in clips.notes)


def test_an_offline_clip_does_not_take_the_others_with_it(tmp_path: Path) -> None:
    made = Document(tmp_path)
    path = made.save(
        track("A", [made.clip("lost", (0, 10), 0, ""), made.clip("here", (20, 30), 0, made.file("other"))])
    )
    clips = read(path)
    assert frames(clips) == {"here": (0, 20)}
    assert [(skip.clip, skip.code) for skip in clips.skipped] == [("lost", Code.MEDIA_MISSING)]


def test_a_time_remap_at_full_speed_is_no_retime(tmp_path: Path) -> None:
    made = Document(tmp_path)
    remaps = {"full": time_remap(100), "fast": time_remap(200), "curve": time_remap(100, 1)}
    clips = [
        made.clip(name, (30 * n, 30 * n + 30), 100, made.file("mono"), remap)
        for n, (name, remap) in enumerate(remaps.items())
    ]
    found = read(made.save(track("A", clips)))
    assert list(frames(found)) == ["full"]
    assert [(skip.clip, skip.code) for skip in found.skipped] == [
        ("fast", Code.CLIP_RETIMED), ("curve", Code.CLIP_RETIMED)
    ]  # fmt: skip


def test_key_frames_and_markers_stay_on_the_sound_they_were_set_on(tmp_path: Path) -> None:
    made = Document(tmp_path)
    mark = "<marker><name>ADR</name><comment>say it</comment><in>135</in><out>-1</out></marker>"
    path = made.save(track("A", [made.clip("take", (30, 130), 120, made.file("mono"), levels(130, 160) + mark)]))
    result = separated(path)
    exported = export_stems(ExportRequest(result.path, result.written.tracks, tmp_path / "out" / "s.xml"))
    item = ElementTree.parse(exported.path).getroot().find(".//clipitem")  # noqa: S314 - our own file
    assert item is not None
    begin = 120 - int(item.findtext("in", ""))  # the media frame that the stem file begins with
    assert [int(key.findtext("when", "")) + begin for key in item.iter("keyframe")] == [130, 160]
    assert int(item.findtext("marker/in", "")) + begin == 135
    assert item.findtext("marker/comment") == "say it"
    whole = otio.adapters.read_from_file(str(result.path))
    original = whole.tracks[0][1]
    assert original.markers[0].marked_range.start_time.value == TEN_HOURS + 135


def test_cross_fades_are_on_the_stems_where_they_were(tmp_path: Path) -> None:
    made = Document(tmp_path)
    path = made.save(
        track(
            "A",
            [
                made.clip("out", (60, -1), 100, made.file("other")), cross_fade(110, 140),
                made.clip("in", (-1, 200), 300, made.file("other")),
            ],
        )
    )  # fmt: skip
    result = separated(path)
    exported = export_stems(ExportRequest(result.path, result.written.tracks, tmp_path / "out" / "s.xml"))
    assert exported.notes == ()
    root = ElementTree.parse(exported.path).getroot()  # noqa: S314 - our own file
    fades = [
        (t.findtext("start"), t.findtext("end"), t.findtext("effect/effectid")) for t in root.iter("transitionitem")
    ]
    assert fades == [("110", "140", "KGAudioTransCrossFade3dB")] * 2
    stems = read(exported.path)
    before = read(path)
    assert [c.record_range for c in stems.clips] == [c.record_range for c in before.clips] * 2


def test_the_whole_edit_keeps_both_sides_of_a_stereo_track(tmp_path: Path) -> None:
    made = Document(tmp_path)
    sides = [
        track("ST", [made.stereo("take", (40, 100), 20, side)], side) for side in (0, 1)
    ]  # fmt: skip
    result = separated(made.save(*sides))
    whole = rewrite_edit(result.path, tmp_path / "out" / "whole.xml").path
    sequence = ElementTree.parse(whole).getroot().find(".//sequence")  # noqa: S314 - our own file
    assert sequence is not None
    found = [
        (t.get("MZ.TrackName"), t.get("currentExplodedTrackIndex"), t.findtext("clipitem/sourcetrack/trackindex"))
        for t in sequence.iterfind("media/audio/track")
    ]
    assert found == [(name, str(side), str(side + 1)) for name in ("ST", "half ST", "residual ST") for side in (0, 1)]
    again = [c for c in read(whole).clips if c.track != "ST"]
    assert [c.source.channels for c in again] == [(), ()]


@pytest.mark.parametrize(
    "head",
    ['<!ENTITY a "ha"><!ENTITY b "&a;&a;">', '<!ENTITY x SYSTEM "file:///etc/hostname">',
     '<!ENTITY % p SYSTEM "file:///etc/hostname"> %p;'],
)  # fmt: skip
def test_a_document_with_entities_is_not_read(tmp_path: Path, head: str) -> None:
    path = tmp_path / "bomb.xml"
    path.write_text(f'<?xml version="1.0"?><!DOCTYPE xmeml [{head}]><xmeml version="4"><sequence/></xmeml>')
    with pytest.raises(EditError, match="entities"):
        read(path)


_HEAD, _END = "<xmeml><sequence><media><audio><track>", "</track></audio></media></sequence></xmeml>"
_NEST = "<clipitem><start>0</start><end>1</end><in>0</in><sequence><media><audio><track>"
_NEST_END = "</track></audio></media></sequence></clipitem>"


@pytest.mark.parametrize(
    "text",
    [
        f"<xmeml>{'<a>' * 100_000}{'</a>' * 100_000}</xmeml>",
        f"{_HEAD}{_NEST * 500}{_NEST_END * 500}{_END}",
        "<html/>",
        "<fcpxml version='1.9'/>",
    ],
)
def test_other_xml_is_refused_in_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.xml"
    path.write_text(text)
    with pytest.raises(EditError) as refused:
        read(path)
    assert refused.value.message.endswith(".")
    assert "\n" not in refused.value.message


def test_the_channel_of_a_poly_file_is_the_one_that_is_named(tmp_path: Path) -> None:
    made = Document(tmp_path)
    path = made.save(track("A", [made.clip("right", (0, 50), 0, made.file("stereo"), channel(2))]))
    assert [clip.source.channels for clip in read(path).clips] == [(1,)]
