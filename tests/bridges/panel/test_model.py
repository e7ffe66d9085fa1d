"""The model of the panel, without a display."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridges.panel.factories import HOST, clip, outcome, session
from stemline.clips import SampleRange, StemClip, StemTrack, TimeRange
from stemline.companion.jsonrpc import Unanswered
from stemline.companion.remote import RemoteHost
from stemline.companion.services import SeparateParams
from stemline.companion.wire import from_wire
from stemline.errors import Cancelled, Code, HostError, SeparationError, UsageError
from stemline.hosts.base import ReadClips, Written
from stemline.presets import BUILT_IN, Preset
from stemline.prompts import StemRequest, TimelinePrompt
from stemline.workflow import Progress
from stemline_panel.documents import HostDocument
from stemline_panel.model.formatting import clip_summary, join_names, time_format_of, time_label
from stemline_panel.model.history import HistoryEntry, PromptHistory
from stemline_panel.model.journal import Journal
from stemline_panel.model.marks import SHORTEST_MARK, MarkSet, Sign
from stemline_panel.model.queue import AppliedResult, ItemState, QueueItem, RunQueue
from stemline_panel.model.request import audition_range
from stemline_panel.model.session import Action, Session, Verb, describe_apply
from stemline_panel.model.settings import PanelSettings, read_settings, write_settings
from stemline_panel.model.shortcuts import SHORTCUTS, LayerShortcut
from stemline_panel.model.stems import StemList

pytestmark = pytest.mark.smoke

TIMES = st.fractions(0, 100, max_denominator=48000)


# -- marks -------------------------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(list(Sign)), TIMES, TIMES), min_size=1, max_size=12))
def test_mark_ranges_are_disjoint_and_ordered_and_an_earlier_state_is_restored(
    drawn: list[tuple[Sign, Fraction, Fraction]],
) -> None:
    marks = MarkSet()
    for sign, start, end in drawn:
        made = marks.add(sign, start, end)
        assert made.range.duration >= SHORTEST_MARK
        assert abs(made.range.start - min(start, end)) <= Fraction(1, 2000)
    for sign in Sign:
        ranges = marks.ranges(sign)
        assert all(a.end < b.start for a, b in itertools.pairwise(ranges))
    earlier = list(marks)[:-1]
    marks.restore(earlier)
    assert list(marks) == earlier
    assert marks.add(Sign.PLUS, Fraction(1), Fraction(2)).number not in {mark.number for mark in earlier}


def test_a_mark_is_moved_flipped_found_and_removed() -> None:
    marks = MarkSet()
    wide, narrow = marks.add(Sign.PLUS, Fraction(0), Fraction(10)), marks.add(Sign.PLUS, Fraction(4), Fraction(5))
    assert marks.at(Fraction(9, 2)) == narrow
    marks.flip(narrow.number)
    marks.move(narrow.number, Fraction(7), Fraction(6))
    assert marks.ranges(Sign.MINUS) == (TimeRange(Fraction(6), Fraction(7)),)
    marks.remove(wide.number)
    assert marks.at(Fraction(2)) is None
    marks.clear()
    assert not len(marks)


# -- stems -------------------------------------------------------------------------------------------------------------


def test_empty_stems_are_left_out_of_the_request() -> None:
    stems = StemList()
    with pytest.raises(UsageError, match="No stem was asked for"):
        stems.requests()
    stems.add("Dog barking, outside!")
    stems.add()
    stems.current.marks.add(Sign.MINUS, Fraction(1), Fraction(2))
    names = [stem.name for stem in stems.requests()]
    assert names == ["Dog barking outside", "marked sound"]
    stems.add("dog barking outside")
    with pytest.raises(UsageError, match="Duplicate stem name"):
        stems.requests()
    stems.remove(2)
    stems.remove(0)
    assert [stem.name for stem in stems.requests()] == ["marked sound"]
    assert stems.current.summary == "marked once"


def test_invalid_prompts_and_names_are_refused_with_a_message() -> None:
    stems = StemList()
    stems.add("a\x07b")
    with pytest.raises(UsageError, match="control characters"):
        stems.requests()
    stems.current.text = "fine"
    stems.current.custom_name = "residual"
    with pytest.raises(UsageError, match="'residual' is reserved"):
        stems.requests()


@pytest.mark.parametrize("preset", BUILT_IN, ids=lambda preset: preset.name)
def test_every_preset_is_a_valid_request(preset: Preset) -> None:
    from stemline_server.engines.embedded.vocabulary import phrases

    stems = StemList()
    stems.replace(tuple(preset.stems.items()))
    assert {stem.name: stem.prompt.text for stem in stems.requests()} == preset.stems
    assert all(text in phrases() for text in preset.stems.values()), "the embedded model knows it"


# -- history, settings, journal ----------------------------------------------------------------------------------------


def test_history_is_saved_and_searched_newest_first(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    history = PromptHistory(path)
    for text in ("dog barking", "rain on a roof", "Dog  barking", "", "old barking dog"):
        history.add(HistoryEntry(text))
    assert PromptHistory(path).search() == ["old barking dog", "Dog barking", "rain on a roof"]
    assert history.search("bark dog") == ["old barking dog", "Dog barking"]
    assert history.search("dog") == ["Dog barking", "old barking dog"], "prompts that start with the query come first"
    history.clear()
    assert PromptHistory(path).search() == []


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", '{"a": 1}'])
def test_unreadable_user_data_counts_as_empty(tmp_path: Path, content: str) -> None:
    path = tmp_path / "kept.json"
    path.write_text(content, encoding="utf-8")
    assert PromptHistory(path).search() == []
    assert read_settings(path) == PanelSettings()
    journal = Journal(tmp_path)
    assert journal.read([clip()]) == {}


def test_settings_are_saved_and_invalid_ones_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    write_settings(path, PanelSettings(model="noop", quality="best", audition_s=10))
    assert read_settings(path) == PanelSettings(model="noop", quality="best", audition_s=10)
    path.write_text(json.dumps({"quality": "superb"}), encoding="utf-8")
    assert read_settings(path) == PanelSettings()


# -- places ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "unsure"),
    [
        (HostError("Resolve hangs. The timeline is as it was.", code=Code.HOST_TIMEOUT), False),
        (Unanswered("The host did not answer.", code=Code.HOST_TIMEOUT), True),
    ],
)
def test_only_an_unanswered_write_says_that_the_tracks_may_exist(error: HostError, *, unsure: bool) -> None:
    class Host:
        capabilities = HOST

        def write_tracks(self, tracks: object, options: object) -> None:
            raise error

    made = session()
    made.stems.add("rain")
    document = HostDocument(lambda: cast("RemoteHost", Host()))
    with pytest.raises(HostError) as caught:
        document.apply(outcome(made.request()), Path("/film"))
    assert ("may exist nevertheless" in str(caught.value)) is unsure


def test_a_host_whose_result_grows_says_which_runs_and_clips_are_applied() -> None:
    class Host:
        capabilities = replace(HOST, removes_results=True, removes_clips=True)
        made = 0

        def read_clips(self, selection: object) -> ReadClips:
            return ReadClips((), results=("earlier",), applied=("clip 9",))

        def write_tracks(self, tracks: object, options: object) -> Written:
            self.made += 1
            return Written((), result=f"r{self.made}")

        def remove_clips(self, clip_ids: object) -> tuple[str, ...]:
            return ()

    host = Host()
    document = HostDocument(lambda: cast("RemoteHost", host))
    assert document.applied_clips() is None, "not read yet"
    document.read()

    def apply(*clip_ids: str) -> None:
        held = (TimeRange(Fraction(0), Fraction(1)), Fraction(0), SampleRange(0, 48000), 48000)
        clips = tuple(StemClip(clip_id, "rain", "/film/rain.wav", *held) for clip_id in clip_ids)
        made = session()
        made.stems.add("rain")
        track = StemTrack("rain A1", "rain", "A1", 0, 1, enabled=True, clips=clips)
        document.apply(replace(outcome(made.request()), tracks=(track,)), Path("/film"))

    apply("clip 1", "clip 2")
    apply("clip 3")
    apply("clip 3")
    assert document.results() == ("earlier", "r1", "r3"), "the third run replaced the second"
    assert document.applied_clips() == frozenset({"clip 1", "clip 2", "clip 3", "clip 9"})
    document.take_back_clips(["clip 1", "clip 3"])
    assert document.results() == ("earlier", "r1")
    assert document.applied_clips() == frozenset({"clip 2", "clip 9"})


# -- queue -------------------------------------------------------------------------------------------------------------


def test_runs_go_one_at_a_time_in_order_and_can_be_retried() -> None:
    made = session()
    made.stems.add("rain")
    queue = RunQueue()
    first, second, third = (queue.add(made.request()) for _ in range(3))
    assert queue.next_to_run() is first
    assert queue.next_to_run() is None
    first.progress = Progress("separating", 1, 4, 12.0)
    assert first.fraction == 0.25
    assert first.status == "separating, 25%, 12x real time"
    first.progress = replace(first.progress, left_s=75.4)
    assert first.status == "separating, 25%, 12x real time, 1:15 left"
    first.request = replace(first.request, audition=True)
    assert first.status == "separating, 25%, 12x real time", "the time left is that of the whole clip"
    first.request = replace(first.request, audition=False)
    queue.cancel(third.number)
    assert third.state is ItemState.STOPPED
    queue.cancel(first.number)
    assert first.status == "stopping"
    queue.fail(first.number, Cancelled())
    assert first.state is ItemState.STOPPED
    assert queue.next_to_run() is second
    queue.fail(second.number, SeparationError("It broke.", advice="Mend it."))
    assert second.status == "It broke. Mend it."
    queue.retry(second.number)
    assert queue.next_to_run() is second
    queue.finish(second.number, outcome(second.request))
    second.applied = AppliedResult(("rain A1",))
    queue.retry(second.number)
    assert second.state is ItemState.DONE, "an applied run is not repeated"
    queue.forget(second.number)
    assert queue.item(second.number) is None


# -- the session and its button ----------------------------------------------------------------------------------------


def test_the_main_button_follows_the_state_of_the_session() -> None:
    made = session()
    empty = Session(PanelSettings())
    assert empty.primary_action().action is Action.OPEN
    made.server_ready = False
    assert made.primary_action().action is Action.CONNECT
    made.server_ready = True
    assert made.primary_action().action is Action.NOTHING
    assert (
        made.primary_action().hint
        == "Name a sound or mark it. Type words such as 'dog barking', or select a sound and mark it."
    )
    made.stems.add("rain")
    assert (made.primary_action().action, made.primary_action().label) == (Action.SEPARATE, "Isolate rain")
    made.verb = Verb.REMOVE
    assert made.primary_action().label == "Remove rain"
    item = made.queue.add(made.request())
    made.queue.next_to_run()
    assert made.primary_action().action is Action.NOTHING
    assert made.primary_action().hint == "This request is already in the queue."
    made.stems.current.text = "wind"
    assert (made.primary_action().action, made.primary_action().label) == (Action.SEPARATE, "Remove wind")
    assert "Adds it to the queue" in made.primary_action().hint
    made.stems.current.text = "rain"
    made.queue.finish(item.number, outcome(item.request))
    assert made.primary_action().label == "Apply to Fake"
    assert "The original clip will be disabled" in made.primary_action().hint
    for why in ("lost", "busy"):
        setattr(made, why, True)
        assert (made.primary_action().action, made.primary_action().label) == (Action.NOTHING, "Apply to Fake")
        setattr(made, why, False)
    made.verb = Verb.SPLIT
    assert made.primary_action().action is Action.SEPARATE, "another request has no result yet"
    made.verb = Verb.REMOVE
    item.applied = AppliedResult(("rain A1",))
    assert made.primary_action().label == "Applied"


def test_many_stems_and_clips_are_summarised() -> None:
    made = session(clip(1), clip(2))
    made.all_clips = True
    for number in range(12):
        made.stems.add(f"sound {number}")
    request = made.request()
    assert request.title == "Isolate sound 0, sound 1, sound 2 and 9 more in 2 clips"
    text = describe_apply(QueueItem(1, request), HOST, Path("/film"))
    assert text.startswith("Adds 13 tracks (sound 0, sound 1 and 11 more) with 2 clips.")
    assert join_names(["a", "b", "c", "d"]) == "a, b, c, d"


def test_a_copied_job_is_a_separate_call_of_the_protocol() -> None:
    made = session()
    made.stems.add("rain")
    made.stems.current.marks.add(Sign.PLUS, Fraction(11), Fraction(12))
    request = made.request()
    asked = from_wire(SeparateParams, json.loads(request.as_job()), "separate")
    assert (
        asked.stems
        == request.stems
        == (StemRequest("rain", TimelinePrompt("rain", (TimeRange(Fraction(11), Fraction(12)),))),)
    )
    assert asked.settings == request.settings


@given(time=st.fractions(-5, 200, max_denominator=1000), length=st.integers(1, 30))
def test_an_audition_stays_inside_the_clip_and_on_its_frames(time: Fraction, length: int) -> None:
    whole = clip()
    part = audition_range(whole, time, Fraction(length))
    assert whole.record_range.start <= part.record_range.start < part.record_range.end <= whole.record_range.end
    assert part.source_range.duration == part.record_range.duration
    assert (part.record_range.start - whole.record_range.start) * 25 % 1 == 0
    if length <= 10 and whole.record_range.start + 8 <= time <= whole.record_range.end - 8:
        assert part.record_range.start <= time <= part.record_range.end


def test_the_shown_clip_stays_after_reading_again() -> None:
    made = session(clip(1), clip(2), clip(3))
    made.clip_index = 2
    made.show(ReadClips((clip(3), clip(4))))
    assert made.clip is not None
    assert made.clip.clip_id == "c3"
    made.show(ReadClips(()))
    assert made.clip is None


# -- words -------------------------------------------------------------------------------------------------------------


def test_times_and_clips_are_formatted() -> None:
    assert time_label(Fraction(3723) + Fraction(7, 25), Fraction(25)) == "01:02:03:07"
    assert time_label(Fraction(62, 10), None) == "0:00:06.200"
    assert time_label(Fraction(3599999, 1000), None) == "0:59:59.999"
    time_format = time_format_of(ReadClips((clip(),)), clip(), None)
    assert clip_summary(clip(), None, time_format) == "talk.mov, A1, 00:00:10:00-00:00:20:00, 25 fps"
    film = ReadClips((), timeline_start=Fraction(107892 * 1001, 30000), drop_frame=True)
    named = time_format_of(film, replace(clip(), frame_rate=Fraction(30000, 1001)), None)
    assert named.of(Fraction(1800 * 1001, 30000)) == "01:01:00;02"
    assert named.of(Fraction(0)) == "01:00:00;00"


def test_no_key_has_two_actions() -> None:
    keys = [key for short in SHORTCUTS for key in short.keys]
    assert len(keys) == len(set(keys))
    assert len({short.action for short in SHORTCUTS}) == len(SHORTCUTS)


def test_the_manual_lists_every_shortcut() -> None:
    manual = (Path(__file__).parents[3] / "docs" / "panel.md").read_text(encoding="utf-8")
    for shortcut in SHORTCUTS:
        if not isinstance(shortcut, LayerShortcut):
            keys = ", ".join(f"`{key}`" for key in shortcut.keys)
            assert f"| {keys} | {shortcut.label} |" in manual
