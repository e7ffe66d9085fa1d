"""AAF: every clip plays the file, the channels and the moment that its chain of mobs states."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from random import Random

import opentimelineio as otio
import pytest

from hosts.formats.aaf import RATE, Document
from hosts.otio.support import media
from stemline.errors import Code
from stemline.hosts.base import ReadClips, Selection
from stemline_otio import LinkRules, OtioTarget, aaf_reader, open_edit, read_edit
from stemline_otio.exact_time import TICKS_PER_SECOND
from stemline_otio.walk import Walk

COMBINER = "Audio Channel Combiner"


def read(path: Path, *roots: Path) -> ReadClips:
    target = OtioTarget(path.parent / "out" / "x.otio")
    return open_edit(path, target, LinkRules(path.parent, (), roots)).read_clips(Selection())


def places(found: ReadClips) -> list[tuple[object, ...]]:
    """Return file, channels, first frame on the timeline, length, first frame in the media of each clip."""
    return [
        (
            Path(c.source.path).name, c.source.channels, c.record_range.start * RATE, c.record_range.duration * RATE,
            c.source_range.start * RATE,
        )
        for c in found.clips
    ]  # fmt: skip


@pytest.mark.parametrize("channels", [2, 6])
def test_a_clip_of_several_channels_of_a_file_is_played_once(tmp_path: Path, channels: int) -> None:
    take = media(tmp_path / "take.wav", 30, channels=channels)
    with Document(tmp_path / "reel.aaf") as made:
        master = made.master([take] * channels, channels)
        legs = [made.use(master, 20, 50, slot) for slot in range(1, channels + 1)]
        made.track(1, [made.gap(10), made.group(COMBINER, legs, 50)])
    assert places(read(tmp_path / "reel.aaf")) == [("take.wav", (), 10, 50, 20)]


def test_some_channels_of_a_file_are_those_that_play(tmp_path: Path) -> None:
    take = media(tmp_path / "take.wav", 30, channels=4)
    with Document(tmp_path / "reel.aaf") as made:
        master = made.master([take] * 4, 4)
        made.track(1, [made.group(COMBINER, [made.use(master, 20, 50, slot) for slot in (2, 4)], 50)])
        made.track(2, [made.use(master, 20, 50, 3)])
    assert places(read(tmp_path / "reel.aaf")) == [("take.wav", (1, 3), 0, 50, 20), ("take.wav", (2,), 0, 50, 20)]


def test_a_combination_of_mono_files_plays_each_of_them(tmp_path: Path) -> None:
    files = [media(tmp_path / f"take.{side}.wav", 30) for side in "LR"]
    with Document(tmp_path / "reel.aaf") as made:
        master = made.master(files)
        made.track(1, [made.group(COMBINER, [made.use(master, 20, 48, slot) for slot in (1, 2)], 50)])
    assert places(read(tmp_path / "reel.aaf")) == [("take.L.wav", (), 0, 50, 20), ("take.R.wav", (), 0, 50, 20)]


def test_a_clip_is_as_long_as_the_effect_around_it(tmp_path: Path) -> None:
    """Resolve rounds the inputs to frames: the end of the sound would be missing."""
    take = media(tmp_path / "take.wav", 30, channels=2)
    with Document(tmp_path / "reel.aaf") as made:
        master = made.master([take] * 2, 2, rate=48000)
        legs = [made.use(master, 1920, 95040, slot) for slot in (1, 2)]
        made.track(1, [made.gap(4800), made.group(COMBINER, legs, 96878), made.gap(99)], rate=48000)
    [clip] = read(tmp_path / "reel.aaf").clips
    assert clip.record_range.start == Fraction(4800, 48000)
    assert clip.record_range.duration == Fraction(96878, 48000)
    assert clip.source_range.start * 48000 == 1920


def test_the_clips_of_the_corpus_end_where_they_end(shared_data: Path, tmp_path: Path) -> None:
    for name, file, channels, samples in (
        ("stereo", "stereo-identif.wav", 2, 87334), ("5.1", "5.1-SMPTE-channel-identif.wav", 6, 333918)
    ):  # fmt: skip
        root = tmp_path / name
        media(root / file, 10, channels=channels)
        path = shared_data / "corpus" / f"LibAAF__DR_Multichannel_{name}_single_source.aaf"
        rules = LinkRules(path.parent, (), (root,))
        [clip] = open_edit(path, OtioTarget(tmp_path / "x.otio"), rules).read_clips(Selection()).clips
        assert clip.source.channels == ()
        assert clip.record_range.duration == Fraction(samples, 48000)
        assert (clip.record_range.start, clip.source_range.start) == (Fraction(14384522, 48000), Fraction(2000, 48000))


def test_an_interleaved_file_of_one_slot_plays_whole(tmp_path: Path) -> None:
    take = media(tmp_path / "take.wav", 30, channels=2)
    with Document(tmp_path / "reel.aaf") as made:
        made.track(1, [made.use(made.master([take], 2), 20, 50)])
    assert places(read(tmp_path / "reel.aaf")) == [("take.wav", (), 0, 50, 20)]


def test_slots_that_share_the_slot_of_a_file_play_their_own_channels(tmp_path: Path) -> None:
    take = media(tmp_path / "take.wav", 30, channels=2)
    with Document(tmp_path / "reel.aaf") as made:
        master = made.interleaved_master(take, 2)
        made.track(1, [made.use(master, 20, 50, 1)])
        made.track(2, [made.use(master, 20, 50, 2)])
        made.track(3, [made.group(COMBINER, [made.use(master, 20, 50, slot) for slot in (1, 2)], 50)])
    found = places(read(tmp_path / "reel.aaf"))
    assert [channels for _, channels, *_ in found] == [(0,), (1,), ()]


def test_a_source_clip_may_choose_channels_itself(tmp_path: Path) -> None:
    take = media(tmp_path / "take.wav", 30, channels=4)
    with Document(tmp_path / "reel.aaf") as made:
        clip = made.use(made.master([take], 4), 20, 50)
        clip["ChannelIDs"].value = [2, 3]
        made.track(1, [clip])
    assert places(read(tmp_path / "reel.aaf")) == [("take.wav", (1, 2), 0, 50, 20)]


def test_a_track_that_cannot_be_read_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take = media(tmp_path / "take.wav", 30)
    with Document(tmp_path / "reel.aaf") as made:
        master = made.master([take])
        made.track(1, [made.use(master, 20, 50)])
        made.track(2, [made.muted(made.use(master, 20, 50))])

    def damaged(*_: object) -> None:
        raise KeyError("Selected")

    monkeypatch.setattr(aaf_reader._Reader, "_selector", damaged)
    found = read(tmp_path / "reel.aaf")
    assert places(found) == [("take.wav", (), 0, 50, 20)]
    assert any("The track Sound 2 is left out" in note for note in found.notes)


def test_a_subclip_counts_from_where_it_begins(tmp_path: Path) -> None:
    take = media(tmp_path / "take.wav", 30)
    with Document(tmp_path / "reel.aaf") as made:
        sub = made.composition("sub")
        made.track(1, [made.group("Audio Gain", [made.use(made.master([take]), 30, 100)], 100)], into=sub)
        made.track(1, [made.gap(7), made.use(sub, 12, 40)])
    assert places(read(tmp_path / "reel.aaf")) == [("take.wav", (), 7, 40, 42)]


def test_a_nested_composition_is_cut_to_what_shows(tmp_path: Path) -> None:
    take = media(tmp_path / "take.wav", 30)
    with Document(tmp_path / "reel.aaf") as made:
        master, nest = made.master([take]), made.composition("nest")
        made.track(1, [made.use(master, 30, 100), made.use(master, 300, 100)], into=nest)
        made.track(1, [made.gap(7), made.use(nest, 90, 20)])
    assert places(read(tmp_path / "reel.aaf")) == [("take.wav", (), 7, 10, 120), ("take.wav", (), 17, 10, 300)]


def test_a_muted_clip_is_disabled(tmp_path: Path) -> None:
    take = media(tmp_path / "take.wav", 30)
    with Document(tmp_path / "reel.aaf") as made:
        made.track(1, [made.muted(made.use(made.master([take]), 30, 100))])
    found = read(tmp_path / "reel.aaf")
    assert [skip.code for skip in found.skipped] == [Code.CLIP_DISABLED]


@pytest.mark.parametrize("described", [None, 1])
def test_markers_stop_no_edit(tmp_path: Path, described: int | None) -> None:
    take = media(tmp_path / "take.wav", 30)
    with Document(tmp_path / "reel.aaf") as made:
        made.track(1, [made.gap(10), made.use(made.master([take]), 30, 100)])
        made.markers([15, 500], described)
    path = tmp_path / "reel.aaf"
    assert places(read(path)) == [("take.wav", (), 10, 100, 30)]
    timeline = read_edit(path).timeline
    on_clip = [(m.name, m.marked_range.start_time.value) for c in timeline.find_clips() for m in c.markers]
    on_edit = [marker.name for marker in timeline.tracks.markers]
    assert (on_clip, on_edit) == (([("at 15", 35)], ["at 500"]) if described else ([], ["at 15", "at 500"]))


def test_resolves_markers_do_not_refuse_the_edit(shared_data: Path) -> None:
    timeline = read_edit(shared_data / "corpus" / "LibAAF__DR_Markers.aaf").timeline
    assert len(timeline.tracks.markers) == 2


def test_the_media_of_avid_is_found_where_its_original_is_not(tmp_path: Path) -> None:
    mxf = media(tmp_path / "MXF" / "A01.wav", 30)
    original = media(tmp_path / "original.wav", 30)
    for present, name in ((mxf, "A01.wav"), (original, "original.wav")):
        with Document(tmp_path / "reel.aaf") as made:
            master = made.master([mxf], unc=str(original))
            made.track(1, [made.use(master, 30, 100)])
        other = original if present is mxf else mxf
        other.rename(other.with_suffix(".gone"))
        assert places(read(tmp_path / "reel.aaf")) == [(name, (), 0, 100, 30)]
        other.with_suffix(".gone").rename(other)


def test_media_under_a_root_is_found_by_any_name_that_the_file_states(tmp_path: Path) -> None:
    media(tmp_path / "root" / "take 7.wav", 30)
    with Document(tmp_path / "reel.aaf") as made:
        master = made.master(["file:///D%3A/Avid%20MediaFiles/MXF/1/A01.65A40B.mxf"], unc=r"Z:\audio\take 7.wav")
        made.track(1, [made.use(master, 30, 100)])
    assert places(read(tmp_path / "reel.aaf", tmp_path / "root")) == [("take 7.wav", (), 0, 100, 30)]


def test_a_clip_without_any_media_is_named(tmp_path: Path) -> None:
    with Document(tmp_path / "reel.aaf") as made:
        made.track(1, [made.use(made.master(["file:///gone.wav"]), 30, 100)])
    assert [skip.code for skip in read(tmp_path / "reel.aaf").skipped] == [Code.MEDIA_MISSING]


def positions(timeline: otio.schema.Timeline) -> list[tuple[object, ...]]:
    """Return the clips that show: name, record range, and the media frame that each begins with."""
    found: list[tuple[object, ...]] = []
    for index, track in enumerate(timeline.tracks):
        for use in Walk(timeline, lambda _: None).uses([index] if track.kind == "Audio" else []):
            hidden = round((use.record.start - use.origin) * RATE / TICKS_PER_SECOND)
            if use.record.duration > 0:
                found.append((use.clip.name, use.record, use.clip.source_range.start_time.value + hidden))
    return found


@pytest.mark.parametrize("seed", range(8))
def test_positions_agree_with_an_independent_reader(tmp_path: Path, seed: int) -> None:
    """The OpenTimelineIO adapter reads the positions of such compositions right, though not their channels."""
    choice = Random(seed)
    path = tmp_path / "reel.aaf"
    with Document(path) as made:
        masters = [made.master([f"file:///x/{n}.wav"]) for n in range(3)]
        nest = made.composition("nest")
        made.track(1, [made.use(masters[0], 7, 80), made.use(masters[1], 9, 120)], into=nest)
        items = []
        for _ in range(choice.randint(3, 8)):
            begin, length = choice.randint(0, 99), choice.randint(25, 60)
            item = made.use(choice.choice([*masters, nest]), begin, length)
            items.append(choice.choice([item, made.group("Audio Gain", [item], length), made.gap(length)]))
        made.track(1, items)
        made.track(2, [made.gap(5), made.use(masters[2], 3, 20)])
    assert positions(read_edit(path).timeline) == positions(otio.adapters.read_from_file(str(path)))
