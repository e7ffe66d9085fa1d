"""The table of clips: its rows, what the runs say about them, filter, selection and stepping."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from PyQt5.QtCore import QItemSelectionModel, Qt
from PyQt5.QtGui import QColor, QImage, QPixmap
from PyQt5.QtTest import QTest

from bridges.panel.conftest import OpenPanel
from bridges.panel.factories import clip, outcome, session
from bridges.panel.harness import Panel, tones
from conftest import ROOT
from core.media.films import numbered, write_film
from stemline.clips import MediaFacts, SampleRange, Skip
from stemline.errors import Code, SeparationError
from stemline.hosts.base import ReadClips
from stemline.media.pictures.frames import Frame, FrameReader
from stemline.workflow.results import ClipOutcome, ClipPlace, Failure, Null, StemOutcome
from stemline_panel.model.clips import ClipFilter, ClipState, ClipStatuses, clip_rows, with_source_times
from stemline_panel.model.queue import AppliedResult
from stemline_panel.model.session import Action
from stemline_panel.widgets.clip_table import ClipModel


@pytest.fixture
def edit(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "examples" / "interview", tmp_path / "interview")
    return tmp_path / "interview" / "edit.otio"


def found(clip_id: str, *, heard: bool, peak: int = 500) -> ClipOutcome:
    stem = StemOutcome("dialogue", "speech", "/s.wav", heard, 0.9 if heard else 0.1, "speech", (0, peak))
    return ClipOutcome(
        clip_id, "talk.mov", "A1", "10", "/m/talk.mov", 48000, 2, 480000, 0, "noop", Null.of(0.0),
        (stem,), "/r.wav", (), (), False, 0.0, 0.0,
        ClipPlace(clip().source, SampleRange(0, 480000), SampleRange(0, 480000), clip().record_range),
    )  # fmt: skip


def cell(panel: Panel, row: int, title: str) -> str:
    model = panel.window.clips.sorted
    titles = [model.headerData(column, Qt.Horizontal) for column in range(model.columnCount())]
    return str(model.index(row, titles.index(title)).data())


def select_rows(panel: Panel, *rows: int) -> None:
    view = panel.window.clips.view
    view.clearSelection()
    for row in rows:
        flags = QItemSelectionModel.Select | QItemSelectionModel.Rows
        view.selectionModel().select(panel.window.clips.sorted.index(row, 0), flags)


# -- rows and states ---------------------------------------------------------------------------------------------------


def test_times_are_in_the_notation_of_the_edit_and_the_media() -> None:
    drop = replace(clip(1, 60, 70), frame_rate=Fraction(30000, 1001))
    skip = Skip("gone.mov", "A2", Fraction(61), Code.MEDIA_MISSING, "gone.mov is missing.")
    rows = clip_rows(ReadClips((drop,), (skip,), timeline_start=Fraction(3600), drop_frame=True))
    assert rows[0].record == "01:00:59;28", "drop-frame counting, 60 s of real time after 01:00:00;00"
    assert rows[0].length == "00:00:09;29"
    assert (rows[1].clip, rows[1].status.text) == (None, "skipped: gone.mov is missing.")
    facts = MediaFacts(48000, 2, 480000, Fraction(48000 * 36000), Fraction(25))
    assert with_source_times(rows[0], facts).source == "10:00:01:00", "the media's own rate and timecode"


def test_the_state_of_a_clip_follows_its_newest_run() -> None:
    made = session(clip(1), clip(2), clip(3, 20, 30), clip(4, 30, 40))
    made.document_key = "edit"
    made.stems.add("speech")
    made.all_clips = True
    statuses = ClipStatuses()

    def states() -> list[str]:
        known = statuses.of(made.queue, "edit")
        return [known[shown.clip_id].text if shown.clip_id in known else "" for shown in made.clips]

    assert states() == [""] * 4
    item = made.queue.add(made.request(), document_key="edit")
    assert states() == ["waiting"] * 4
    made.queue.next_to_run()
    assert states() == ["running"] * 4
    result = replace(
        outcome(item.request).result,
        clips=(found("c1", heard=True), found("c2", heard=False)),
        failed=(Failure("talk.mov", "A1", "20", "MEDIA_DAMAGED", "It is damaged.", "Copy it again."),),
    )
    made.queue.finish(item.number, replace(outcome(item.request), result=result))
    assert states() == ["found", "not found", "failed: It is damaged. Copy it again.", ""]
    known = statuses.of(made.queue, "edit")["c1"]
    assert (known.found, round(known.level_db or 0)) == ("speech, sure", -6)
    item.applied = AppliedResult(("dialogue A1",))
    assert states()[0] == "found, applied"
    made.all_clips = False
    again = made.queue.add(made.request(), document_key="edit")
    assert states()[0] == "waiting, applied"
    made.queue.next_to_run()
    made.queue.fail(again.number, SeparationError("It broke."))
    assert states()[0] == "failed: It broke."
    assert statuses.of(made.queue, "another edit") == {}


def test_the_filter_finds_by_text_track_and_state() -> None:
    rows = clip_rows(ReadClips((clip(1), replace(clip(2), name="rain.wav", track="A2")), (
        Skip("gone.mov", "A2", Fraction(0), Code.MEDIA_MISSING, "It is missing."),)))  # fmt: skip
    assert [row.name for row in rows if ClipFilter("RAIN a2").accepts(row)] == ["rain.wav"]
    assert [row.name for row in rows if ClipFilter(track="A2").accepts(row)] == ["rain.wav", "gone.mov"]
    assert [row.name for row in rows if ClipFilter(state=str(ClipState.SKIPPED)).accepts(row)] == ["gone.mov"]
    assert [row.name for row in rows if ClipFilter("missing").accepts(row)] == ["gone.mov"]


def test_only_rows_that_changed_are_drawn_again() -> None:
    model = ClipModel()
    model.set_rows(clip_rows(ReadClips(tuple(clip(number) for number in range(1000)))))
    drawn: list[tuple[int, int]] = []
    model.dataChanged.connect(lambda first, last: drawn.append((first.row(), last.row())))
    made = session(clip(7))
    made.document_key = "edit"
    made.stems.add("speech")
    made.queue.add(made.request(), document_key="edit")
    known = ClipStatuses().of(made.queue, "edit")
    assert model.set_statuses(known)
    assert not model.set_statuses(known)
    assert drawn == [(7, 7)]


# -- the window --------------------------------------------------------------------------------------------------------


def test_an_edit_opens_as_a_table_with_its_clips_and_skipped_ones(open_panel: OpenPanel, edit: Path) -> None:
    panel = open_panel(edit).ready()
    table = panel.window.clips
    assert table.isVisible()
    assert (cell(panel, 0, "Record"), cell(panel, 0, "State")) == ("01:00:00:00", "not yet")
    panel.until(lambda: cell(panel, 1, "Source").startswith("10:00:0"))
    assert len(table.model.rows) == len(panel.session.clips) + len(panel.session.read.skipped)
    assert table.count.text().endswith("2 skipped")
    table.states.setCurrentIndex(table.states.findData("skipped"))
    table.states.activated[int].emit(0)
    assert table.sorted.rowCount() == 2


def test_several_selected_clips_are_separated_again_with_another_prompt(open_panel: OpenPanel, edit: Path) -> None:
    panel = open_panel(edit).ready()
    panel.session.settings.model = "noop"
    panel.type("speech")
    select_rows(panel, 0, 2)
    assert panel.primary_label == "Isolate speech in 2 clips"
    item = panel.separate("speech")
    ids = [panel.session.clips[number].clip_id for number in (0, 2)]
    assert [shown.clip_id for shown in item.request.clips] == ids
    assert [cell(panel, row, "State") for row in range(3)] == ["found", "not yet", "found"]
    panel.type("music")
    QTest.keyClick(panel.window.clips.view, Qt.Key_Return)
    again = panel.ended()
    assert [stem.name for stem in again.request.stems] == ["music"]
    assert [shown.clip_id for shown in again.request.clips] == ids
    select_rows(panel, 1)
    assert panel.session.primary_action().action is Action.SEPARATE


def test_the_arrow_keys_step_and_go_on_listening(open_panel: OpenPanel, edit: Path) -> None:
    panel = open_panel(edit).ready()
    view = panel.window.clips.view
    view.setFocus()
    panel.playback.toggle(None, loop=False)
    QTest.keyClick(view, Qt.Key_Down)
    panel.until(lambda: panel.session.clip_index == 1 and panel.playback.clip)
    assert panel.plays()
    panel.sink.hear(512)
    assert panel.playback.clip is not None
    assert panel.playback.clip.clip.clip_id == panel.session.clips[1].clip_id
    panel.key(Qt.Key_PageUp)
    panel.until_shown()
    assert view.currentIndex().row() == 0, "the table follows"


def test_stepping_follows_the_order_and_the_filter_of_the_table(open_panel: OpenPanel, edit: Path) -> None:
    panel = open_panel(edit).ready()
    table = panel.window.clips
    table.view.sortByColumn(2, Qt.AscendingOrder)  # by record time: the tracks interleave
    starts = [panel.session.clips[panel.session.clip_index].record_range.start]
    for _ in range(len(panel.session.clips) - 1):
        panel.key(Qt.Key_PageDown)
        panel.until_shown()
        starts.append(panel.session.clips[panel.session.clip_index].record_range.start)
    assert starts == sorted(starts)
    table.search.setText("street")
    panel.key(Qt.Key_PageDown)
    panel.until_shown()
    assert panel.session.clip is not None
    assert panel.session.clip.name == "street"


def test_many_files_and_folders_open_as_clips(open_panel: OpenPanel, tmp_path: Path) -> None:
    folder = tmp_path / "day 1"
    (folder / "sub").mkdir(parents=True)
    tones(folder / "a.wav")
    tones(folder / "sub" / "b.wav")
    (folder / "broken.wav").write_bytes(b"RIFF")
    (folder / "notes.txt").write_text("no media", encoding="utf-8")
    panel = open_panel()
    assert panel.window.start.isVisible()
    panel.window.dropped.emit([str(folder)])
    panel.ready()
    assert [shown.name for shown in panel.session.clips] == ["a.wav", "b.wav"]
    assert [skip.clip for skip in panel.session.read.skipped] == ["broken.wav"]
    panel.session.settings.model = "noop"
    panel.window.clip_bar.all_toggled.emit(True)
    item = panel.separate("beep")
    panel.until(lambda: panel.primary_label == "Save the stems")
    assert not (folder / "day 1 stems").exists(), "nothing is written before Apply"
    panel.trigger_primary()
    panel.until(lambda: item.applied)
    names = sorted(path.name for path in (folder / "day 1 stems").glob("*.wav"))
    assert names == ["a.beep.wav", "a.residual.wav", "b.beep.wav", "b.residual.wav"]


def test_the_window_remembers_its_columns_and_recent_files(open_panel: OpenPanel, edit: Path) -> None:
    first = open_panel(edit).ready()
    first.window._columns.setSizes([240, 700, 340])
    first.window.clips.view.setColumnWidth(0, 151)
    width = first.window._columns.sizes()[0]
    first.director.close()
    second = open_panel(edit).ready()
    assert second.window.clips.view.columnWidth(0) == 151
    assert second.director._user_data.recent() == [str(edit)]
    assert second.window._columns.sizes()[0] == width


# -- pictures ----------------------------------------------------------------------------------------------------------


def picture(panel: Panel, row: int) -> QPixmap | None:
    shown = panel.window.clips.sorted.index(row, 0).data(Qt.DecorationRole)
    assert shown is None or isinstance(shown, QPixmap)
    return shown


def colour_at(shown: QPixmap | None, x: float, y: float) -> QColor:
    assert shown is not None
    return shown.toImage().pixelColor(int(x * shown.width()), int(y * shown.height()))


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    folder = tmp_path / "footage"
    folder.mkdir()
    write_film(folder / "film.mp4", map(numbered, range(24)), sound_s=1)
    write_film(folder / "tall.mp4", (numbered(number, 180, 320) for number in range(24)), sound_s=1)
    tones(folder / "voice.wav")
    return folder


def test_clips_with_a_picture_show_it_in_their_row_and_sound_shows_none(open_panel: OpenPanel, footage: Path) -> None:
    panel = open_panel(footage).ready()
    view = panel.window.clips.view
    names = [row.name for row in panel.window.clips.model.rows]
    film, tall, voice = (names.index(name) for name in ("film.mp4", "tall.mp4", "voice.wav"))
    panel.until(lambda: picture(panel, film) and picture(panel, tall))
    assert colour_at(picture(panel, film), 0.05, 0.9).red() > 150, "the red box of the film"
    assert colour_at(picture(panel, film), 0.9, 0.7).red() < 110
    sizes = [(shown.width(), shown.height()) for row in (film, tall) if (shown := picture(panel, row))]
    assert sizes == [(39, 22), (12, 22)]
    panel.until(lambda: panel.director.thumbnails._without_picture == {str(footage / "voice.wav")})
    assert picture(panel, voice) is None
    assert {22 < view.rowHeight(row) <= 26 for row in range(3)} == {True}, "a picture fits a row of the usual height"


def test_only_the_rows_in_view_are_read_and_the_others_when_they_come_into_view(
    open_panel: OpenPanel, footage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Fraction] = []
    key_frame = FrameReader.key_frame

    def counted(reader: FrameReader, time: Fraction) -> Frame:
        read.append(time)
        return key_frame(reader, time)

    panel = open_panel(footage).ready()
    table = panel.window.clips
    panel.until(lambda: picture(panel, 0))
    first = next(shown for shown in panel.session.clips if shown.name == "film.mp4")
    clips = tuple(replace(first, clip_id=f"c{number}") for number in range(1000))
    monkeypatch.setattr(FrameReader, "key_frame", counted)
    table.show_rows(clip_rows(ReadClips(clips)))
    panel.until(lambda: picture(panel, 0) and picture(panel, len(table.clips_in_view()) - 1))
    assert len(read) < 60
    assert picture(panel, 999) is None
    table.view.scrollToBottom()
    panel.until(lambda: picture(panel, 999))
    assert len(read) < 120
    for number in range(1000):
        table.model.set_thumbnail(f"c{number}", QImage(39, 22, QImage.Format_RGB32), 1.0)
    assert len(table.model._thumbnails) == 512


def test_closing_while_a_film_is_read_ends_the_thread(
    open_panel: OpenPanel, footage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoding = threading.Event()
    decode = FrameReader._decode

    def endless(reader: FrameReader) -> Iterator[object]:
        """Decode the same film again and again, as a file of hours without a key frame takes long."""
        if threading.current_thread().name != "stemline-panel-thumbnails":
            yield from decode(reader)
        while True:
            decoding.set()
            for _ in decode(reader):
                reader._stop_if_asked()

    monkeypatch.setattr(FrameReader, "_decode", endless)
    panel = open_panel(footage).ready()
    panel.until(decoding.is_set)
    assert panel.director.close(), "all threads ended"
    assert "stemline-panel-thumbnails" not in {thread.name for thread in threading.enumerate()}
