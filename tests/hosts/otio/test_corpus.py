"""Real edits: each converts, or is refused with one sentence. Their media is missing, so ramps replace it."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath
from urllib.parse import unquote

import opentimelineio as otio
import pytest

from hosts.otio.support import audio_track, clip, difference, is_stem, media, save, separate
from stemline.errors import Code, EditError
from stemline.hosts.base import Selection
from stemline_otio import Dialect, LinkRules, OtioEdit, OtioTarget, open_edit

SAMPLE_RATE = 8000  # keeps the stand-ins of minutes of media small
CONVERTED = {
    "OpenTimelineIO__effects.otio": 13,
    "lossless-cut__otio.otio": 3,
    "tlRender__AudioTonesAndVideo.otio": 12,
    "tlRender__TransitionAndLinearTimeWarp.otio": 2,
    "tlRender__MultipleRates.otio": 1,
    "OpenTimelineIO__nested_example.otio": 0,
    "OpenTimelineIO__transition_test.otio": 0,
    "OpenTimelineIO__multitrack.otio": 0,
}


def stand_ins(path: Path, root: Path) -> dict[str, Path]:
    """Write a ramp of the stated length for each media file that the edit names."""
    made: dict[str, Path] = {}
    timeline = otio.adapters.read_from_file(str(path))
    for item in timeline.find_clips():
        reference = item.media_reference
        url = getattr(reference, "target_url", None) or reference.metadata.get("Resolve_OTIO", {}).get("Media Url")
        name = PureWindowsPath(unquote(url)).name if url else ""
        if name and not name.endswith((".png", ".exr")) and name not in made:
            known = reference.available_range or item.source_range
            seconds = int(known.end_time_exclusive().to_seconds()) + 1
            made[name] = media(root / name, seconds, sample_rate=SAMPLE_RATE, channels=2)
    return made


def open_with_stand_ins(
    path: Path, tmp_path: Path, dialect: Dialect = Dialect.GENERIC
) -> tuple[OtioEdit, Path, dict[str, Path]]:
    files = stand_ins(path, tmp_path / "media")
    target = OtioTarget(tmp_path / "out" / "edit.stems.otio", dialect)
    return open_edit(path, target, LinkRules(path.parent, (), (tmp_path / "media",))), target.path, files


@pytest.mark.parametrize(("name", "clips"), CONVERTED.items())
def test_every_clip_of_a_real_edit_is_separated_or_named(
    shared_data: Path, tmp_path: Path, name: str, clips: int
) -> None:
    path = shared_data / "corpus" / name
    before = path.read_bytes()
    host, output, files = open_with_stand_ins(path, tmp_path)
    result = separate(host, output)
    assert len(result.read.clips) == clips
    audio = [t for t in host.timeline.tracks if t.kind == "Audio"] or list(host.timeline.tracks)
    total = sum(len(t.find_clips()) for t in audio)
    assert len(result.read.clips) + len(result.read.skipped) == total
    assert all(skip.reason.endswith(".") for skip in result.read.skipped)
    assert path.read_bytes() == before
    if clips and audio[0].kind == "Audio":
        worst, loudest = difference(output, sample_rate=SAMPLE_RATE, channels=2, length_s=560, media=files)
        assert loudest > 0.0001
        assert worst < 1e-9


def test_markers_of_a_newer_schema_stop_no_edit(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "corpus" / "OpenTimelineIO__premiere_example.otio"
    read = open_edit(path, OtioTarget(tmp_path / "x.otio")).read_clips(Selection(include_disabled=True))
    assert read.clips or read.skipped
    assert any("Marker.3 is unknown" in note for note in read.notes)


def test_a_newer_schema_of_clips_is_refused_by_name(tmp_path: Path) -> None:
    path = save(tmp_path / "e.otio", audio_track("a", [clip("m.wav", (0, 20), 25, (0, 100))]))
    path.write_text(path.read_text().replace("Clip.2", "Clip.9"))
    with pytest.raises(EditError) as refused:
        open_edit(path, OtioTarget(tmp_path / "x.otio"))
    assert refused.value.code is Code.EDIT_SCHEMA_UNSUPPORTED
    assert "Clip.9" in refused.value.message


def test_disabled_clips_of_resolve_are_named_or_taken_on_request(shared_data: Path, tmp_path: Path) -> None:
    host, _, _ = open_with_stand_ins(shared_data / "corpus" / "OpenTimelineIO__effects.otio", tmp_path)
    named = [s for s in host.read_clips(Selection()).skipped if s.code is Code.CLIP_DISABLED]
    everything = host.read_clips(Selection(include_disabled=True))
    assert named
    assert not [s for s in everything.skipped if s.code is Code.CLIP_DISABLED]
    assert len(everything.clips) == len(host.read_clips(Selection()).clips) + len(named)


@pytest.mark.parametrize("name", ["OpenTimelineIO__effects.otio", "lossless-cut__otio.otio"])
def test_resolve_dialect_has_the_shape_of_resolves_own_exports(shared_data: Path, tmp_path: Path, name: str) -> None:
    host, output, _ = open_with_stand_ins(shared_data / "corpus" / name, tmp_path, Dialect.RESOLVE)
    separate(host, output)
    timeline = otio.adapters.read_from_file(str(output))
    export = otio.adapters.read_from_file(str(shared_data / "corpus" / "OpenTimelineIO__effects.otio"))
    own = next(c for t in export.tracks if t.kind == "Audio" for c in t.find_clips())
    assert timeline.global_start_time is not None
    assert all(track.name for track in timeline.tracks)
    stems = [t for t in timeline.tracks if is_stem(t)]
    assert stems
    for track in stems:
        assert track.metadata["Resolve_OTIO"].keys() == {"Audio Type", "Locked", "SoloOn"}
        assert track.metadata["Resolve_OTIO"]["Audio Type"] == "Stereo"
        for stem in track.find_clips():
            reference = stem.media_reference
            assert stem.schema_version() == own.schema_version() == 2
            assert stem.media_references().keys() == own.media_references().keys()
            assert plain(stem) == plain(own)
            assert Path(reference.target_url).is_absolute()
            assert Path(reference.target_url).is_file()
            assert reference.available_range.start_time <= stem.source_range.start_time
            assert stem.source_range.end_time_exclusive() <= reference.available_range.end_time_exclusive()
    for original in (c for t in timeline.tracks if not is_stem(t) for c in t.find_clips()):
        url = getattr(original.media_reference, "target_url", "")
        assert not url.startswith("file:")


def plain(clip: otio.schema.Clip) -> list[dict[str, int]]:
    return [dict(entry) for entry in clip.metadata["Resolve_OTIO"]["Channels"]]
