"""Final Cut 7 XML: every clip plays the media, the channel and the moment that its own elements state."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hosts.formats.xmeml import RATE, Document, channel, cross_fade, track
from hosts.otio.support import media
from stemline.errors import Code
from stemline.hosts.base import ReadClips, Selection
from stemline_otio import LinkRules, OtioTarget, open_edit

TICKS = 254_016_000_000


def read(path: Path, *roots: Path) -> ReadClips:
    rules = LinkRules(path.parent, (), roots)
    return open_edit(path, OtioTarget(path.parent / "x.otio"), rules).read_clips(Selection())


def places(clips: ReadClips, rate: Fraction = RATE) -> dict[str, tuple[object, ...]]:
    """Return the first frame of each clip on the timeline, the frame after its last, its first frame in the media."""
    return {
        c.name: (c.record_range.start * rate, c.record_range.end * rate, c.source_range.start * rate)
        for c in clips.clips
    }


def test_clips_that_overlap_on_a_track_keep_their_positions(tmp_path: Path) -> None:
    made = Document(tmp_path)
    clips = [
        made.clip(name, (start, start + 50), begin, made.file("other"))
        for name, start, begin in (("one", 0, 100), ("two", 40, 300), ("three", 100, 500))
    ]
    found = read(made.save(track("A", clips), track("B", [made.clip("four", (7, 57), 0, made.file("other"))])))
    assert places(found) == {"one": (0, 50, 100), "two": (40, 90, 300), "three": (100, 150, 500), "four": (7, 57, 0)}
    assert {c.name: c.track for c in found.clips} == {"one": "A", "two": "A (2)", "three": "A", "four": "B"}
    assert any("two: on top of another" in note for note in found.notes)


def test_clips_out_of_order_keep_their_positions(tmp_path: Path) -> None:
    made = Document(tmp_path)
    clips = [
        made.clip("late", (100, 150), 500, made.file("other")), made.clip("early", (10, 60), 100, made.file("other"))
    ]  # fmt: skip
    assert places(read(made.save(track("A", clips)))) == {"early": (10, 60, 100), "late": (100, 150, 500)}


@pytest.mark.parametrize("alignment", ["center", "start-black", "end-black"])
def test_a_fade_beside_a_gap_moves_nothing_after_it(tmp_path: Path, alignment: str) -> None:
    made = Document(tmp_path)
    start, end = {"center": (90, 110), "start-black": (100, 120), "end-black": (80, 100)}[alignment]
    fade = cross_fade(start, end).replace("center", alignment)
    path = made.save(
        track("A", [
            made.clip("out", (50, -1), 100, made.file("other")), fade,
            made.clip("next", (200, 260), 300, made.file("other")),
        ]),
        track("B", [
            fade, made.clip("in", (-1, 260), 300, made.file("other")),
            made.clip("last", (300, 330), 7, made.file("other")),
        ]),
    )  # fmt: skip
    found = places(read(path))
    assert found["out"][0] == 50
    assert found["next"] == (200, 260, 300)
    assert found["in"][1] == 260
    [fading] = [c for c in read(path).clips if c.name == "in"]
    offset = (fading.source_range.start - fading.record_range.start) * RATE
    assert offset == 300 - start, "the in point is that of the fade's first frame"
    assert found["last"] == (300, 330, 7)


def test_overlaps_that_a_cross_fade_explains_become_the_cross_fade(tmp_path: Path) -> None:
    made = Document(tmp_path)
    clips = [
        made.clip("out", (60, 140), 100, made.file("other")), cross_fade(110, 140),
        made.clip("in", (110, 200), 300, made.file("other")),
    ]  # fmt: skip
    found = read(made.save(track("A", clips)))
    assert {c.track for c in found.clips} == {"A"}
    assert {c.name: c.source_range.start * RATE - c.record_range.start * RATE for c in found.clips} == {
        "out": 40, "in": 190
    }  # fmt: skip


def test_a_file_may_be_referred_to_before_its_definition(tmp_path: Path) -> None:
    made = Document(tmp_path)
    first = made.clip("first", (0, 50), 10, made.file("other"))
    second = made.clip("second", (60, 90), 20, made.file("other"))
    for order in ([second, first], [first, second]):
        assert places(read(made.save(track("A", order)))) == {"first": (0, 50, 10), "second": (60, 90, 20)}


def test_a_file_defined_on_the_second_side_of_a_stereo_track_is_found(tmp_path: Path) -> None:
    made = Document(tmp_path)
    second = track("ST", [made.stereo("take", (40, 100), 20, 1)], 1)
    first = track("ST", [made.stereo("take", (40, 100), 20, 0)], 0)
    found = read(made.save(first, second))
    assert places(found) == {"take": (40, 100, 20)}


def test_one_id_for_two_files_plays_both(tmp_path: Path) -> None:
    made = Document(tmp_path)
    one, other = (made.file(name).replace(f'id="{name}"', 'id="file-1"') for name in ("other", "stereo"))
    clips = [
        made.clip("a", (0, 10), 0, one), made.clip("b", (10, 20), 0, '<file id="file-1"/>'),
        made.clip("c", (20, 30), 0, other), made.clip("d", (30, 40), 0, '<file id="file-1"/>'),
    ]  # fmt: skip
    found = read(made.save(track("A", clips)))
    assert [Path(c.source.path).stem for c in found.clips] == ["other", "other", "stereo", "stereo"]


def test_one_id_for_two_clips_plays_both(tmp_path: Path) -> None:
    made = Document(tmp_path)
    clips = [made.clip("a", (0, 10), 5, made.file("other")), made.clip("b", (20, 40), 9, made.file("other"))]
    path = made.save(track("A", [clip.replace('id="clipitem-2"', 'id="clipitem-1"') for clip in clips]))
    assert places(read(path)) == {"a": (0, 10, 5), "b": (20, 40, 9)}


def test_a_clip_on_the_second_side_of_a_stereo_track_alone_is_not_lost(tmp_path: Path) -> None:
    made = Document(tmp_path)
    first = track("ST", [made.stereo("both", (0, 50), 20, 0)], 0)
    mono = made.clip("right", (60, 90), 30, made.file("other"), channel(1))
    second = track("ST", [made.stereo("both", (0, 50), 20, 1), mono], 1)
    found = read(made.save(first, second))
    assert places(found) == {"both": (0, 50, 20), "right": (60, 90, 30)}
    assert any("second side" in note for note in found.notes)


def test_a_sub_frame_in_point_is_the_one_that_plays(tmp_path: Path) -> None:
    made = Document(tmp_path)
    exact = Fraction(120) + Fraction(2, 5)
    ticks = f"<pproTicksIn>{exact / RATE * TICKS}</pproTicksIn>"
    found = read(made.save(track("A", [made.clip("a", (0, 50), 120, made.file("other"), ticks)])))
    assert abs(found.clips[0].source_range.start * RATE - exact) < Fraction(1, 10**6)


def test_the_exact_in_point_of_the_corpus_wins_over_the_one_that_counts_a_fade(
    shared_data: Path, tmp_path: Path
) -> None:
    root = tmp_path / "media"
    for name in ("sc01_sh010_anim.mov", "sc01_master_layerA_sh030_temp.mov"):
        media(root / name, 20, sample_rate=8000, channels=2)
    found = read(shared_data / "corpus" / "otio-fcp-adapter__premiere_example.xml", root)
    rate = Fraction(30)
    last = [c for c in found.clips if c.record_range.start * rate >= 956]
    frames = sorted((int(c.record_range.start * rate), int(c.source_range.start * rate)) for c in last)
    assert frames == [(956, 34), (1164, 18)]
    assert any("in point that differs" in note for note in found.notes)


@pytest.mark.parametrize(("out", "noted"), [(125, True), (100 + 50, False)])
def test_an_in_point_of_unclear_rate_is_reported(tmp_path: Path, out: int, noted: bool) -> None:
    """A clip at 60 frames per second in a sequence at 29.97: 25 frames there are 50 of its own."""
    made = Document(tmp_path)
    clip = made.clip("fast", (0, 25), 100, made.file("other")).replace("<out>125<", f"<out>{out}<")
    clip = clip.replace("<timebase>30</timebase>", "<timebase>60</timebase>", 1)
    found = read(made.save(track("A", [clip])))
    assert any("frames of another rate" in note for note in found.notes) is noted


@pytest.mark.parametrize(
    "broken",
    ["<marker><name>m</name></marker>", "<filter/>", "<marker><in>x</in><out>3</out></marker>"],
)
def test_what_is_not_needed_stops_no_edit(tmp_path: Path, broken: str) -> None:
    made = Document(tmp_path)
    found = read(made.save(track("A", [made.clip("a", (5, 55), 9, made.file("other"), broken)])))
    assert places(found) == {"a": (5, 55, 9)}


def test_a_clip_without_a_record_position_is_named_and_stops_no_edit(tmp_path: Path) -> None:
    made = Document(tmp_path)
    lost = made.clip("lost", (5, 55), 9, made.file("other")).replace("<start>5<", "<start>soon<")
    lost = lost.replace("<out>59</out>", "<out/>")
    clips = [lost, made.clip("here", (60, 90), 9, made.file("other"))]
    found = read(made.save(track("A", clips)))
    assert places(found) == {"here": (60, 90, 9)}
    assert any(note.startswith("lost: left out") for note in found.notes)


@pytest.mark.parametrize("label", ["10:00:00;00", "10:00:00:00"])
def test_a_timecode_without_a_frame_number_is_read_from_its_label(tmp_path: Path, label: str) -> None:
    made = Document(tmp_path)
    frame = ElementTree.fromstring(made.file("mono")).findtext("timecode/frame")  # noqa: S314 - our own text
    made = Document(tmp_path)
    file = made.file("mono").replace(f"<frame>{frame}</frame>", f"<string>{label}</string>")
    found = read(made.save(track("A", [made.clip("a", (0, 50), 30, file)])))
    assert places(found)["a"] == (0, 50, 30)
    assert not [skip for skip in found.skipped if skip.code is not Code.MEDIA_MISSING]


Placement = tuple[int, int, int]
"""The first frame on the timeline, the length, and the first frame in the media."""


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(1, 60), st.integers(0, 700)), min_size=1, max_size=12),
    st.randoms(use_true_random=False),
)
def test_clips_in_any_order_and_overlap_are_read_as_they_are_written(clips: list[Placement], order: Random) -> None:
    with TemporaryDirectory() as folder:
        made = Document(Path(folder))
        written = [
            made.clip(f"c{n}", (start, start + length), begin, made.file("other"))
            for n, (start, length, begin) in enumerate(clips)
        ]
        order.shuffle(written)
        found = places(read(made.save(track("A", written))))
    assert found == {f"c{n}": (start, start + length, begin) for n, (start, length, begin) in enumerate(clips)}
