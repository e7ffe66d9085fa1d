"""What a clip plays: the wrong second of the wrong file must never be separated without a word."""

from __future__ import annotations

import unicodedata
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
import opentimelineio as otio
import pytest

from hosts.otio.support import audio_track, clip, cross, edit, gap, media, ramp, save, span, write_wav
from stemline.clips import ClipRange
from stemline.errors import Code
from stemline.hosts.base import ReadClips, Selection

pytestmark = pytest.mark.smoke

WHOLE = (0, 250)


def frames_of(found: ClipRange, rate: Fraction | int = 25) -> tuple[int, int, int]:
    """(source start, record start, record duration) in frames."""
    values = (found.source_range.start, found.record_range.start, found.record_range.duration)
    assert all((value * rate).denominator == 1 for value in values)
    return tuple(int(value * rate) for value in values)  # type: ignore[return-value]


def read(folder: Path, *items: otio.core.Composable, selection: Selection = Selection(), **links: Any) -> ReadClips:  # noqa: B008
    path = save(folder / "edit.otio", audio_track("a", items))
    return edit(path, **links).read_clips(selection)


class TestSourceTime:
    def test_available_range_is_taken_off_in_frames(self, tmp_path: Path) -> None:
        """10 h of 23.976 in floating seconds would be samples off; a frame is a frame."""
        rate = 24000 / 1001
        hours = 10 * 3600 * 24
        media(tmp_path / "m.wav", 10)
        for literal in (rate, 23.976, 23.976024627685547):
            found = read(tmp_path, clip("m.wav", (hours + 101, 24), literal, (hours, 239))).clips[0]
            assert found.source_range.start == Fraction(101) * 1001 / 24000
            assert found.frame_rate == Fraction(24000, 1001)

    @pytest.mark.parametrize(
        ("start", "timecode_s", "expected", "word"),
        [
            (90010, 3600, 10, "timecode"),
            (10, 3600, 10, "start of the file"),
            (260, 8, 60, "timecode"),
            (10, 0, 10, ""),
        ],
    )
    def test_null_available_range_is_read_by_the_files_own_timecode(
        self, tmp_path: Path, start: int, timecode_s: int, expected: int, word: str
    ) -> None:
        media(tmp_path / "m.wav", 10, timecode_sample=timecode_s * 48000)
        result = read(tmp_path, clip("m.wav", (start, 20), 25, None))
        assert frames_of(result.clips[0]) == (expected, 0, 20)
        assert word in "".join(result.notes)
        assert bool(result.notes) == bool(word)

    def test_null_available_range_that_fits_nothing_is_ambiguous(self, tmp_path: Path) -> None:
        media(tmp_path / "m.wav", 10, timecode_sample=3600 * 48000)
        result = read(tmp_path, clip("m.wav", (50000, 20), 25, None))
        assert [s.code for s in result.skipped] == [Code.CLIP_TIME_AMBIGUOUS]

    def test_time_stamp_between_frames_belongs_to_the_nearest(self, tmp_path: Path) -> None:
        rate = 30000 / 1001
        stamp = round(Fraction(107892) * 1001 * 48000 / 30000)  # a whole sample, but no whole frame
        media(tmp_path / "m.wav", 10, timecode_sample=stamp)
        found = read(tmp_path, clip("m.wav", (107892 + 7, 20), rate, None)).clips[0]
        assert found.source_range.start == Fraction(7) * 1001 / 30000

    def test_wrong_available_range_gives_way_to_the_files_timecode(self, tmp_path: Path) -> None:
        media(tmp_path / "m.wav", 10, timecode_sample=3600 * 48000)
        result = read(tmp_path, clip("m.wav", (90010, 20), 25, WHOLE))
        assert frames_of(result.clips[0]) == (10, 0, 20)
        assert "available range" in result.notes[0]

    def test_clip_outside_its_media_is_named(self, tmp_path: Path) -> None:
        media(tmp_path / "m.wav", 10)
        result = read(tmp_path, clip("m.wav", (700, 20), 25, WHOLE))
        assert [s.code for s in result.skipped] == [Code.MEDIA_OUT_OF_RANGE]

    def test_clip_without_any_range_plays_its_whole_media(self, tmp_path: Path) -> None:
        media(tmp_path / "m.wav", 3)
        bare = otio.schema.Clip("bare", otio.schema.ExternalReference("m.wav"))
        result = read(tmp_path, bare, clip("m.wav", (5, 20), 25, WHOLE))
        assert [(c.record_range.start, c.record_range.duration) for c in result.clips] == [
            (Fraction(0), Fraction(3)),
            (Fraction(3), Fraction(4, 5)),
        ]

    def test_clips_behind_one_of_unknown_length_are_not_guessed(self, tmp_path: Path) -> None:
        media(tmp_path / "m.wav", 3)
        lost = otio.schema.Clip("lost", otio.schema.ExternalReference("lost.wav"))
        result = read(tmp_path, lost, clip("m.wav", (5, 20), 25, WHOLE))
        assert [s.code for s in result.skipped] == [Code.MEDIA_MISSING, Code.CLIP_TIME_AMBIGUOUS]

    def test_ranges_in_samples_are_exact(self, tmp_path: Path) -> None:
        media(tmp_path / "m.wav", 10)
        found = read(tmp_path, clip("m.wav", (12345, 6789), 48000, (0, 480000))).clips[0]
        assert (found.source_range.start, found.source_range.duration) == (
            Fraction(12345, 48000),
            Fraction(6789, 48000),
        )
        assert found.frame_rate is None


