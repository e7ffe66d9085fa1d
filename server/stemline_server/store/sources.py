"""Media of the store as the engine side reads them: [channels, samples] of finite float32, any range."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence

import numpy as np

from stemline.clips import SampleRange
from stemline.errors import Code, MediaError
from stemline.media import AudioReader, BareFile, open_audio, read_bare
from stemline_server.engines.base import AudioSource, Waveform
from stemline_server.store.content import ContentStore
from stemline_server.store.media_table import MediaReference, MediaRow, MediaShape


class StoredSound:
    """A file of bare samples."""

    def __init__(self, file: BareFile, shape: MediaShape) -> None:
        self._file = file
        self.sample_rate = shape.sample_rate
        self.channels = shape.channels
        self.length_samples = shape.length_samples

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        """[channels, end-start]. Raises MediaError when the file is shorter than it was."""
        block = read_bare(self._file, start_sample, self.channels, end_sample - start_sample)
        if block is None:
            raise MediaError("A sound in the server's store is damaged.", advice="Run it again: it will be made anew.")
        return _finite(block)


class ReferredSound:
    """A range of a file that belongs to somebody else."""

    def __init__(self, reader: AudioReader, wanted: SampleRange) -> None:
        self._reader = reader
        self._start_sample = wanted.start_sample
        self.sample_rate = reader.sample_rate
        self.channels = reader.channels
        self.length_samples = wanted.length

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        """[channels, end-start], counted from the start of the range."""
        return _finite(self._reader.read(self._start_sample + start_sample, self._start_sample + end_sample))


class Remainder:
    """A sound less others of the same shape: what a chain of prompts has left over."""

    def __init__(self, sound: AudioSource, taken: Sequence[AudioSource]) -> None:
        self._sound = sound
        self._taken = tuple(taken)
        self.sample_rate = sound.sample_rate
        self.channels = sound.channels
        self.length_samples = sound.length_samples

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        rest = self._sound.read(start_sample, end_sample).copy()
        for stem in self._taken:
            rest -= stem.read(start_sample, end_sample)
        return rest


class SoundOpener:
    """Opens any known media, from the store or from a file that still is what it was."""

    def __init__(self, store: ContentStore) -> None:
        self._store = store

    @contextlib.contextmanager
    def open(self, row: MediaRow, references: Sequence[MediaReference]) -> Iterator[AudioSource]:
        """Open the sound for a thread, which waits while a stored file is verified.

        Raises:
            MediaError: No copy of the sound is left (MEDIA_CHANGED, MEDIA_MISSING, MEDIA_UNKNOWN).
        """
        if self._store.verify(row):
            with self._store.path(row.name).open("rb") as file:
                yield StoredSound(file, row.shape)
            return
        reference = still_valid(references)
        with open_audio(reference.source) as reader:
            yield ReferredSound(reader, reference.range)

    def reader(
        self, reference: MediaReference, *, max_peak: float | None = None
    ) -> contextlib.AbstractContextManager[AudioReader]:
        return open_audio(reference.source, max_peak=max_peak)


def file_identity(path: str) -> str:
    """What tells one content of a file from another without reading it. Raises MediaError for what is no file."""
    try:
        facts = os.stat(path)  # noqa: PTH116 - a caller's own spelling of the path is kept
    except (OSError, ValueError) as error:
        raise MediaError(f"There is no file {path!r}.", code=Code.MEDIA_MISSING, advice="Relink the clip.") from error
    if not stat.S_ISREG(facts.st_mode):
        raise MediaError(f"{path!r} is not a file.", code=Code.MEDIA_UNREADABLE, advice="Give a media file.")
    return f"{facts.st_size}:{facts.st_mtime_ns}:{facts.st_dev}:{facts.st_ino}"


def still_valid(references: Sequence[MediaReference]) -> MediaReference:
    """The first reference whose file is the one that was hashed."""
    for reference in references:
        with contextlib.suppress(MediaError):
            if file_identity(reference.source.path) == reference.identity:
                return reference
    if not references:
        raise MediaError(
            "The server no longer holds that sound.", code=Code.MEDIA_UNKNOWN, advice="Send it again, or run it again."
        )
    file_identity(references[0].source.path)
    raise MediaError(
        f"{references[0].source.path!r} was changed after it was registered.",
        code=Code.MEDIA_CHANGED,
        advice="Run it again.",
    )


def _finite(block: Waveform) -> Waveform:
    return block if np.isfinite(block).all() else np.nan_to_num(block, posinf=0.0, neginf=0.0)
