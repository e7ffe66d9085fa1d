"""The sound device: latency, devices that are plugged in later, and messages if there is none."""

from __future__ import annotations

import shutil
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from stemline_panel.sound import sink


class FakePortAudio:
    """Reads the list of devices only when it starts, as PortAudio does."""

    class PortAudioError(Exception):
        """An error of the library."""

    def __init__(self, *, plugged_in: bool = False, rates: tuple[int, ...] = (48000,)) -> None:
        self.plugged_in, self._rates = plugged_in, rates
        self._initialized, self._listed = 1, plugged_in
        self.OutputStream = self._stream
        self.opened: list[dict[str, Any]] = []

    def _terminate(self) -> None:
        if not self._initialized:
            raise self.PortAudioError("PortAudio not initialized")
        self._initialized -= 1

    def _initialize(self) -> None:
        self._initialized += 1
        self._listed = self.plugged_in

    def query_devices(self, kind: str) -> None:
        if not self._listed:
            raise self.PortAudioError("Error querying device -1")

    def _stream(self, **options: Any) -> FakeStream:
        if options["samplerate"] not in self._rates:
            raise self.PortAudioError("Invalid sample rate [PaErrorCode -9997]\nmore")
        self.opened.append(options)
        return FakeStream()


class FakeStream:
    latency = 0.01

    def start(self) -> None:
        """Play nothing."""

    def close(self, ignore_errors: bool) -> None:
        """Hold nothing."""


def silence(frames: int) -> npt.NDArray[np.float32]:
    return np.zeros((frames, 2), np.float32)


def use(library: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink, "_import_sounddevice", lambda: library)


def test_a_device_that_is_plugged_in_later_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    library = FakePortAudio()
    use(library, monkeypatch)
    device = sink.DeviceSink()
    with pytest.raises(sink.NoDeviceError):
        device.open(48000, silence)
    library.plugged_in = True
    device.open(48000, silence)
    assert device.latency_s == 0.01
    device.close()
    assert device.latency_s == 0.0
    assert library._initialized == 1


def test_a_missing_device_has_the_same_message_at_start_and_at_every_press(monkeypatch: pytest.MonkeyPatch) -> None:
    use(FakePortAudio(), monkeypatch)
    messages = [sink.device_problem()]
    for _ in range(2):
        with pytest.raises(sink.NoDeviceError) as caught:
            sink.DeviceSink().open(48000, silence)
        messages.append(str(caught.value))
    assert messages == ["No sound device found; connect one to listen."] * 3


def test_a_device_that_refuses_a_sample_rate_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    use(FakePortAudio(plugged_in=True), monkeypatch)
    assert sink.device_problem() == ""
    with pytest.raises(sink.NoDeviceError) as caught:
        sink.DeviceSink().open(8000, silence)
    assert str(caught.value) == (
        "The sound device doesn't play 8000 Hz stereo (Invalid sample rate [PaErrorCode -9997])."
    )


def test_the_default_latency_is_a_quarter_of_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth underran several times a minute on a busy machine, and PortAudio's "low" dozens of times in 8 s."""
    library = FakePortAudio(plugged_in=True)
    use(library, monkeypatch)
    sink.DeviceSink().open(48000, silence)
    assert [options["latency"] for options in library.opened] == [0.25]


class _Blocked:
    """Makes one import fail."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name == "sounddevice":
            raise self._error


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (OSError("PortAudio library not found"), "PortAudio is missing. Run: sudo apt-get install libportaudio2"),
        (ModuleNotFoundError("No module named 'sounddevice'"), f"To listen, run: {sys.executable} -m pip install"),
    ],
)
def test_missing_portaudio_is_one_sentence_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, error: Exception, advice: str
) -> None:
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [_Blocked(error), *sys.meta_path])
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/apt-get")
    assert sink.device_problem().startswith(advice)
    with pytest.raises(sink.NoDeviceError) as caught:
        sink.DeviceSink().open(48000, silence)
    assert str(caught.value).startswith(advice)