class TestLinks:
    @pytest.mark.parametrize(
        "form", ["m x#1.wav", "m%20x%231.wav", "./m%20x%231.wav", "ABS", "URL", "LOCALHOST", "sub\\..\\m x#1.wav"]
    )
    def test_every_way_to_write_a_link(self, tmp_path: Path, form: str) -> None:
        (tmp_path / "sub").mkdir()
        file = media(tmp_path / "m x#1.wav", 10)
        link = {
            "ABS": str(file),
            "URL": file.as_uri(),
            "LOCALHOST": file.as_uri().replace("file://", "file://localhost"),
        }.get(form, form)
        assert frames_of(read(tmp_path, clip(link, (10, 20), 25, WHOLE)).clips[0]) == (10, 0, 20)

    @pytest.mark.parametrize("name", ["take 2: boom.wav", "http:x.wav", "[1]//x.wav", "a?b.wav", "-x.wav"])
    def test_names_that_look_like_addresses_are_names(self, tmp_path: Path, name: str) -> None:
        file = media(tmp_path / name, 10)
        assert read(tmp_path, clip(name, (10, 20), 25, WHOLE)).clips[0].source.path == str(file)

    def test_percent_in_a_real_name_is_taken_as_it_stands(self, tmp_path: Path) -> None:
        file = media(tmp_path / "100%25.wav", 10)
        assert read(tmp_path, clip("100%25.wav", (10, 20), 25, WHOLE)).clips[0].source.path == str(file)

    @pytest.mark.parametrize(
        "link",
        [
            "S:\\show\\a\\m.wav",
            "s:/show/a/m.wav",
            "file:///S:/show/a/m.wav",
            "file://localhost/S%3a/show/a/m.wav",
            "file://S:/show/a/m.wav",
        ],
    )
    def test_windows_paths_follow_the_path_map(self, tmp_path: Path, link: str) -> None:
        file = media(tmp_path / "disk" / "a" / "m.wav", 10)
        found = read(tmp_path, clip(link, (10, 20), 25, WHOLE), path_map=(("S:\\show", str(tmp_path / "disk")),))
        assert found.clips[0].source.path == str(file)

    def test_path_map_keeps_to_whole_folders(self, tmp_path: Path) -> None:
        media(tmp_path / "disk" / "m.wav", 10)
        found = read(tmp_path, clip("/shows/m.wav", (10, 20), 25, WHOLE), path_map=(("/show", str(tmp_path / "disk")),))
        assert [s.code for s in found.skipped] == [Code.MEDIA_MISSING]

    @pytest.mark.parametrize(
        "link",
        ["\\\\server\\share\\reel 1\\m.wav", "G:/reel 1/m.wav", "/gone/reel 1/M.WAV", "file://server/reel%201/m.wav"],
    )
    def test_media_root_finds_by_name_and_prefers_the_same_folder(self, tmp_path: Path, link: str) -> None:
        media(tmp_path / "root" / "reel 2" / "m.wav", 10)
        file = media(tmp_path / "root" / "deep" / "reel 1" / "m.wav", 10)
        found = read(tmp_path, clip(link, (10, 20), 25, WHOLE), media_roots=(tmp_path / "root",))
        assert found.clips[0].source.path == str(file)

    def test_two_files_of_that_name_are_not_guessed_between(self, tmp_path: Path) -> None:
        for reel in "12":
            media(tmp_path / "root" / reel / "m.wav", 10)
        found = read(tmp_path, clip("/gone/m.wav", (10, 20), 25, WHOLE), media_roots=(tmp_path / "root",))
        assert found.skipped[0].code is Code.MEDIA_MISSING
        assert "2 files" in found.skipped[0].reason

    @pytest.mark.parametrize(("disk", "written"), [("NFC", "NFD"), ("NFD", "NFC")])
    def test_unicode_forms_of_other_systems(
        self, tmp_path: Path, disk: Literal["NFC", "NFD"], written: Literal["NFC", "NFD"]
    ) -> None:
        file = media(tmp_path / unicodedata.normalize(disk, "Café Zürich.wav"), 10)
        found = read(tmp_path, clip(unicodedata.normalize(written, "Café Zürich.wav"), (10, 20), 25, WHOLE))
        assert found.clips[0].source.path == str(file)

    def test_offline_media_of_resolve_is_found_by_its_metadata(self, tmp_path: Path) -> None:
        file = media(tmp_path / "m.wav", 10)
        reference = otio.schema.MissingReference(
            available_range=span(0, 250, 25), metadata={"Resolve_OTIO": {"Media Url": str(file)}}
        )
        assert read(tmp_path, otio.schema.Clip("m", reference, span(10, 20, 25))).clips[0].source.path == str(file)


