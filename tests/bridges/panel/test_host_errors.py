"""A host that cannot be read or is slow: the badge, and which document stays open."""

from __future__ import annotations

import threading

import pytest

from bridges.panel.conftest import OpenPanel
from bridges.panel.host_harness import attended, report
from hosts.remote.running import FakeHostRunner
from stemline.companion.remote import CallTimes
from stemline.errors import Code, EditError, HostError
from stemline.hosts.base import ReadClips
from stemline_panel.documents import HostDocument
from stemline_panel.widgets.badge import Health


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        (Code.EDIT_NO_CLIPS, (Health.WAITING, "no clips", "Read again")),
        (Code.HOST_TIMEOUT, (Health.BAD, "does not answer", "Try again")),
        (Code.HOST_PROTOCOL, (Health.BAD, "cannot be read", "Try again")),
    ],
)
def test_a_failed_first_read_shows_the_problem_and_a_fix(
    runner: FakeHostRunner,
    open_panel: OpenPanel,
    monkeypatch: pytest.MonkeyPatch,
    code: Code,
    shown: tuple[Health, str, str],
) -> None:
    def nothing(place: HostDocument) -> ReadClips:
        raise HostError("It went wrong.", code=code)

    with monkeypatch.context() as patch:
        patch.setattr(HostDocument, "read", nothing)
        with attended(runner, open_panel) as (panel, _):
            target = panel.window.clip_bar
            panel.until(panel.window.banner.isVisible)
            assert target.host.isVisible()
            assert target.host.fix.isVisible()
            assert target.reload_button.isVisible()
            assert (target.host.health, target.host.status, target.host.fix.text()) == shown
            patch.undo()
            panel.click(target.host.fix)
            panel.until(lambda: target.host.health is Health.GOOD)


def test_an_unreadable_file_does_not_change_the_badge_of_the_host(
    runner: FakeHostRunner, open_panel: OpenPanel
) -> None:
    with attended(runner, open_panel) as (panel, _):
        panel.ready()
        (runner.folder / "empty.otio").write_text("", encoding="utf-8")
        panel.director.open(runner.folder / "empty.otio")
        panel.until(panel.window.banner.isVisible)
        assert panel.window.clip_bar.host.health is Health.GOOD


def test_a_host_that_cannot_be_read_does_not_replace_the_open_file(
    runner: FakeHostRunner, open_panel: OpenPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ "Save the stems" of the open file must never write to the host."""
    with attended(runner, open_panel) as (panel, _):
        panel.ready()
        panel.director.open(runner.media[1])
        panel.until(lambda: panel.window.clip_bar.line.text().startswith("music.wav"))
        item = panel.separate("speech")

        def nothing(place: HostDocument) -> ReadClips:
            raise EditError("There is no clip with sound.", code=Code.EDIT_NO_CLIPS)

        monkeypatch.setattr(HostDocument, "read", nothing)
        panel.director.host.read()
        panel.until(panel.window.banner.isVisible)
        assert panel.primary_label == "Save the stems"
        panel.trigger_primary()
        panel.until(lambda: item.applied)
        assert item.applied is not None
        assert item.applied.files, "saved beside the file"
    assert report(runner)["tracks"] == []


def test_a_timed_out_call_can_be_tried_again(
    runner: FakeHostRunner, open_panel: OpenPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with attended(runner, open_panel) as (panel, _):
        panel.ready()
        connection = panel.director.host._connection
        assert connection is not None
        connection._times = CallTimes(read_s=0.0)
        panel.director.host.read()
        panel.until(lambda: panel.window.clip_bar.host.health is Health.BAD)
        assert "did not answer read_clips" in panel.window.banner.text()
        connection._times = CallTimes()
        panel.click(panel.window.clip_bar.host.fix)
        panel.until(lambda: panel.window.clip_bar.host.health is Health.GOOD)
        assert not panel.window.banner.isVisible()


def test_the_badge_shows_that_the_host_is_slow(runner: FakeHostRunner, open_panel: OpenPanel) -> None:
    with attended(runner, open_panel) as (panel, _):
        panel.ready()
        hosts, badge, answered = panel.director.host, panel.window.clip_bar.host, threading.Event()
        hosts._slow_timer.setInterval(0)
        hosts._do(hosts.document, lambda: answered.wait(60), lambda _: None)
        panel.until(lambda: badge.status == "still waiting")
        assert badge.health is Health.WAITING
        answered.set()
        panel.until(lambda: badge.health is Health.GOOD)
        assert badge.status == "Fake"
