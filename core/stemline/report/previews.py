"""Write small previews of the sound of clips, which every browser plays."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.audio.resampler import AudioResampler

from stemline.errors import StemlineError
from stemline.media import open_audio
from stemline.workflow import ClipOutcome, Hooks, Progress
from stemline_bridge import atomic_path

_RATE = 48_000
_BIT_RATE = 40_000
_BLOCK_SAMPLES = 1 << 16
_OPTIONS = {"compression_level": "0", "frame_duration": "60"}  # 700 times real time on one core, a tenth of the best
_WRITERS = 4
_VERSION = 1


def write_previews(clips: Sequence[ClipOutcome], folder: Path, hooks: Hooks) -> dict[str, Path]:
    """Write the mix of each set of stem files as mono Opus, and return the previews by the path of their residual.

    A preview of an earlier run is reused. A preview that cannot be written is left out, as is the rest once the run is
    cancelled: the stems do not depend on them.
    """
    wanted = {clip.residual: (clip, folder / preview_name(clip)) for clip in clips}
    missing = [(clip, path) for clip, path in wanted.values() if not path.exists()]
    with ThreadPoolExecutor(min(_WRITERS, os.cpu_count() or 1), "stemline-preview") as pool:
        writers = [pool.submit(_write, clip, path, hooks.stopped) for clip, path in missing]
        for done, writer in enumerate(as_completed(writers), 1):
            writer.result()
            hooks.on_progress(Progress("writing previews", done, len(writers)))
    return {residual: path for residual, (_, path) in wanted.items() if path.exists()}


def preview_name(clip: ClipOutcome) -> str:
    """Return the file name of a clip's preview, which changes with the sound that it holds."""
    source, held = clip.place.source, clip.place.file_range
    state: tuple[int, ...] = ()
    with suppress(OSError):
        found = Path(source.path).stat()
        state = found.st_size, found.st_mtime_ns
    facts = [_VERSION, source.path, source.stream, source.channels, source.mono, held, state]
    return f"{hashlib.sha256(repr(facts).encode(errors='surrogateescape')).hexdigest()[:16]}.opus"


def _write(clip: ClipOutcome, path: Path, stopped: Callable[[], bool]) -> None:
    """Write one preview, which gets its name when it is complete."""
    with suppress(StemlineError, av.FFmpegError, OSError, _Stopped), atomic_path(path) as partial:
        _encode(clip, partial, stopped)


class _Stopped(Exception):
    """The run was cancelled."""


def _encode(clip: ClipOutcome, path: Path, stopped: Callable[[], bool]) -> None:
    """Encode the samples that the stem files hold. Raise _Stopped where the run is cancelled."""
    held = clip.place.file_range
    resampler = AudioResampler(format="flt", layout="mono", rate=_RATE)
    with (
        open_audio(clip.place.source) as reader,
        av.open(str(path), "w", format="ogg") as container,
    ):
        stream = container.add_stream("libopus", rate=_RATE, layout="mono", options=_OPTIONS)
        stream.bit_rate = _BIT_RATE
        for start in range(held.start_sample, held.end_sample, _BLOCK_SAMPLES):
            if stopped():
                raise _Stopped
            block = reader.read(start, min(start + _BLOCK_SAMPLES, held.end_sample))
            mono = np.clip(_mono(block), -1, 1)[None]
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(mono), "flt", "mono")
            frame.sample_rate, frame.time_base = clip.sample_rate, Fraction(1, clip.sample_rate)
            frame.pts = start - held.start_sample
            for resampled in resampler.resample(frame):
                container.mux(stream.encode(resampled))
        for resampled in resampler.resample(None):
            container.mux(stream.encode(resampled))
        container.mux(stream.encode(None))


def _mono(block: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the mean of the channels. Adding them one by one is several times faster than a mean across memory."""
    total: npt.NDArray[np.float32] = block[0].copy()
    for channel in block[1:]:
        total += channel
    total /= np.float32(len(block))
    return total
