"""Find where a removed sound is active and where the room alone is audible, and fade between recording and fill."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from stemline.clips import SampleRange, merge_spans
from stemline.media.samples import FloatBlock

FRAME_S = 0.02
_MARGIN = 10.0**1.2  # a removed stem 12 dB below the residual is inaudible in it
_TRACE = 10.0**2.4  # next to an active stretch, 24 dB below is a trace of what the model missed
_FAINT = 10.0**3.2  # where the residual is louder than the room, 32 dB below it is a trace, too
_BROKEN_FRAMES = 5
_LOST_S = 1.5  # between two words, a longer time in which the residual is loud is no lost word
_LOST_SHARE = 0.3
_LOUDER = 10.0**0.6
_JOIN_S = 0.25  # between two words the room is not heard by itself
_ENOUGH_S = 2.0  # of pieces without a trace; with less, pieces with traces count
_SILENCE = 1e-10  # mean square of -100 dBFS: below it there is no room to learn from
_ERODE_FRAMES = 2
_EDGE_S = 0.05  # next to cuts and fades of the clip
_MIN_PIECE_S = 0.16
_LEVEL_PIECE_S = 1.0  # longer quiet stretches are judged second by second
_LOUD = 10.0  # mean square: pieces 10 dB above the quietest quarter are events, not room tone

_SOFT = 10.0**1.2  # pieces 12 dB below the median are fades or a gate, not room tone

FADE_S = 0.1

_Flags = npt.NDArray[np.bool_]


class ActivityMeter:
    """Compare removed stems with the residual in frames of 20 ms.

    Memory: 16 bytes for each frame.

    Args:
        sample_rate: Samples per second of both sounds.
    """

    def __init__(self, sample_rate: int) -> None:
        self._frame = max(1, round(sample_rate * FRAME_S))
        self._rate = sample_rate
        self._length = 0
        self._rest: tuple[FloatBlock, FloatBlock] | None = None
        self._energies: list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]] = []

    def feed(self, removed: FloatBlock, residual: FloatBlock) -> None:
        """Measure the next block of the sum of the removed stems and of the residual, each [channels, samples]."""
        self._length += residual.shape[1]
        if self._rest is not None:
            removed = np.concatenate([self._rest[0], removed], axis=1)
            residual = np.concatenate([self._rest[1], residual], axis=1)
        whole = residual.shape[1] // self._frame * self._frame
        self._rest = (removed[:, whole:].copy(), residual[:, whole:].copy())
        if whole:
            self._energies.append((self._mean_squares(removed[:, :whole]), self._mean_squares(residual[:, :whole])))

    def _mean_squares(self, block: FloatBlock) -> npt.NDArray[np.float64]:
        frames = block.reshape(block.shape[0], -1, self._frame)
        energies: npt.NDArray[np.float64] = np.einsum("cfs,cfs->f", frames, frames, dtype=np.float64)
        energies /= block.shape[0] * self._frame
        return energies

    def _levels(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        if not self._energies:
            return np.zeros(0), np.zeros(0)
        return np.concatenate([pair[0] for pair in self._energies]), np.concatenate(
            [pair[1] for pair in self._energies]
        )

    def active_spans(self) -> tuple[SampleRange, ...]:
        """Return where the removed sound is active, widened by 40 ms on both sides.

        That is where it is less than 12 dB below the residual, on to where it is 24 dB below it, or 32 dB where the
        residual is 6 dB louder than the room: a model that loses a sound leaves the rest of it in the residual.
        Stretches less than 250 ms apart are one. So are those up to 1.5 s apart between which the residual is 6 dB
        louder than the room for 30 % of the time: the model lost a word there.
        """
        removed, residual = self._levels()
        heard = removed > _SILENCE
        active = (removed > residual / _MARGIN) & heard
        traced = (removed > residual / _TRACE) & heard
        loud = residual > _LOUDER * self._room_level(residual)
        traced |= (removed > residual / _FAINT) & heard & loud
        for (_, end), (start, _) in pairwise(list(_runs(traced & loud))):
            if start - end <= _BROKEN_FRAMES:
                traced[end:start] = True
        spans = [
            self._samples(start - _ERODE_FRAMES, end + _ERODE_FRAMES)
            for start, end in _runs(traced)
            if active[start:end].any()
        ]
        joined = merge_spans(spans, round(_JOIN_S * self._rate))
        lost = [
            SampleRange(before.end_sample, after.start_sample)
            for before, after in pairwise(joined)
            if after.start_sample - before.end_sample <= _LOST_S * self._rate
            and loud[before.end_sample // self._frame : after.start_sample // self._frame].mean() > _LOST_SHARE
        ]
        return merge_spans([*joined, *lost])

    def _room_level(self, residual: npt.NDArray[np.float64]) -> float:
        """Return the median mean square of the frames of the undisturbed room; infinity where there are none."""
        quiet = [
            residual[piece.start_sample // self._frame : piece.end_sample // self._frame]
            for piece in self.quiet_pieces()
        ]
        return float(np.median(np.concatenate(quiet))) if quiet else np.inf

    def quiet_pieces(self) -> tuple[SampleRange, ...]:
        """Return where the residual is the undisturbed room: at least 160 ms long, without loud single events.

        The removed sound is 24 dB below the residual there, or 12 dB where that gives less than two seconds.
        """
        for margin in (_TRACE, _MARGIN):
            pieces = self._pieces_below(margin)
            if sum(piece.length for piece in pieces) >= _ENOUGH_S * self._rate:
                break
        return pieces

    def _pieces_below(self, margin: float) -> tuple[SampleRange, ...]:
        removed, residual = self._levels()
        quiet = (removed <= residual / margin) & (residual > _SILENCE)
        edge = int(np.ceil(_EDGE_S / FRAME_S))
        quiet[:edge] = False
        quiet[max(len(quiet) - edge, 0) :] = False
        shortest = int(np.ceil(_MIN_PIECE_S / FRAME_S))
        pieces: list[tuple[int, int]] = []
        for start, end in _runs(quiet):
            # The edges that do not touch the removed sound lost their margin above.
            inner = (start + _ERODE_FRAMES, end - _ERODE_FRAMES)
            if inner[1] - inner[0] >= shortest:
                pieces.extend(_split(*inner, round(_LEVEL_PIECE_S / FRAME_S), shortest))
        if not pieces:
            return ()
        levels = np.array([residual[start:end].mean() for start, end in pieces])
        lengths = np.array([end - start for start, end in pieces])
        loudest = _LOUD * _level_below(levels, lengths, 0.25)
        softest = _level_below(levels, lengths, 0.5) / _SOFT
        chosen = (levels <= loudest) & (levels >= min(softest, loudest))
        kept = [self._samples(*piece) for piece, keep in zip(pieces, chosen, strict=True) if keep]
        return merge_spans(kept)

    def _samples(self, start_frame: int, end_frame: int) -> SampleRange:
        end = self._length if end_frame * self._frame >= self._length else end_frame * self._frame
        return SampleRange(max(start_frame, 0) * self._frame, end)


def fill_gains(
    spans: Sequence[SampleRange], start_sample: int, end_sample: int, sample_rate: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the gains of the fill and of the recording under it for samples [start, end).

    Inside a span the fill has gain 1 and the recording 0. Outside, both cross at equal power within 100 ms, so that the
    squares of the two gains add up to 1 at every sample.

    Args:
        spans: Where the fill replaces the recording, in order, without overlaps.
        start_sample: First sample.
        end_sample: The sample after the last.
        sample_rate: Samples per second.
    """
    fade = max(1, round(FADE_S * sample_rate))
    share = np.zeros(end_sample - start_sample)
    at = np.arange(start_sample, end_sample)
    for span in spans:
        if span.end_sample + fade <= start_sample or span.start_sample - fade >= end_sample:
            continue
        distance = np.maximum(np.maximum(span.start_sample - at, at - (span.end_sample - 1)), 0)
        np.maximum(share, 1 - np.minimum(distance / fade, 1), out=share)
    angle = share * (np.pi / 2)
    return np.sin(angle).astype(np.float32), np.cos(angle).astype(np.float32)


def _runs(flags: _Flags) -> Iterator[tuple[int, int]]:
    """Yield the half-open runs of true flags."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(np.int8), [0]))))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _split(start: int, end: int, longest: int, shortest: int) -> Iterator[tuple[int, int]]:
    """Cut a run into equal parts of at most `longest` frames, none below `shortest`."""
    count = max(1, min(-(-(end - start) // longest), (end - start) // shortest))
    for number in range(count):
        yield start + (end - start) * number // count, start + (end - start) * (number + 1) // count


def _level_below(levels: npt.NDArray[np.float64], lengths: npt.NDArray[np.int_], share: float) -> float:
    """Return the level below which a share of the time lies."""
    order = np.argsort(levels)
    position = np.searchsorted(np.cumsum(lengths[order]), lengths.sum() * share)
    return float(levels[order[position]])
