# SPDX-License-Identifier: GPL-3.0-or-later
"""Where sound goes: the seam between the player and a device."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

PullSamples = Callable[[int], npt.NDArray[np.float32]]
"""(frames) -> float32 [frames, 2]. Called from the device's thread; must not wait."""


_PORTAUDIO = threading.Lock()
"""PortAudio takes calls from one thread at a time."""


class NoDeviceError(Exception):
    """There is nothing to play on. The text is one sentence for people."""


class AudioSink(Protocol):
    """A device that pulls sound while it is open."""

    @property
    def latency_s(self) -> float:
        """How long after it is pulled a sample is heard."""
        ...

    def open(self, sample_rate: int, pull: PullSamples) -> None:
        """Starts pulling two channels. Raises NoDeviceError."""
        ...

    def close(self) -> None:
        """Stops pulling. May be called when nothing is open."""
        ...


class DeviceSink:
    """The system's default output, through PortAudio. One of them may be open at a time."""

    def __init__(self) -> None:
        self._stream: Any = None

    @property
    def latency_s(self) -> float:
        stream = self._stream
        return float(stream.latency) if stream is not None else 0.0

    def open(self, sample_rate: int, pull: PullSamples) -> None:
        sounddevice = _sounddevice()

        def fill(out: npt.NDArray[np.float32], frames: int, time: object, status: object) -> None:
            out[:] = pull(frames)

        with _PORTAUDIO:
            try:
                _refresh_device_list(sounddevice)
                stream = sounddevice.OutputStream(
                    samplerate=sample_rate, channels=2, dtype="float32", latency="low", callback=fill
                )
                self._stream = stream
                stream.start()
            except (sounddevice.PortAudioError, ValueError) as error:
                self._close_stream()
                raise NoDeviceError(f"No sound device takes {sample_rate} Hz stereo ({_first_line(error)}).") from error

    def close(self) -> None:
        with _PORTAUDIO:
            self._close_stream()

    def _close_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close(ignore_errors=True)


def device_problem() -> str:
    """Why nothing can be heard on this machine; empty when something can. May take a second."""
    try:
        sounddevice = _sounddevice()
        with _PORTAUDIO:
            sounddevice.query_devices(kind="output")
    except NoDeviceError as reason:
        return str(reason)
    except (sounddevice.PortAudioError, ValueError):
        return "No sound device was found: connect one to listen."
    return ""


def _refresh_device_list(sounddevice: Any) -> None:
    """PortAudio keeps the list of devices that it made when it began: without this, what was plugged in since is not
    found."""
    if sounddevice._initialized:
        sounddevice._terminate()
    sounddevice._initialize()


def _sounddevice() -> Any:
    try:
        import sounddevice  # noqa: PLC0415 - loads PortAudio, which may be missing
    except OSError as error:
        raise NoDeviceError("PortAudio is missing: install libportaudio2 to listen.") from error
    return sounddevice


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
