# SPDX-License-Identifier: GPL-3.0-or-later
"""Sound output: the interface between the player and a device, and the device through PortAudio."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from stemline_panel.model.formatting import translate
from stemline_panel.system_check import install_advice

PullSamples = Callable[[int], npt.NDArray[np.float32]]
"""(frames) -> float32 [frames, 2]. Called from the device's thread; must not block."""

STEREO = 2
LATENCY_S = 0.25
"""Buffer of the device.

With two busy processes on two cores, a minute had up to 26 gaps at 0.1 s. At 0.25 s there was none in four runs of 31
s, and two in each of two runs of 60 s under instrumentation that loaded the machine as well.
"""

_PORTAUDIO = threading.Lock()
"""PortAudio accepts calls from one thread at a time."""


class NoDeviceError(Exception):
    """Nothing can be played. The text is one sentence for the user."""


class AudioSink(Protocol):
    """A device that pulls sound while it is open. `device` is its name, empty for the system's default."""

    device: str

    @property
    def latency_s(self) -> float:
        """The time from pulling a sample to hearing it."""
        ...

    def open(self, sample_rate: int, pull: PullSamples) -> None:
        """Start to pull two channels. Raises NoDeviceError."""
        ...

    def close(self) -> None:
        """Stop pulling. Does nothing if nothing is open."""
        ...


class DeviceSink:
    """An output of the system, through PortAudio. Only one may be open at a time."""

    def __init__(self, device: str = "") -> None:
        """Open nothing yet. `device` is the name of an output; empty for the system's default."""
        self._stream: Any = None
        self.device = device

    @property
    def latency_s(self) -> float:
        """The latency of the open stream, or 0."""
        stream = self._stream
        return float(stream.latency) if stream is not None else 0.0

    def open(self, sample_rate: int, pull: PullSamples) -> None:
        """Open the device; the default one if the chosen one is not there. Raises NoDeviceError."""
        sounddevice = _import_sounddevice()

        def fill(out: npt.NDArray[np.float32], frames: int, time: object, status: object) -> None:
            out[:] = pull(frames)

        with _PORTAUDIO:
            try:
                _refresh_device_list(sounddevice)
                _require_device(sounddevice)
                stream = sounddevice.OutputStream(
                    samplerate=sample_rate,
                    channels=2,
                    dtype="float32",
                    latency=LATENCY_S,
                    callback=fill,
                    device=self.device if self.device and self.device in _outputs(sounddevice) else None,
                )
                self._stream = stream
                stream.start()
            except (sounddevice.PortAudioError, ValueError) as error:
                self._close_stream()
                text = translate("DeviceSink", "The sound device doesn't play {rate} Hz stereo ({reason}).")
                raise NoDeviceError(text.format(rate=sample_rate, reason=_first_line(error))) from error

    def close(self) -> None:
        """Close the stream if one is open."""
        with _PORTAUDIO:
            self._close_stream()

    def _close_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close(ignore_errors=True)


def device_problem() -> str:
    """Return in one sentence why nothing can be heard; empty if all is well. May take a second."""
    try:
        sounddevice = _import_sounddevice()
        with _PORTAUDIO:
            _require_device(sounddevice)
    except NoDeviceError as reason:
        return str(reason)
    return ""


def device_names() -> list[str]:
    """Return the names of the outputs of this system, the default one first; nothing without PortAudio."""
    try:
        sounddevice = _import_sounddevice()
        with _PORTAUDIO:
            default = sounddevice.query_devices(kind="output")["name"]
            names = _outputs(sounddevice)
    except (NoDeviceError, OSError, ValueError, KeyError):
        return []
    except Exception as error:
        if type(error).__name__ != "PortAudioError":
            raise
        return []
    return [default, *(name for name in names if name != default)]


def _outputs(sounddevice: Any) -> list[str]:
    return [device["name"] for device in sounddevice.query_devices() if device["max_output_channels"] >= STEREO]


def _require_device(sounddevice: Any) -> None:
    try:
        sounddevice.query_devices(kind="output")
    except (sounddevice.PortAudioError, ValueError) as error:
        raise NoDeviceError(translate("DeviceSink", "No sound device found; connect one to listen.")) from error


def _refresh_device_list(sounddevice: Any) -> None:
    """Restart PortAudio, which otherwise keeps the list of devices from its start."""
    if sounddevice._initialized:
        sounddevice._terminate()
    sounddevice._initialize()


def _import_sounddevice() -> Any:
    try:
        import sounddevice  # noqa: PLC0415 - loads PortAudio, which may be missing
    except ImportError as error:
        text = translate("DeviceSink", "To listen, run: {command}")
        raise NoDeviceError(text.format(command=f"{sys.executable} -m pip install sounddevice")) from error
    except OSError as error:
        text = translate("DeviceSink", "PortAudio is missing. {advice}")
        raise NoDeviceError(text.format(advice=install_advice("libportaudio2"))) from error
    return sounddevice


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
