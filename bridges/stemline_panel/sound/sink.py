# SPDX-License-Identifier: GPL-3.0-or-later
"""Where sound goes: the seam between the player and a device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Pull = Callable[[int], npt.NDArray[np.float32]]
"""(frames) -> float32 [frames, 2]. Called from the device's thread; must not wait."""


class NoDevice(Exception):
    """There is nothing to play on. The text is one sentence for people."""


class AudioSink(Protocol):
    """A device that pulls sound while it is open."""

    @property
    def latency_s(self) -> float:
        """How long after it is pulled a sample is heard."""
        ...

    def open(self, sample_rate: int, pull: Pull) -> None:
        """Starts pulling two channels. Raises NoDevice."""
        ...

    def close(self) -> None:
        """Stops pulling. May be called when nothing is open."""
        ...


class DeviceSink:
    """The system's default output, through PortAudio."""

    def __init__(self) -> None:
        self._stream: Any = None

    @property
    def latency_s(self) -> float:
        return float(self._stream.latency) if self._stream is not None else 0.0

    def open(self, sample_rate: int, pull: Pull) -> None:
        sounddevice = _sounddevice()

        def fill(out: npt.NDArray[np.float32], frames: int, time: object, status: object) -> None:
            out[:] = pull(frames)

        try:
            self._stream = sounddevice.OutputStream(
                samplerate=sample_rate, channels=2, dtype="float32", latency="low", callback=fill
            )
            self._stream.start()
        except (sounddevice.PortAudioError, ValueError) as error:
            self.close()
            raise NoDevice(f"No sound device takes {sample_rate} Hz stereo ({_first_line(error)}).") from error

    def close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close(ignore_errors=True)


def why_no_device() -> str:
    """Why nothing can be heard on this machine; empty when something can."""
    try:
        sounddevice = _sounddevice()
        sounddevice.query_devices(kind="output")
    except NoDevice as reason:
        return str(reason)
    except (sounddevice.PortAudioError, ValueError):
        return "No sound device was found: connect one to listen."
    return ""


def _sounddevice() -> Any:
    try:
        import sounddevice  # noqa: PLC0415 - loads PortAudio, which may be missing
    except OSError as error:
        raise NoDevice("PortAudio is missing: install libportaudio2 to listen.") from error
    return sounddevice


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
