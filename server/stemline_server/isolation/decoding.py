"""Decodes media files in separate processes, which reach no network and no files except the media folders."""

from __future__ import annotations

import contextlib
import os
import queue
import tempfile
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stemline.clips import SampleRange
from stemline.errors import Cancelled, Code, MediaError
from stemline.files import printable
from stemline.media import AudioReader
from stemline.paths import cache_dir
from stemline_server.engines.base import AudioSource, Control, Waveform
from stemline_server.isolation.conversation import Unwatched
from stemline_server.isolation.memory import Limits
from stemline_server.isolation.models import ModelCache
from stemline_server.isolation.process import EngineProcess
from stemline_server.isolation.work import EngineDeath, Json
from stemline_server.pipeline.task import Sink
from stemline_server.store.media_roots import MediaRoots
from stemline_server.store.media_table import MediaReference
from stemline_server.store.sources import opened_reference

_LIMITS = Limits(silence_s=300.0, memory_bytes=3 << 30)
_LONGEST_S = 300.0  # of one piece: the index of a file of many hours on a slow disk takes minutes
_MOST_PROCESSES = 4
_ATTEMPTS = 2
_OPEN_FILES = 8  # of a process
_BLOCK_SAMPLES = 1 << 17


@dataclass(frozen=True, slots=True)
class Decoding:
    """A piece of a media file, as work for the process of a decoder.

    Attributes:
        reference: The file; its range does not matter.
        roots: Folders in which it must lie; None for any.
        max_peak: As `open_audio` takes it.
        piece: Samples to write to the sink. An empty piece opens the file and checks its identity.
    """

    reference: MediaReference
    roots: tuple[Path, ...] | None
    max_peak: float | None
    piece: SampleRange

    @property
    def audio(self) -> Sequence[AudioSource]:
        """Return no sounds of the server."""
        return ()

    def run(self, models: ModelCache, control: Control, sinks: Sequence[Sink]) -> Json:
        """Write the piece, and return the sample rate, the channels and the length. Raises InputError, MediaError."""
        key = replace(self, piece=SampleRange(0, 0))
        if self.piece.length == 0:
            _FILES.close(key)
        reader = _FILES.reader(key)
        try:
            for block in reader.blocks(self.piece.start_sample, self.piece.end_sample, _BLOCK_SAMPLES):
                control.step(0, 1)
                sinks[0].write(block)
        except BaseException:
            _FILES.close(key)
            raise
        return [reader.sample_rate, reader.channels, reader.length_samples]


class _OpenFiles:
    """The files that the process of a decoder has open, those used last."""

    def __init__(self) -> None:
        self._roots: dict[tuple[Path, ...] | None, MediaRoots] = {}
        self._open: OrderedDict[Decoding, tuple[AudioReader, contextlib.ExitStack]] = OrderedDict()

    def reader(self, key: Decoding) -> AudioReader:
        """Return the reader of a file, opened where it is not. Raises InputError, MediaError."""
        if key not in self._open:
            while len(self._open) >= _OPEN_FILES:
                self.close(next(iter(self._open)))
            roots = self._roots.setdefault(key.roots, MediaRoots(key.roots))
            stack = contextlib.ExitStack()
            reader = stack.enter_context(opened_reference(roots, key.reference, key.max_peak))
            self._open[key] = reader, stack
        self._open.move_to_end(key)
        return self._open[key][0]

    def close(self, key: Decoding) -> None:
        """Close a file, if it is open."""
        _, stack = self._open.pop(key, (None, contextlib.ExitStack()))
        stack.close()


_FILES = _OpenFiles()