class TestChannels:
    def chosen(self, folder: Path, pairs: list[tuple[int, int]], channels: int) -> ReadClips:
        media(folder / "m.wav", 10, channels=channels)
        listed = [{"Source Channel ID": c, "Source Track ID": t} for t, c in pairs]
        return read(folder, clip("m.wav", (10, 20), 25, WHOLE, metadata={"Resolve_OTIO": {"Channels": listed}}))

    def test_resolves_choice_is_followed(self, tmp_path: Path) -> None:
        assert self.chosen(tmp_path, [(0, 3), (0, 1)], 4).clips[0].source.channels == (3, 1)

    def test_all_channels_in_order_is_the_whole_stream(self, tmp_path: Path) -> None:
        assert self.chosen(tmp_path, [(0, 0), (0, 1)], 2).clips[0].source.channels == ()

    @pytest.mark.parametrize(("pair", "code"), [((1, 0), Code.STREAM_UNKNOWN), ((0, 2), Code.CHANNEL_UNKNOWN)])
    def test_what_the_media_does_not_have_is_named(self, tmp_path: Path, pair: tuple[int, int], code: Code) -> None:
        assert [s.code for s in self.chosen(tmp_path, [pair], 2).skipped] == [code]

    def test_camera_file_of_mono_streams_is_read_whole(self, tmp_path: Path) -> None:
        import av

        with av.open(str(tmp_path / "cam.mov"), "w") as container:
            streams = [container.add_stream("pcm_s16le", rate=48000, layout="mono") for _ in range(3)]
            for number, stream in enumerate(streams):
                block = np.full((1, 48000), 100 * number, np.int16)
                frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
                frame.sample_rate, frame.pts = 48000, 0
                container.mux(stream.encode(frame))
                container.mux(stream.encode(None))
        found = read(tmp_path, clip("cam.mov", (5, 10), 25, (0, 25)))
        assert [c.source.stream for c in found.clips] == [0, 1, 2]
        assert len({c.clip_id for c in found.clips}) == 3


