"""Opening a clip of three hours in the panel, against one of three minutes: until its first picture is drawn."""

from __future__ import annotations

import functools
import os
import tempfile
import time
import wave
from fractions import Fraction
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import av
import numpy as np
import psutil
from PyQt5.QtWidgets import QApplication

from stemline.clips import ClipRange, MediaSource, TimeRange
from stemline.media import media_facts
from stemline_panel.app import make_application
from stemline_panel.control.playback_controller import PlaybackController
from stemline_panel.model.formatting import TimeFormat
from stemline_panel.sound.opened_clip import open_clip
from stemline_panel.sound.sink import DeviceSink
from stemline_panel.sound.waveform import ClipWaveform, first_view
from stemline_panel.widgets.wave_view import WaveView

from .measure import report

RATE = 48_000
SHORT_S, LONG_S = 180, 10_800
RUNS = 3


def main() -> None:
    """One ratio for each kind of file; then the scan of the whole that goes on behind it."""
    with tempfile.TemporaryDirectory(prefix="stemline-bench-") as folder:
        for name, make in (("wav", write_wav), ("m4a", write_aac)):
            short, long = (make(Path(folder) / f"{seconds}.{name}", seconds) for seconds in (SHORT_S, LONG_S))
            times = {path: min(first_picture_s(path) for _ in range(RUNS)) for path in (short, long)}
            print(f"  {name}: {times[short] * 1000:.0f} ms for 3 minutes, {times[long] * 1000:.0f} ms for 3 hours")
            report(f"open 3 hours of {name}", times[long] / times[short], "<= 2", "opening 3 minutes")
            if name == "wav":
                scan(long)


def first_picture_s(path: Path) -> float:
    """Seconds from choosing a clip to its first picture in the window. The file was never looked at before."""
    app = application()
    os.utime(path)  # a new time stamp: nothing that was remembered of the file holds
    view, sound = WaveView(), PlaybackController(DeviceSink(), matched=True)
    view.resize(1400, 600)
    view.show()
    drawn: list[float] = []
    sound.waveform_ready.connect(view.draw)
    sound.waveform_ready.connect(lambda _: drawn.append(time.perf_counter()))
    sound.opened.connect(
        lambda opened: view.show_clip(opened.clip.record_range, first_view(opened), TimeFormat(), 20000.0)
    )
    view.waveform_wanted.connect(sound.request_waveform)
    started = time.perf_counter()
    facts = media_facts(MediaSource(str(path)))
    whole = TimeRange(Fraction(0), Fraction(facts.length_samples, RATE))
    sound.show(ClipRange("file", path.name, path.name, MediaSource(str(path)), whole, whole))
    while not drawn:
        app.processEvents()
        time.sleep(0.001)
    sound.close()
    view.close()
    return drawn[0] - started


@functools.cache
def application() -> QApplication:
    return make_application()


def scan(path: Path) -> None:
    """Prints how fast the scan is and what memory it takes."""
    whole = TimeRange(Fraction(0), Fraction(LONG_S))
    pictures = ClipWaveform(open_clip(ClipRange("file", "a", "a", MediaSource(str(path)), whole, whole)))
    before, started = psutil.Process().memory_info().rss, time.perf_counter()
    while pictures.scan_step():
        pass
    spent, grown = time.perf_counter() - started, psutil.Process().memory_info().rss - before
    pictures.close()
    speed, kind = LONG_S / spent, path.suffix[1:]
    print(f"  scan of 3 hours of {kind}: {spent:.1f} s, {speed:.0f}x real time, {grown / 1e6:.0f} MB more")


def write_wav(path: Path, seconds: int) -> Path:
    """16 bits, stereo: a minute of noise, over and over."""
    minute = np.random.default_rng(0).integers(-8000, 8000, (60 * RATE, 2), dtype=np.int16).tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        for _ in range(seconds // 60):
            file.writeframes(minute)
    return path


def write_aac(path: Path, seconds: int) -> Path:
    """A minute is encoded; its packets are written as often as the length needs."""
    noise = np.random.default_rng(0).normal(0, 0.1, (2, 60 * RATE)).astype(np.float32)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=RATE)
        assert isinstance(stream, av.AudioStream)
        stream.codec_context.layout, stream.bit_rate = "stereo", 192_000
        packets = []
        for start in range(0, noise.shape[1], 1024):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(noise[:, start : start + 1024]), "fltp", "stereo")
            frame.sample_rate, frame.pts = RATE, start
            packets += stream.encode(frame)
        data = [bytes(packet) for packet in packets]
        for index in range(seconds * RATE // 1024):
            packet = av.Packet(data[index % len(data)])
            packet.stream, packet.time_base = stream, stream.codec_context.time_base
            packet.pts = packet.dts = index * 1024
            packet.duration = 1024
            container.mux(packet)
    return path


if __name__ == "__main__":
    main()
