"""Media of the store as engines read them: [channels, samples] of finite float32, any range."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from stemline.clips import SampleRange
from stemline.errors import Code, MediaError
from stemline.media import AudioReader, open_audio, read_pcm
from stemline.media.pictures.picture_track import PictureTrack
from stemline_server.engines.base import AudioSource, Waveform
from stemline_server.store.media_roots import MediaRoots, file_identity
from stemline_server.store.media_store import MediaStore
from stemline_server.store.media_table import MediaReference, MediaRow, MediaShape


class StoredSound:
    """A file of bare samples. Pickling keeps the path: the copy opens the file again."""

    def __init__(self, path: Path, shape: MediaShape) -> None:
        """Open the file at `path`, which holds a sound of that shape. Raises OSError."""
        self._path = path
        self._shape = shape
        self._file = path.open("rb")
        self.sample_rate = shape.sample_rate
        self.channels = shape.channels
        self.length_samples = shape.length_samples

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        """Return [channels, end-start]. Raises MediaError when the file is shorter than it was."""
        block = read_pcm(self._file, start_sample, self.channels, end_sample - start_sample)
        if block is None:
            raise MediaError("A sound in the server's store is damaged.", advice="Run it again.")
        return _finite(block)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __reduce__(self) -> tuple[type[StoredSound], tuple[Path, MediaShape]]:
        """Return how a copy is made."""
        return StoredSound, (self._path, self._shape)


class MediaReader(Protocol):
    """The sound of a media file."""

    sample_rate: int
    channels: int
    length_samples: int

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        """Return samples [start, end) as float32 [channels, n]. Raises MediaError."""
        ...


class Decoder(Protocol):
    """Opens media files elsewhere than in this process."""

    def open(
        self, reference: MediaReference, max_peak: float | None = None
    ) -> contextlib.AbstractContextManager[MediaReader]:
        """Open a file as `opened_reference` does."""
        ...


class ReferredSound:
    """A range of a file outside the store."""

    def __init__(self, reader: MediaReader, wanted: SampleRange) -> None:
        """Read the range `wanted` of a file that is open."""
        self._reader = reader
        self._start_sample = wanted.start_sample
        self.sample_rate = reader.sample_rate
        self.channels = reader.channels
        self.length_samples = wanted.length

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        """Return [channels, end-start], counted from the start of the range."""
        return _finite(self._reader.read(self._start_sample + start_sample, self._start_sample + end_sample))


class Remainder:
    """A sound less other sounds of the same shape, as the next prompt of a chain gets it."""

    def __init__(self, sound: AudioSource, taken: Sequence[AudioSource]) -> None:
        """Take `taken` off `sound`."""
        self._sound = sound
        self._taken = tuple(taken)
        self.sample_rate = sound.sample_rate
        self.channels = sound.channels
        self.length_samples = sound.length_samples

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        """Return [channels, end-start]."""
        rest = self._sound.read(start_sample, end_sample).copy()
        for stem in self._taken:
            rest -= stem.read(start_sample, end_sample)
        return rest


class SoundOpener:
    """Opens any known media, from the store or from an unchanged file."""

    def __init__(self, store: MediaStore, roots: MediaRoots | None = None, decoder: Decoder | None = None) -> None:
        """Open media of `store`, and files that `roots` admits (None: all), with `decoder` if there is one."""
        self._store = store
        self._decoder = decoder
        self.roots = roots or MediaRoots(None)

    @contextlib.contextmanager
    def open(self, row: MediaRow, references: Sequence[MediaReference]) -> Iterator[AudioSource]:
        """Open the sound for a thread, which waits while a stored file is verified.

        Raises:
            InputError: The file lies outside the media roots now (PATH_NOT_ALLOWED).
            MediaError: No copy of the sound is left (MEDIA_CHANGED, MEDIA_MISSING, MEDIA_UNKNOWN), or it is a picture
                track (MEDIA_NO_AUDIO).
        """
        if row.shape.is_pictures:
            raise MediaError(
                "A picture track holds no sound.", code=Code.MEDIA_NO_AUDIO, advice="Name it as the mask of a prompt."
            )
        if self._store.verify(row):
            with contextlib.closing(StoredSound(self._store.path(row.name), row.shape)) as stored:
                yield stored
            return
        reference = still_valid(references)
        with self._reader(reference) as reader:
            yield ReferredSound(reader, reference.range)

    def open_pictures(self, row: MediaRow) -> PictureTrack:
        """Open a picture track for a thread, which waits while the file is verified.

        Raises:
            MediaError: It is gone or damaged (MEDIA_UNKNOWN).
        """
        if not self._store.verify(row):
            raise MediaError(
                "The server no longer holds those pictures.", code=Code.MEDIA_UNKNOWN, advice="Run it again."
            )
        return PictureTrack(self._store.path(row.name))

    @contextlib.contextmanager
    def reader(self, reference: MediaReference, *, max_peak: float | None = None) -> Iterator[MediaReader]:
        """Open all of the sound that a range is part of, from the file of the reference's identity.

        Raises:
            InputError: The file lies outside the media roots (PATH_NOT_ALLOWED).
            MediaError: The file can't be read, was changed, or has a sample above `max_peak` (MEDIA_PEAK_TOO_HIGH).
        """
        with self._reader(reference, max_peak) as reader:
            yield reader

    @contextlib.contextmanager
    def _reader(self, reference: MediaReference, max_peak: float | None = None) -> Iterator[MediaReader]:
        """Open a file, in a separate process where there is a decoder."""
        opened = self._decoder.open if self._decoder is not None else partial(opened_reference, self.roots)
        with opened(reference, max_peak) as reader:
            yield reader


@contextlib.contextmanager
def opened_reference(
    roots: MediaRoots, reference: MediaReference, max_peak: float | None = None
) -> Iterator[AudioReader]:
    """Open all of the sound that a range is part of, from the file of the reference's identity.

    Raises:
        InputError: The file lies outside `roots` (PATH_NOT_ALLOWED).
        MediaError: The file can't be read, was changed, or has a sample above `max_peak` (MEDIA_PEAK_TOO_HIGH).
    """
    with roots.opened(reference.source.path) as path:
        if file_identity(path) != reference.identity:
            raise _changed(reference.source.path)
        with open_audio(replace(reference.source, path=path), max_peak=max_peak) as reader:
            yield reader


def still_valid(references: Sequence[MediaReference]) -> MediaReference:
    """Return the first reference whose file is the one that was hashed.

    Raises:
        MediaError: There is none (MEDIA_UNKNOWN, MEDIA_MISSING, MEDIA_CHANGED).
    """
    for reference in references:
        with contextlib.suppress(MediaError):
            if file_identity(reference.source.path) == reference.identity:
                return reference
    if not references:
        raise MediaError(
            "The server no longer holds that sound.", code=Code.MEDIA_UNKNOWN, advice="Send it again, or run it again."
        )
    file_identity(references[0].source.path)
    raise _changed(references[0].source.path)


def _changed(path: str) -> MediaError:
    return MediaError(f"{path!r} was changed after it was registered.", code=Code.MEDIA_CHANGED, advice="Run it again.")


def _finite(block: Waveform) -> Waveform:
    return block if np.isfinite(block).all() else np.nan_to_num(block, posinf=0.0, neginf=0.0)
