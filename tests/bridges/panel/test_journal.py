"""The journal of runs, without a display."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from pytestqt.qtbot import QtBot

from bridges.panel.factories import clip, outcome, session
from stemline.errors import Code, MediaError
from stemline.hosts.base import ReadClips
from stemline.paths import cache_dir
from stemline_bridge.files import MAX_JSON_BYTES
from stemline_panel.control.run_controller import RunController
from stemline_panel.model import journal as journals
from stemline_panel.model.journal import Journal, JournalEntry, journal_entries
from stemline_panel.model.queue import AppliedResult, ItemState, QueueItem, RunQueue
from stemline_panel.model.request import RunRequest
from stemline_panel.model.session import Session
from stemline_panel.user_data import delete_unsaved_stems


def finished_run() -> tuple[Session, QueueItem]:
    made = session()
    made.stems.add("rain")
    item = made.queue.add(made.request())
    made.queue.next_to_run()
    made.queue.finish(item.number, outcome(item.request))
    return made, item


def test_the_journal_records_runs_but_not_auditions(tmp_path: Path) -> None:
    made = session()
    made.stems.add("rain")
    queue, request = made.queue, made.request()
    done = queue.add(request)
    queue.finish(done.number, outcome(request))
    done.applied = AppliedResult(("rain A1",), handle="r1", files=(("/x", 1, 2),))
    queue.add(dataclasses.replace(request, settings=dataclasses.replace(request.settings, seed=1)))
    queue.add(made.audition(Fraction(12)))
    Journal(tmp_path).write(journal_entries(queue))
    first, second = Journal(tmp_path).read(made.clips).values()
    assert first.request == request
    assert not first.complete, "it has no files"
    assert first.applied == AppliedResult(("rain A1",), handle="r1")
    assert not second.complete
    assert Journal(tmp_path).read([clip(2)]) == {}, "runs of other clips are not found"


def test_a_run_is_found_by_any_of_its_clips_with_its_handle(tmp_path: Path) -> None:
    """The run has all clips, is applied while another clip is selected, and is found by the next panel by one clip."""
    made = session(clip(1), clip(2))
    made.all_clips = True
    made.stems.add("rain")
    item = made.queue.add(made.request())
    made.queue.finish(item.number, outcome(item.request))
    journal = Journal(tmp_path)
    journal.write(journal_entries(made.queue))
    made.show(ReadClips((clip(3),)))
    assert journal.read(made.clips) == {}
    item.applied = AppliedResult(("rain A1",), handle="r1")
    journal.write(journal_entries(made.queue))
    (found,) = Journal(tmp_path).read([clip(2), clip(4)]).values()
    assert found.request == item.request
    assert found.applied == item.applied


def test_an_applied_run_can_be_taken_back_after_a_stopped_retry(tmp_path: Path) -> None:
    made, item = finished_run()
    item.applied = AppliedResult(("rain A1",), handle="r1")
    item.state = ItemState.STOPPED
    journal = Journal(tmp_path)
    journal.write(journal_entries(made.queue))
    (found,) = Journal(tmp_path).read(made.clips).values()
    assert found.applied == item.applied


def test_two_panels_on_the_same_clips_do_not_delete_each_others_runs(tmp_path: Path) -> None:
    one, other = session(), session()
    journals = Journal(tmp_path), Journal(tmp_path)
    for made, text in ((one, "rain"), (other, "wind")):
        made.stems.add(text)
        made.queue.add(made.request())
    journals[0].write(journal_entries(one.queue))
    journals[1].write(journal_entries(other.queue))
    journals[0].write(journal_entries(one.queue))
    assert [entry.request.stems[0].name for entry in journals[1].read([clip()]).values()] == ["rain", "wind"]


@pytest.fixture
def runs_of(qtbot: QtBot, tmp_path: Path) -> Iterator[Callable[[Session], RunController]]:
    """Return a function that makes run controllers on one journal."""
    made: list[RunController] = []

    def make(one: Session) -> RunController:
        made.append(RunController(one, Journal(tmp_path)))
        return made[-1]

    yield make
    assert all(runs.close() for runs in made)


def earlier(qtbot: QtBot, runs: RunController, made: Session) -> int:
    """Return the number of runs that are restored when these clips are opened."""
    with qtbot.waitSignal(runs.restored, timeout=60_000) as seen:
        runs.restore_runs(made.read)
    assert seen.args is not None
    return int(seen.args[0])


def settled(qtbot: QtBot, runs: RunController) -> None:
    """Wait until the journal has done all that was asked."""
    ended: list[object] = []
    runs._use_journal(lambda: None, ended.append)
    qtbot.waitUntil(lambda: bool(ended), timeout=60_000)


RunsOf = Callable[[Session], RunController]


def test_a_result_applied_after_the_selection_changed_is_restored_as_applied(runs_of: RunsOf, qtbot: QtBot) -> None:
    made, item = finished_run()
    runs = runs_of(made)
    runs.save_journal()
    made.show(ReadClips((clip(2),)))
    assert earlier(qtbot, runs, made) == 0
    beside, later = session(), session()
    other = runs_of(beside)
    assert earlier(qtbot, other, beside) == 1, "another panel restores the run as not applied"
    item.applied = AppliedResult(("rain A1",), handle="r1")
    for control in (runs, other):
        control.save_journal()
        settled(qtbot, control)
    assert earlier(qtbot, runs_of(later), later) == 1
    (found,) = later.queue
    assert found.applied == item.applied
    assert earlier(qtbot, other, beside) == 0
    assert [run.applied for run in beside.queue] == [item.applied]


def test_the_journal_is_never_read_in_the_window_thread(
    runs_of: RunsOf, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading hundreds of runs of a long edit takes seconds."""
    made, item = finished_run()
    item.asked_ns = 1
    made.stems.add("wind")
    made.queue.finish(made.queue.add(made.request()).number, outcome(made.request()))
    first = runs_of(made)
    first.save_journal()
    settled(qtbot, first)
    readers = []
    load = journals._load

    def noted(*asked: Any) -> JournalEntry | None:
        readers.append(threading.current_thread())
        return load(*asked)

    monkeypatch.setattr(journals, "_load", noted)
    later = session()
    runs = runs_of(later)
    assert earlier(qtbot, runs, later) == 2
    runs.save_journal()
    runs.refresh_applied()
    settled(qtbot, runs)
    assert readers
    assert threading.main_thread() not in readers


