"""Between an `AudioSource` and latents, chunk by chunk: memory does not grow with length, latents apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from stemline_server.engines.base import AudioSource, Waveform
from stemline_server.engines.sam_audio.memory import is_out_of_memory, out_of_memory, release
from stemline_server.engines.sam_audio.model import SamAudioModel
from stemline_server.engines.sam_audio.streaming import Stream

_LEVEL_CELL_S = 0.1


class LevelMeter:
    """The loudest tenth of a second of each row: how a short sound in long silence is told from none."""

    def __init__(self, rows: int, sample_rate: int) -> None:
        self._cell = int(_LEVEL_CELL_S * sample_rate)
        self._rest = np.zeros((rows, 0), np.float32)
        self.loudest_rms = np.zeros(rows)

    def push(self, block: Waveform) -> None:
        """Block [rows, n]."""
        whole = np.concatenate((self._rest, block), axis=1)
        cells = whole.shape[1] // self._cell
        self._measure(whole[:, : cells * self._cell].reshape(len(whole), cells, self._cell))
        self._rest = whole[:, cells * self._cell :].copy()

    def finish(self) -> None:
        """Counts the incomplete cell at the end, over a whole cell's length."""
        missing = self._cell - self._rest.shape[1]
        self._measure(np.pad(self._rest, ((0, 0), (0, missing)))[:, None])

    def _measure(self, cells: Waveform) -> None:
        if cells.shape[1]:
            rms = np.sqrt(np.mean(np.square(cells, dtype=np.float64), axis=2)).max(axis=1)
            self.loudest_rms = np.maximum(self.loudest_rms, rms)


def frames_of(samples: int, hop_samples: int) -> int:
    """Latent frames that hold `samples`."""
    return -(-samples // hop_samples)


@torch.inference_mode()
def encode(
    model: SamAudioModel, audio: AudioSource, chunk_frames: int, meter: LevelMeter, chunk_done: Callable[[], None]
) -> Tensor:
    """The latent [T, C] of a mono source, float32 on the model's device; its end is mirrored up to a whole frame.

    Memory that runs out halves the chunk; raises SeparationError (DEVICE_OUT_OF_MEMORY) at one frame.
    """
    hop = model.config.audio_codec.hop_samples
    first = next(model.encoder.parameters())
    total = frames_of(audio.length_samples, hop)
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
                raise out_of_memory("one frame of encoding", first.device) from error
            stream.carry, chunk_frames = before, (end - done) // 2
            release(first.device)
            continue
        meter.push(samples[:, : audio.length_samples - done * hop])
        done = end
        chunk_done()
    meter.finish()
    return torch.cat(parts)


def _read_padded(audio: AudioSource, start_sample: int, end_sample: int) -> Waveform:
    """[1, end - start]; past the end of the audio its last samples run backwards."""
    length = audio.length_samples
    samples = audio.read(start_sample, min(end_sample, length))
    missing = end_sample - start_sample - samples.shape[1]
    if missing == 0:
        return samples
    tail = audio.read(max(0, length - missing - 1), length)
    mirrored = np.pad(tail, ((0, 0), (0, missing)), mode="reflect")[:, tail.shape[1] :]
    return np.concatenate((samples, mirrored), axis=1)


class Decoding:
    """Latents to waveforms with or without the watermark; the rows of a request side by side, chunk after chunk.

    Memory that runs out halves the rows decoded at once, then the chunk. The result is the same.
    """

    def __init__(self, model: SamAudioModel, messages: Tensor | None, rows: int) -> None:
        """`messages` [rows, 16], or None for no watermark."""
        self._model, self._messages = model, messages
        self._groups = [(slice(0, rows), Stream(), Stream())]
        self._first = next(model.decoder.parameters())

    @torch.inference_mode()
    def push(self, latent: Tensor, *, last: bool) -> Iterator[Waveform]:
        """Latent [rows, C, T] of the next frames to the next samples [rows, n]; in several pieces when memory is
        short.
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
                release(self._first.device)
                if not self._split(before) and middle == 0:
                    raise out_of_memory("decoding one frame", self._first.device) from error
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
        """Takes the streams back to `groups`, every group of several rows in halves. False when there was none."""
        self._groups = []
        for rows, clean, marked in groups:
            count = rows.stop - rows.start
            cuts = [(0, count)] if count == 1 else [(0, count // 2), (count // 2, count)]
            for start, end in cuts:
                streams = [Stream({k: tuple(t[start:end] for t in v) for k, v in c.items()}) for c in (clean, marked)]
                self._groups.append((slice(rows.start + start, rows.start + end), streams[0], streams[1]))
        return len(self._groups) > len(groups)
