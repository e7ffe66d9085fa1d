"""The first window, the settings of server and sound device, and what `stemline doctor` says about the panel."""

from __future__ import annotations

from pathlib import Path

import pytest
from PyQt5.QtWidgets import QApplication, QLabel, QPushButton

from bridges.panel.conftest import OpenPanel
from bridges.panel.harness import tones
from stemline.hosts.description import Status
from stemline_app.doctor.panel import panel_checks
from stemline_panel.model.settings import PanelSettings, read_settings, write_settings
from stemline_panel.sound import sink
from stemline_panel.widgets.server_page import ServerPage
from stemline_panel.widgets.settings_dialog import SettingsDialog, SettingsOffers


def test_the_first_window_opens_the_example_in_a_copy(
    open_panel: OpenPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platformdirs.user_videos_path", lambda: tmp_path / "Videos")
    panel = open_panel()
    assert panel.window.start.isVisible()
    assert not panel.window.wave.isVisible()
    assert panel.window.focusWidget() is panel.window.start.open
    panel.click(panel.window.start.example)
    panel.ready()
    assert panel.window.wave.isVisible()
    assert panel.director.host.document is not None
    assert panel.director.host.document.path == tmp_path / "Videos" / "Stemline" / "example" / "edit.otio"
    panel.director.close()
    later = open_panel()
    (recent,) = later.window.start.findChildren(QPushButton, "recent")
    later.click(recent)
    later.ready()


def test_the_server_is_tested_before_it_is_used(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    page = ServerPage("", "", "", panel.director.server.test)
    assert page.chosen() == ("", "", "")
    page.test.click()
    panel.until(lambda: page.result.text().startswith("It works: "))
    page.shared.setChecked(True)
    page.address.setText("example.com:1")
    page.test.click()
    panel.until(lambda: "must be encrypted" in page.result.text())
    page.address.setText("https://127.0.0.1:9")
    page.token_file.setText(str(tmp_path / "missing"))
    page.test.click()
    panel.until(lambda: page.result.text() == "The token file cannot be read: No such file or directory.")
    page.deleteLater()


def test_another_server_is_used_at_once_and_after_a_restart(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    assert "a private server" in panel.window.clip_bar.server.toolTip()
    chosen = PanelSettings(server="127.0.0.1:9")
    panel.session.server = panel.director.server.use(chosen)
    panel.until(lambda: panel.window.clip_bar.server.status == "no server")
    panel.director._user_data.save(chosen)
    panel.session.settings = chosen
    panel.director.close()
    later = open_panel()
    assert later.session.server == "127.0.0.1:9"
    assert later.director.server.use(PanelSettings()) is None, "back to the private one"
    later.until(lambda: later.session.server_ready)


def test_settings_of_keys_sound_and_server_are_chosen_and_saved(tmp_path: Path, qapp: QApplication) -> None:
    settings = PanelSettings(
        seed=7,
        record_paths="omit",
        record_words="hash",
        mark=False,
        keys="avid",
        device="Interface 2",
        server="https://s:1",
        token_file=str(tmp_path),
        ca_file="/c",
    )
    dialog = SettingsDialog(settings, SettingsOffers((), "/film", ("Speakers",)))
    assert dialog.chosen() == settings
    assert dialog._device.currentText() == "Interface 2 (not connected)"
    write_settings(tmp_path / "settings.json", dialog.chosen())
    assert read_settings(tmp_path / "settings.json") == settings
    dialog.server.private.setChecked(True)
    assert dialog.chosen().server == ""
    assert all(label.text() for label in dialog.server.findChildren(QLabel) if label is not dialog.server.result)
    dialog.deleteLater()


def test_the_chosen_device_is_used_while_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []

    class Stream:
        latency = 0.1

        def __init__(self, **options: object) -> None:
            opened.append(options["device"])

        def start(self) -> None: ...

        def close(self, *, ignore_errors: bool) -> None: ...

    class SoundDevice:
        _initialized = False
        OutputStream = Stream
        PortAudioError = RuntimeError

        @staticmethod
        def _initialize() -> None: ...

        @staticmethod
        def query_devices(kind: str = "") -> object:
            speakers = {"name": "Speakers", "max_output_channels": 2}
            microphone = {"name": "Microphone", "max_output_channels": 0}
            return speakers if kind else [microphone, {"name": "Interface", "max_output_channels": 8}, speakers]

    monkeypatch.setattr(sink, "_import_sounddevice", lambda: SoundDevice)
    assert sink.device_names() == ["Speakers", "Interface"]
    for name in ("Interface", "Unplugged", ""):
        sink.DeviceSink(name).open(48000, lambda frames: None)  # type: ignore[arg-type,return-value]
    assert opened == ["Interface", None, None]


def test_doctor_has_rows_for_the_panel_qt_and_the_sound_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink, "device_problem", lambda: "")
    monkeypatch.setattr(sink, "device_names", lambda: ["Speakers", "Interface"])
    rows = {check.name: check for check in panel_checks()}
    assert [*rows] == ["panel", "qt", "sound device"]
    assert rows["sound device"].message == "Speakers and 1 more"
    monkeypatch.setattr(sink, "device_problem", lambda: "No sound device found; connect one to listen.")
    monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    rows = {check.name: check for check in panel_checks()}
    assert (rows["qt"].status, rows["sound device"].status) == (Status.WARN, Status.WARN)
    assert "needs a display" in rows["qt"].message
    assert rows["qt"].advice
