"""What the panel keeps of its runs, without a display."""

from __future__ import annotations

import dataclasses
import os
from fractions import Fraction
from pathlib import Path

import pytest

from bridges.panel.sessions import clip, outcome, session
from stemline.errors import Code, MediaError
from stemline.hosts.base import ReadClips
from stemline.paths import cache_dir
from stemline_panel.control.runs import RunControl
from stemline_panel.kept import forget_old
from stemline_panel.model.journal import Entry, Journal
from stemline_panel.model.queue import Applied, ItemState, QueueItem
from stemline_panel.model.session import Session


def finished_run() -> tuple[Session, QueueItem]:
    made = session()
    made.stems.add("rain")
    item = made.queue.add(made.request())
    made.queue.next_to_run()
    made.queue.finish(item.number, outcome(item.request))
    return made, item


def test_the_journal_keeps_runs_but_no_auditions(tmp_path: Path) -> None:
    made = session()
    made.stems.add("rain")
    queue, request = made.queue, made.request()
    done = queue.add(request)
    queue.finish(done.number, outcome(request))
    done.applied = Applied(("rain A1",), handle="r1", files=(("/x", 1, 2),))
    queue.add(dataclasses.replace(request, settings=dataclasses.replace(request.settings, seed=1)))
    queue.add(made.audition(Fraction(12)))
    Journal(tmp_path).write(queue)
    first, second = Journal(tmp_path).read(made.clips)
    assert first.request == request
    assert not first.whole, "no files, nothing to find again"
    assert first.applied == Applied(("rain A1",), handle="r1")
    assert not second.whole
    assert Journal(tmp_path).read([clip(2)]) == [], "other clips have runs of their own"


def test_a_run_on_some_of_the_clips_is_found_and_its_handle_stays(tmp_path: Path) -> None:
    """Made with all clips, applied while another was selected, found by the next panel on one of them."""
    made = session(clip(1), clip(2))
    made.all_clips = True
    made.stems.add("rain")
    item = made.queue.add(made.request())
    made.queue.finish(item.number, outcome(item.request))
    journal = Journal(tmp_path)
    journal.write(made.queue)
    made.show(ReadClips((clip(3),)))
    assert journal.read(made.clips) == []
    item.applied = Applied(("rain A1",), handle="r1")
    journal.write(made.queue)
    (found,) = Journal(tmp_path).read([clip(2), clip(4)])
    assert found.request == item.request
    assert found.applied == item.applied


def test_two_panels_on_the_same_clips_keep_each_others_runs(tmp_path: Path) -> None:
    one, other = session(), session()
    journals = Journal(tmp_path), Journal(tmp_path)
    for made, text in ((one, "rain"), (other, "wind")):
        made.stems.add(text)
        made.queue.add(made.request())
    journals[0].write(one.queue)
    journals[1].write(other.queue)
    journals[0].write(one.queue)
    assert [entry.request.stems[0].name for entry in journals[1].read([clip()])] == ["rain", "wind"]


@pytest.mark.usefixtures("qapp")
def test_what_was_applied_after_the_selection_changed_is_known_to_the_next_panel(tmp_path: Path) -> None:
    made, item = finished_run()
    runs = RunControl(made, Journal(tmp_path))
    made.show(ReadClips((clip(2),)))
    assert runs.find_earlier(made.clips) == 0
    beside = session()
    other = RunControl(beside, Journal(tmp_path))
    assert other.find_earlier(beside.clips) == 1, "a panel beside it knows the run as not applied"
    item.applied = Applied(("rain A1",), handle="r1")
    runs.keep()
    other.keep()
    later = session()
    last = RunControl(later, Journal(tmp_path))
    assert last.find_earlier(later.clips) == 1
    (found,) = later.queue
    assert found.applied == item.applied
    assert other.find_earlier(beside.clips) == 0
    assert [run.applied for run in beside.queue] == [item.applied]
    assert [control.close() for control in (runs, other, last)] == [True] * 3


@pytest.mark.usefixtures("qapp")
def test_what_its_host_no_longer_holds_is_not_applied_any_more(tmp_path: Path) -> None:
    """Nor in the next panel. Stems that were saved as files are no host's affair."""
    made = session()
    items = []
    for text in ("rain", "wind", "sea"):
        made.stems.current.text = text
        items.append(made.queue.add(made.request(), ItemState.DONE))
    items[0].applied = Applied(("rain A1",), handle="r1")
    items[1].applied = Applied(("wind A1",), handle="r2")
    items[2].applied = Applied(("sea.wav",), files=(("/sea.wav", 1, 2),))
    runs = RunControl(made, Journal(tmp_path))
    runs.keep()
    runs.keep_only(("r2", "r9"))
    assert [item.applied is None for item in items] == [True, False, False]
    entries = Journal(tmp_path).read(made.clips)
    assert [entry.applied and entry.applied.handle for entry in entries] == [None, "r2", None]
    assert runs.close()


def test_a_run_that_could_not_be_noted_stays_as_it_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk must not make an applied run look as if it were not."""

    def full(path: Path, data: object) -> None:
        raise MediaError("There is no room.", code=Code.OUTPUT_UNWRITABLE)

    made = session()
    made.stems.add("rain")
    item = made.queue.add(made.request(), ItemState.DONE)
    journal = Journal(tmp_path)
    journal.write(made.queue)
    with monkeypatch.context() as patch:
        patch.setattr("stemline_panel.model.journal.write_json", full)
        item.applied = Applied(("rain A1",), handle="r1")
        journal.write(made.queue)
    assert journal.news(item.request) is None
    journal.write(made.queue)
    (entry,) = Journal(tmp_path).read(made.clips)
    assert entry.applied == item.applied


def test_a_run_that_is_forgotten_leaves_no_file(tmp_path: Path) -> None:
    made, item = finished_run()
    journal = Journal(tmp_path)
    journal.write(made.queue)
    assert len(list(tmp_path.iterdir())) == 1
    made.queue.forget(item.number)
    journal.write(made.queue)
    assert list(tmp_path.iterdir()) == []


def test_the_digest_of_a_request_tells_clips_apart() -> None:
    made = session(clip(1), clip(2))
    made.stems.add("rain")
    first = made.request()
    made.clip_index = 1
    assert made.request().digest != first.digest
    made.clip_index = 0
    assert made.request().digest == first.digest


def test_a_run_is_whole_while_its_files_are_there(tmp_path: Path) -> None:
    stem = tmp_path / "rain.wav"
    stem.write_bytes(b"sound")
    made = session()
    made.stems.add("rain")
    entry = Entry(made.request(), (str(stem),))
    assert entry.whole
    stem.unlink()
    assert not entry.whole


def test_unsaved_stems_go_after_a_while() -> None:
    old, new = cache_dir() / "panel" / "audition" / "a.wav", cache_dir() / "panel" / "results" / "b.wav"
    for file in (old, new):
        file.parent.mkdir(parents=True)
        file.write_bytes(b"sound")
    os.utime(old, (1, 1))
    forget_old()
    assert not old.exists()
    assert new.exists()
