"""Stems in formats of editors: every clip on its frame, in its file, on its channel, by independent readers."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

import aaf2
import numpy as np
import opentimelineio as otio
import pytest

from hosts.formats.exported import RATES, stereo_edit, written
from hosts.otio.support import is_stem
from otio_player import decode
from stemline.errors import OutputError, UsageError
from stemline_otio.export import ExportRequest, export_stems, rewrite_edit
from stemline_otio.export import fcp7 as fcp7_writer


@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
def test_final_cut_xml_holds_each_channel_of_each_stem_on_its_frame(tmp_path: Path, rate: Fraction) -> None:
    edit, tracks = written(stereo_edit(tmp_path, rate), tmp_path)
    exported = export_stems(ExportRequest(edit, tracks, tmp_path / "out" / "edit.stems.xml"))
    assert exported.notes == ()
    root = ElementTree.parse(exported.path).getroot()  # noqa: S314 - our own file
    sequence = root.find(".//sequence")
    assert sequence is not None
    assert sequence.findtext("rate/timebase") == str(round(rate))
    assert sequence.findtext("rate/ntsc") == ("TRUE" if rate.denominator > 1 else "FALSE")
    assert sequence.findtext("timecode/frame") == str(round(rate) * 3600)
    items = sequence.findall("media/audio/track/clipitem")
    assert len(items) == 8  # two clips, a stem and the residual, two channels
    assert len({item.get("id") for item in items}) == 8
    assert [(i.findtext("start"), i.findtext("end")) for i in items[:2]] == [("10", "60"), ("80", "110")]
    assert {i.findtext("sourcetrack/trackindex") for i in items} == {"1", "2"}
    names = [t.get("MZ.TrackName") for t in sequence.findall("media/audio/track")]
    assert names == ["half A1", "half A1", "residual A1", "residual A1"]
    assert all(i.findtext("comments/mastercomment1", "").startswith("stemline: samples ") for i in items)
    links = [link.findtext("linkclipref") for link in items[0].findall("link")]
    assert links == [items[0].get("id"), items[2].get("id")]


@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
def test_aaf_holds_mono_legs_that_are_the_channels_of_the_stems(tmp_path: Path, rate: Fraction) -> None:
    edit, tracks = written(stereo_edit(tmp_path, rate), tmp_path)
    exported = export_stems(ExportRequest(edit, tracks, tmp_path / "out" / "edit.stems.aaf"))
    with aaf2.open(str(exported.path)) as file:
        composition = next(file.content.toplevel())
        slots = [slot for slot in composition.slots if slot.media_kind == "Sound"]
        assert [slot.name for slot in slots] == ["half A1.L", "half A1.R", "residual A1.L", "residual A1.R"]
        assert all(slot.edit_rate == rate for slot in slots)
        for slot in slots:
            parts = slot.segment.segments[0].components
            assert [part.length for part in parts] == [10, 50, 20, 30, 10]
        placed = [media_of(part) for part in (p for s in slots for p in s.segment.segments[0].components)]
    whole = otio.adapters.read_from_file(str(edit))  # kept: its tracks live no longer than it
    stems = [t for t in whole.tracks if is_stem(t)]
    wanted = [
        (round((c.source_range.start_time - c.media_reference.available_range.start_time).value), c)
        for t in stems for _ in range(2) for c in t.find_clips()
    ]  # fmt: skip
    found = [entry for entry in placed if entry is not None]
    assert [start for start, _ in found] == [start for start, _ in wanted]
    for number, ((_, path), (_, stem)) in enumerate(zip(found, wanted, strict=True)):
        assert path.name == f"{Path(stem.media_reference.target_url).stem}.{'LR'[number // 2 % 2]}.wav"
    timeline = otio.adapters.read_from_file(str(exported.path))
    for number, track in enumerate(timeline.tracks):
        for clip in track.find_clips():
            leg = Path(otio.url_utils.filepath_from_url(clip.media_reference.target_url))
            whole, _ = decode(leg.parent.parent / f"{leg.stem[:-2]}.wav")
            assert np.array_equal(decode(leg)[0][0], whole[number % 2])


def media_of(part: aaf2.components.Component) -> tuple[int, Path] | None:
    """Where a clip begins in its file, in frames, and that file, by the chain of mobs alone; None for a filler."""
    if not isinstance(part, aaf2.components.SourceClip):
        return None
    master = part.slot.segment
    [locator] = master.mob.descriptor["Locator"].value
    return part.start + master.start, Path(otio.url_utils.filepath_from_url(locator["URLString"].value))


def test_muted_tracks_and_clips_are_muted_in_xml_and_named_for_aaf(tmp_path: Path) -> None:
    edit, tracks = written(stereo_edit(tmp_path, Fraction(25)), tmp_path)
    timeline = otio.adapters.read_from_file(str(edit))
    muted = next(track for track in timeline.tracks if track.name == tracks[-1])
    muted.enabled = False
    next(iter(muted.find_clips())).enabled = False
    otio.adapters.write_to_file(timeline, str(edit))
    xml = export_stems(ExportRequest(edit, tracks, tmp_path / "out" / "edit.stems.xml"))
    flags = [
        (t.findtext("enabled"), [c.findtext("enabled") for c in t.findall("clipitem")])
        for t in ElementTree.parse(xml.path).getroot().iterfind(".//audio/track")  # noqa: S314 - our own file
    ]
    assert flags == [("TRUE", ["TRUE", "TRUE"])] * 2 + [("FALSE", ["FALSE", "TRUE"])] * 2
    aaf = export_stems(ExportRequest(edit, tracks, tmp_path / "out" / "edit.stems.aaf"))
    assert any("mute residual A1.L, residual A1.R by hand" in note for note in aaf.notes)
    assert any("cannot disable a clip" in note for note in aaf.notes)


def test_an_edit_without_frames_asks_for_the_rate(tmp_path: Path) -> None:
    edit, tracks = written(stereo_edit(tmp_path, Fraction(48000)), tmp_path)
    with pytest.raises(UsageError, match="frame rate"):
        export_stems(ExportRequest(edit, tracks, tmp_path / "out" / "x.xml"))
    exported = export_stems(ExportRequest(edit, tracks, tmp_path / "out" / "x.xml", Fraction(25)))
    assert any("ms off" in note for note in exported.notes)


def test_a_file_that_does_not_read_back_is_not_put_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit, tracks = written(stereo_edit(tmp_path, Fraction(25)), tmp_path)
    target = tmp_path / "out" / "edit.stems.xml"
    linked = fcp7_writer.with_clip_links
    monkeypatch.setattr(fcp7_writer, "with_clip_links", lambda text: linked(text).replace("<start>10<", "<start>11<"))
    with pytest.raises(OutputError, match="did not read back"):
        export_stems(ExportRequest(edit, tracks, target))
    assert not list(target.parent.glob("*.xml"))


def test_the_whole_edit_is_rewritten_only_where_every_clip_stays(tmp_path: Path) -> None:
    edit, _ = written(stereo_edit(tmp_path, Fraction(25)), tmp_path)
    exported = rewrite_edit(edit, tmp_path / "out" / "edit.whole.xml")
    back = otio.adapters.read_from_file(str(exported.path))
    assert [len(t.find_clips()) for t in back.tracks] == [2, 2, 2]
    assert exported.notes
    timeline = otio.adapters.read_from_file(str(edit))
    timeline.tracks[0][1].media_reference = otio.schema.MissingReference()
    nested = otio.schema.Stack(name="nest")
    inner = otio.schema.Track(kind="Audio")
    inner.append(otio.schema.Clip(name="deep", source_range=timeline.tracks[0][1].source_range))
    nested.append(inner)
    timeline.tracks[0].append(nested)
    otio.adapters.write_to_file(timeline, str(edit))
    with pytest.raises(OutputError):
        rewrite_edit(edit, tmp_path / "out" / "lossy.aaf")
    assert not (tmp_path / "out" / "lossy.aaf").exists()