def test_an_unchanged_journal_file_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, item = finished_run()
    ours, theirs = Journal(tmp_path), Journal(tmp_path)
    ours.write(journal_entries([item]))
    assert ours.changed_by_others([item.digest]) == {}
    with monkeypatch.context() as patch:
        patch.setattr(journals, "_load", lambda *_: pytest.fail("read again"))
        assert ours.changed_by_others([item.digest]) == {}
    item.applied = AppliedResult(("rain A1",), handle="r1")
    theirs.write(journal_entries([item]))
    assert [entry.applied for entry in ours.changed_by_others([item.digest]).values()] == [item.applied]


def test_the_run_of_a_long_edit_is_found_although_its_entry_is_large(tmp_path: Path) -> None:
    made, item = finished_run()
    Journal(tmp_path).write(journal_entries([item]))
    (file,) = tmp_path.glob("*.json")
    file.write_bytes(file.read_bytes() + b" " * MAX_JSON_BYTES)
    (found,) = Journal(tmp_path).read(made.clips).values()
    assert found.request == item.request


def test_new_requests_run_first_and_then_restored_runs_newest_first() -> None:
    queue, made = RunQueue(), session()
    made.stems.add("rain")
    for _ in range(2):
        queue.add(made.request()).restored = True
    queue.add(made.request())
    order = []
    while (item := queue.next_to_run()) is not None:
        order.append(item.number)
        queue.finish(item.number, outcome(item.request))
    assert order == [3, 2, 1]


