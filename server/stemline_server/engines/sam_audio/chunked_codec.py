"""Encoding of an `AudioSource` and decoding of latents in chunks, so that only latents grow with the length."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from stemline_server.engines.base import AudioSource, Waveform
from stemline_server.engines.sam_audio.device import is_out_of_memory, out_of_memory_error, release_memory
from stemline_server.engines.sam_audio.model import SamAudioModel
from stemline_server.engines.sam_audio.streaming import Stream

_LEVEL_CELL_S = 0.1


class LevelMeter:
    """Measure the loudest tenth of a second of each row, so that a short sound in long silence counts.

    Attributes:
        loudest_rms: Root mean square of that tenth, [rows].
    """

    def __init__(self, rows: int, sample_rate: int) -> None:
        """Create a meter for a number of rows at a sample rate in Hz."""
        self._cell = int(_LEVEL_CELL_S * sample_rate)
        self._remainder = np.zeros((rows, 0), np.float32)
        self.loudest_rms = np.zeros(rows)

    def push(self, block: Waveform) -> None:
        """Measure the next block [rows, n]."""
        whole = np.concatenate((self._remainder, block), axis=1)
        cells = whole.shape[1] // self._cell
        self._measure(whole[:, : cells * self._cell].reshape(len(whole), cells, self._cell))
        self._remainder = whole[:, cells * self._cell :].copy()

    def finish(self) -> None:
        """Measure the incomplete cell at the end, padded with zeros to a whole cell."""
        missing = self._cell - self._remainder.shape[1]
        self._measure(np.pad(self._remainder, ((0, 0), (0, missing)))[:, None])

    def _measure(self, cells: Waveform) -> None:
        if cells.shape[1]:
            rms = np.sqrt(np.mean(np.square(cells, dtype=np.float64), axis=2)).max(axis=1)
            self.loudest_rms = np.maximum(self.loudest_rms, rms)


def frame_count(samples: int, hop_samples: int) -> int:
    """Return the number of latent frames that hold `samples`."""
    return -(-samples // hop_samples)


@torch.inference_mode()
def encode(
    model: SamAudioModel, audio: AudioSource, chunk_frames: int, meter: LevelMeter, chunk_done: Callable[[], None]
) -> Tensor:
    """Encode a mono source; its end is mirrored up to a whole frame.

    If memory runs out, the chunk is halved.

    Args:
        model: The model.
        audio: The source.
        chunk_frames: Latent frames to encode at once.
        meter: Measures the source.
        chunk_done: Called after each chunk; may raise to stop.

    Returns:
        The latent [T, C], float32 on the model's device.

    Raises:
        SeparationError: There is not enough memory for one frame (DEVICE_OUT_OF_MEMORY).
    """
    hop = model.config.audio_codec.hop_samples
    first = next(model.encoder.parameters())
    total = frame_count(audio.length_samples, hop)
    stream = Stream()
    parts = []
    done = 0
    while done < total:
        end = min(done + chunk_frames, total)
        samples = _read_padded(audio, done * hop, end * hop)
        chunk = torch.from_numpy(samples)[None].to(first.device, first.dtype)
        before = dict(stream.carry)
        stream.last = end == total
        try:
            parts.append(model.encoder(chunk, stream)[0].t().float())
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if end - done == 1:
                raise out_of_memory_error("one frame of encoding", first.device) from error
            stream.carry, chunk_frames = before, (end - done) // 2
            release_memory(first.device)
            continue
        meter.push(samples[:, : audio.length_samples - done * hop])
        done = end
        chunk_done()
    meter.finish()
    return torch.cat(parts)


def _read_padded(audio: AudioSource, start_sample: int, end_sample: int) -> Waveform:
    """Return a range as [1, end - start]; after the end of the audio, its last samples are mirrored."""
    length = audio.length_samples
    samples = audio.read(start_sample, min(end_sample, length))
    missing = end_sample - start_sample - samples.shape[1]
    if missing == 0:
        return samples
    tail = audio.read(max(0, length - missing - 1), length)
    mirrored = np.pad(tail, ((0, 0), (0, missing)), mode="reflect")[:, tail.shape[1] :]
    return np.concatenate((samples, mirrored), axis=1)


class ChunkedDecoder:
    """Decode the latents of several rows chunk by chunk, with or without watermark.

    If memory runs out, the number of rows decoded at once is halved, then the chunk. The result is the same.
    """

    def __init__(self, model: SamAudioModel, messages: Tensor | None, rows: int) -> None:
        """Create a decoder.

        Args:
            model: The model.
            messages: Bits of the watermark of each row, [rows, 16]; None for no watermark.
            rows: Number of rows.
        """
        self._model, self._messages = model, messages
        self._groups = [(slice(0, rows), Stream(), Stream())]
        self._first = next(model.decoder.parameters())

    @torch.inference_mode()
    def push(self, latent: Tensor, *, last: bool) -> Iterator[Waveform]:
        """Decode the next frames.

        Args:
            latent: Latent of the next frames, [rows, C, T].
            last: Whether these are the final frames.

        Yields:
            The next samples [rows, n], in several pieces if memory is short.

        Raises:
            SeparationError: There is not enough memory for one frame (DEVICE_OUT_OF_MEMORY).
        """
        middle = latent.shape[-1] // 2
        while True:
            before = [(rows, dict(clean.carry), dict(marked.carry)) for rows, clean, marked in self._groups]
            try:
                block = np.concatenate([self._decode(group, latent, last=last) for group in self._groups])
                break
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                release_memory(self._first.device)
                if not self._split(before) and middle == 0:
                    raise out_of_memory_error("decoding one frame", self._first.device) from error
                if all(rows.stop - rows.start == 1 for rows, _, _ in before):
                    yield from self.push(latent[..., :middle], last=False)
                    yield from self.push(latent[..., middle:], last=last)
                    return
        yield block

    def _decode(self, group: tuple[slice, Stream, Stream], latent: Tensor, *, last: bool) -> Waveform:
        rows, clean_stream, mark_stream = group
        clean_stream.last = mark_stream.last = last
        chunk = latent[rows].to(self._first.device, self._first.dtype)
        waveform = self._model.decoder(chunk, clean_stream).float()
        if self._messages is not None:
            waveform = self._model.watermark(waveform, self._messages[rows], mark_stream)
        samples: Waveform = waveform[:, 0].cpu().numpy()
        return samples

    def _split(self, groups: list[tuple[slice, dict[str, tuple[Tensor, ...]], dict[str, tuple[Tensor, ...]]]]) -> bool:
        """Restore the streams to `groups` and halve all groups of several rows; return whether there was one."""
        self._groups = []
        for rows, clean, marked in groups:
            count = rows.stop - rows.start
            cuts = [(0, count)] if count == 1 else [(0, count // 2), (count // 2, count)]
            for start, end in cuts:
                streams = [Stream({k: tuple(t[start:end] for t in v) for k, v in c.items()}) for c in (clean, marked)]
                self._groups.append((slice(rows.start + start, rows.start + end), streams[0], streams[1]))
        return len(self._groups) > len(groups)