class Decoders:
    """Processes that decode media files of the callers of a server. For any thread."""

    def __init__(self, folder: Path, roots: Sequence[Path]) -> None:
        """Decode files in `roots`; logs go to `folder`. Processes start when they are needed."""
        self._roots = tuple(roots)
        self._links = tempfile.TemporaryDirectory(prefix="stemline-decoder-")
        cache = cache_dir() / "pcm"
        cache.mkdir(parents=True, exist_ok=True)
        writable = os.pathsep.join((self._links.name, str(cache)))
        files = (writable, *(str(root.resolve()) for root in roots))
        count = min(_MOST_PROCESSES, os.cpu_count() or 1)
        self._processes = [
            EngineProcess("cpu", folder, _LIMITS, f"decoder-{number}", files) for number in range(1, count + 1)
        ]
        self._free: queue.LifoQueue[EngineProcess] = queue.LifoQueue()
        for process in reversed(self._processes):
            self._free.put(process)
        self._processes[0].start()

    @contextlib.contextmanager
    def open(self, reference: MediaReference, max_peak: float | None = None) -> Iterator[DecodedFile]:
        """Open all of the sound that a range is part of.

        Raises:
            InputError: The file lies outside the media roots (PATH_NOT_ALLOWED).
            MediaError: It can't be read, was changed, or has a sample above `max_peak` (MEDIA_PEAK_TOO_HIGH).
        """
        yield DecodedFile(self, Decoding(reference, self._roots, max_peak, SampleRange(0, 0)))

    def decode(self, work: Decoding, channels: int = 0) -> tuple[list[int], Waveform]:
        """Do a piece of work whose sound has so many channels, and return what `Decoding.run` does, and the sound.

        Raises as `open`. A file is blamed for the end of its process at the second time.
        """
        for _ in range(_ATTEMPTS):
            blocks = _Blocks(work, channels)
            process = self._free.get()
            try:
                facts = process.run(work, _TimeLimit(), (blocks,), Path(self._links.name))
            except EngineDeath:
                continue
            except Cancelled as error:
                raise _undecodable(work, f"was not decoded in {_LONGEST_S:g} s") from error
            finally:
                self._free.put(process)
            if isinstance(facts, list) and len(facts) == 3 and all(isinstance(each, int) for each in facts):
                return [each for each in facts if isinstance(each, int)], blocks.whole()
            break
        raise _undecodable(work, "ended the process that decodes it")

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.kill()
            process.close()
        self._links.cleanup()


class DecodedFile:
    """The sound of a file that a separate process decodes.

    Attributes:
        sample_rate: Samples per second.
        channels: Number of channels that are read.
        length_samples: Samples of each channel.
    """

    def __init__(self, decoders: Decoders, work: Decoding) -> None:
        """Open the file. Raises as `Decoders.open`."""
        self._decoders = decoders
        self._work = work
        self.sample_rate, self.channels, self.length_samples = decoders.decode(work)[0]

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        """Return samples [start, end) as float32 [channels, n]. Raises MediaError."""
        work = replace(self._work, piece=SampleRange(start_sample, end_sample))
        return self._decoders.decode(work, self.channels)[1]


class _Blocks:
    """Collects the blocks of a piece. Raises MediaError where they do not fit."""

    def __init__(self, work: Decoding, channels: int) -> None:
        self._work = work
        self._sound = np.zeros((channels, work.piece.length), np.float32)
        self._done = 0

    def write(self, block: Waveform) -> None:
        end = self._done + block.shape[1]
        if block.shape[0] != self._sound.shape[0] or end > self._sound.shape[1]:
            raise _undecodable(self._work, "decodes to another length or number of channels than before")
        self._sound[:, self._done : end] = block
        self._done = end

    def whole(self) -> Waveform:
        if self._done != self._sound.shape[1]:
            raise _undecodable(self._work, "decodes to fewer samples than before")
        return self._sound


class _TimeLimit(Unwatched):
    """The control of one piece of work."""

    def __init__(self) -> None:
        self._end_s = time.monotonic() + _LONGEST_S

    @property
    def is_stopped(self) -> bool:
        """Return whether the piece takes too long."""
        return time.monotonic() > self._end_s


def _undecodable(work: Decoding, why: str) -> MediaError:
    return MediaError(
        f"{printable(work.reference.source.path)} {why}.",
        code=Code.MEDIA_UNREADABLE,
        advice="Convert it, or export it again.",
    )