def test_the_digest_of_a_run_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    _, item = finished_run()
    digest = item.digest
    monkeypatch.setattr(RunRequest, "digest", property(lambda _: pytest.fail("worked out again")))
    assert list(journal_entries([item])) == [digest]


def test_a_result_that_the_host_lost_is_no_longer_applied(runs_of: RunsOf, qtbot: QtBot, tmp_path: Path) -> None:
    """Nor in the next panel. Stems that were saved as files are not affected."""
    made = session()
    items = []
    for text in ("rain", "wind", "sea"):
        made.stems.current.text = text
        items.append(made.queue.add(made.request(), ItemState.DONE))
    items[0].applied = AppliedResult(("rain A1",), handle="r1")
    items[1].applied = AppliedResult(("wind A1",), handle="r2")
    items[2].applied = AppliedResult(("sea.wav",), files=(("/sea.wav", 1, 2),))
    runs = runs_of(made)
    runs.save_journal()
    runs.drop_applied_except(("r2", "r9"))
    settled(qtbot, runs)
    assert [item.applied is None for item in items] == [True, False, False]
    entries = Journal(tmp_path).read(made.clips).values()
    assert [entry.applied and entry.applied.handle for entry in entries] == [None, "r2", None]
    later = session()
    later.read = dataclasses.replace(later.read, results=("r9",))
    assert earlier(qtbot, runs_of(later), later) == 3
    assert [item.applied for item in later.queue] == [None] * 3


def test_a_failed_journal_write_does_not_lose_the_applied_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk must not make an applied run look as if it were not applied."""

    def full(path: Path, data: object) -> None:
        raise MediaError("There is no room.", code=Code.OUTPUT_UNWRITABLE)

    made = session()
    made.stems.add("rain")
    item = made.queue.add(made.request(), ItemState.DONE)
    journal = Journal(tmp_path)
    journal.write(journal_entries(made.queue))
    with monkeypatch.context() as patch:
        patch.setattr("stemline_panel.model.journal.write_json", full)
        item.applied = AppliedResult(("rain A1",), handle="r1")
        journal.write(journal_entries(made.queue))
    assert journal.changed_by_others([item.digest]) == {}
    journal.write(journal_entries(made.queue))
    (entry,) = Journal(tmp_path).read(made.clips).values()
    assert entry.applied == item.applied


def test_a_forgotten_run_leaves_no_journal_file(tmp_path: Path) -> None:
    made, item = finished_run()
    journal = Journal(tmp_path)
    journal.write(journal_entries(made.queue))
    assert len(list(tmp_path.iterdir())) == 1
    made.queue.forget(item.number)
    journal.write(journal_entries(made.queue))
    assert list(tmp_path.iterdir()) == []


def test_the_digest_of_a_request_depends_on_its_clip() -> None:
    made = session(clip(1), clip(2))
    made.stems.add("rain")
    first = made.request()
    made.clip_index = 1
    assert made.request().digest != first.digest
    made.clip_index = 0
    assert made.request().digest == first.digest


def test_a_run_is_complete_while_its_files_exist(tmp_path: Path) -> None:
    stem = tmp_path / "rain.wav"
    stem.write_bytes(b"sound")
    made = session()
    made.stems.add("rain")
    entry = JournalEntry(made.request(), (str(stem),))
    assert entry.complete
    stem.unlink()
    assert not entry.complete


def test_old_unsaved_stems_are_deleted() -> None:
    old, new = cache_dir() / "panel" / "audition" / "a.wav", cache_dir() / "panel" / "results" / "b.wav"
    for file in (old, new):
        file.parent.mkdir(parents=True)
        file.write_bytes(b"sound")
    os.utime(old, (1, 1))
    delete_unsaved_stems()
    assert not old.exists()
    assert new.exists()