class TestStructure:
    def test_parents_windows_cut_what_shows(self, tmp_path: Path) -> None:
        media(tmp_path / "m.wav", 10)
        inner = audio_track("i", [clip("m.wav", (50, 20), 25, WHOLE), clip("m.wav", (100, 20), 25, WHOLE)])
        inner.source_range = span(5, 30, 25)
        nest = otio.schema.Stack("n", children=[inner], source_range=span(2, 20, 25))
        result = read(tmp_path, gap(7, 25), nest)
        # the nest shows inner 7..27 of 40: source 57..70 at 7, then 100..107 at 20
        assert [frames_of(c) for c in result.clips] == [(57, 7, 13), (100, 20, 7)]

    def test_clip_that_its_nest_hides_is_named(self, tmp_path: Path) -> None:
        media(tmp_path / "m.wav", 10)
        nest = otio.schema.Stack("n", source_range=span(0, 10, 25))
        nest.append(audio_track("i", [clip("m.wav", (0, 10), 25, WHOLE), clip("m.wav", (50, 20), 25, WHOLE)]))
        result = read(tmp_path, nest)
        assert [s.code for s in result.skipped] == [Code.CLIP_EMPTY]
        assert len(result.clips) == 1

    def test_transition_shows_more_than_the_cut_but_not_more_than_there_is(self, tmp_path: Path) -> None:
        media(tmp_path / "m.wav", 10)
        one, two = clip("m.wav", (200, 50), 25, WHOLE), clip("m.wav", (3, 20), 25, WHOLE)
        result = read(tmp_path, one, cross(8, 6, 25), two)
        assert [frames_of(c) for c in result.clips] == [(200, 0, 50), (0, 47, 23)]
        assert [c.carry["transitions"] for c in result.clips] == [["cross"], ["cross"]]

    def test_transition_around_a_nest_reaches_its_clips(self, tmp_path: Path) -> None:
        media(tmp_path / "m.wav", 10)
        nest = otio.schema.Stack("n", source_range=span(20, 30, 25))
        nest.append(audio_track("i", [clip("m.wav", (50, 100), 25, WHOLE)]))
        result = read(tmp_path, clip("m.wav", (0, 20), 25, WHOLE), cross(4, 4, 25), nest)
        assert [frames_of(c) for c in result.clips] == [(0, 0, 24), (66, 16, 34)]

    def test_time_warp_consumes_its_media(self, tmp_path: Path) -> None:
        media(tmp_path / "m.wav", 10)
        slow = clip("m.wav", (40, 20), 25, WHOLE, effects=[otio.schema.LinearTimeWarp(time_scalar=0.5)])
        found = read(tmp_path, slow).clips[0]
        assert found.source_range.duration == found.record_range.duration / 2
        assert found.carry["speed"] == "1/2"

    @pytest.mark.parametrize(
        "effect",
        [
            otio.schema.FreezeFrame(),
            otio.schema.LinearTimeWarp(time_scalar=-1),
            otio.schema.LinearTimeWarp(time_scalar=float("inf")),
            otio.schema.LinearTimeWarp(time_scalar=1e-12),
            otio.schema.TimeEffect(),
            otio.schema.Effect(effect_name="Time Remap"),
            otio.schema.Effect(
                metadata={
                    "Resolve_OTIO": {
                        "Effect Name": "Retime and Scaling",
                        "Enabled": True,
                        "Parameters": [{"Parameter ID": "speed", "Key Frames": {"0": {"Value": 1.0}}}],
                    }
                }
            ),
        ],
    )
    def test_other_retimes_are_skipped(self, tmp_path: Path, effect: otio.schema.Effect) -> None:
        media(tmp_path / "m.wav", 10)
        result = read(tmp_path, clip("m.wav", (40, 20), 25, WHOLE, effects=[effect.deepcopy()]))
        assert [s.code for s in result.skipped] == [Code.CLIP_RETIMED]

    def test_an_idle_retime_of_resolve_is_none(self, tmp_path: Path) -> None:
        media(tmp_path / "m.wav", 10)
        settings = {"Effect Name": "Retime and Scaling", "Enabled": True, "Parameters": []}
        idle = otio.schema.Effect(effect_name="Resolve Effect", metadata={"Resolve_OTIO": settings})
        assert len(read(tmp_path, clip("m.wav", (40, 20), 25, WHOLE, effects=[idle])).clips) == 1

    def test_generators_sequences_and_empty_links_are_named(self, tmp_path: Path) -> None:
        references = [
            otio.schema.GeneratorReference(generator_kind="tone"),
            otio.schema.ImageSequenceReference("pictures/", "a.", ".exr", 1, 1, 25),
            otio.schema.MissingReference(),
        ]
        clips = [otio.schema.Clip(f"c{i}", r, span(0, 20, 25)) for i, r in enumerate(references)]
        codes = [s.code for s in read(tmp_path, *clips).skipped]
        assert codes == [Code.CLIP_NOT_MEDIA, Code.CLIP_NOT_MEDIA, Code.MEDIA_MISSING]

    def test_disabled_track_names_each_of_its_clips(self, tmp_path: Path) -> None:
        media(tmp_path / "m.wav", 10)
        track = audio_track("off", [clip("m.wav", (i, 20), 25, WHOLE) for i in range(3)])
        track.enabled = False
        host = edit(save(tmp_path / "e.otio", track))
        assert [s.code for s in host.read_clips(Selection()).skipped] == [Code.CLIP_DISABLED] * 3
        assert len(host.read_clips(Selection(include_disabled=True)).clips) == 3

    def test_video_sound_is_used_only_where_there_is_no_audio_track(self, tmp_path: Path) -> None:
        media(tmp_path / "m.wav", 10)
        video = otio.schema.Track("V", kind="Video", children=[clip("m.wav", (0, 20), 25, WHOLE)])
        alone = edit(save(tmp_path / "v.otio", video.deepcopy())).read_clips(Selection())
        assert len(alone.clips) == 1
        assert "no audio tracks" in alone.notes[0]
        beside = edit(save(tmp_path / "va.otio", video.deepcopy(), audio_track("A", []))).read_clips(Selection())
        assert not beside.clips

    def test_tracks_are_chosen_by_name_or_number(self, tmp_path: Path) -> None:
        media(tmp_path / "m.wav", 10)
        tracks = [audio_track(name, [clip("m.wav", (0, 20), 25, WHOLE)]) for name in ("dia", "", "dia")]
        host = edit(save(tmp_path / "e.otio", *tracks))
        assert [c.track for c in host.read_clips(Selection()).clips] == ["dia", "A2", "dia (A3)"]
        assert [c.track for c in host.read_clips(Selection(tracks=("a2", "A3"))).clips] == ["A2", "dia (A3)"]

    def test_track_window_shifts_its_clips(self, tmp_path: Path) -> None:
        write_wav(tmp_path / "m.wav", ramp(480000), 48000)
        track = audio_track("a", [clip("m.wav", (0, 20), 25, WHOLE), clip("m.wav", (100, 20), 25, WHOLE)])
        track.source_range = span(15, 10, 25)
        found = edit(save(tmp_path / "e.otio", track)).read_clips(Selection()).clips
        assert [frames_of(c) for c in found] == [(15, 0, 5), (100, 5, 5)]
