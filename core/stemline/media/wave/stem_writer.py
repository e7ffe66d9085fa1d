"""Writes stem files: streamed, never half there under their final name, never wrapped or clipped."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from stemline.files import output_errors
from stemline.media.samples import FloatBlock, SampleFormat
from stemline.media.wave.tags import StemTags
from stemline_bridge.atomic import part_path, put_in_place


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """How a stem file is written. `layout` is FFmpeg's name of the channel layout, empty for channels without names."""

    sample_format: SampleFormat
    sample_rate: int
    channels: int
    layout: str = ""


class StemWriter(ABC):
    """A stem file being written beside its place under a temporary name; it takes the final name on a clean exit.

    After that `audio_sha256` is the SHA-256 of its audio alone: the bytes of `data`, or FLAC's samples as 24-bit
    little-endian.
    """

    def __init__(self, path: Path, audio_format: AudioFormat, tags: StemTags) -> None:
        self.path, self.audio_format, self.tags = path, audio_format, tags
        self.length_samples = 0
        self.audio_sha256 = ""
        self._sha = hashlib.sha256()
        self._part = part_path(path)
        with output_errors(path):
            self._file: BinaryIO = self._part.open("x+b", buffering=0)
            try:
                self._begin()
            except BaseException:
                self._discard()
                raise

    def write(self, block: FloatBlock) -> None:
        """Takes the next samples, [channels, n]. BeyondFullScaleError where it must not clip; ValueError:
        not finite, another shape.
        """
        if block.ndim != 2 or block.shape[0] != self.audio_format.channels:
            raise ValueError(f"a block of shape {block.shape}, expected [{self.audio_format.channels}, n]")
        if block.shape[1] == 0:
            return
        with output_errors(self.path):
            self._put(block)
        self.length_samples += block.shape[1]

    @abstractmethod
    def _begin(self) -> None: ...

    @abstractmethod
    def _put(self, block: FloatBlock) -> None: ...

    @abstractmethod
    def _finish(self) -> None: ...

    def close(self) -> None:
        """Completes the file and gives it its name. OutputError when the disk is full or may not be written."""
        if self._file.closed:
            return
        try:
            with output_errors(self.path):
                self.audio_sha256 = self._sha.hexdigest()
                self._finish()
                self._file.close()
                put_in_place(self._part, self.path)
        except BaseException:
            self._discard()
            raise

    def discard(self) -> None:
        """Gives the file up; nothing stays on disk."""
        if not self._file.closed:
            self._discard()

    def _discard(self) -> None:
        self._file.close()
        self._part.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()


def coding_history(tags: StemTags, form: AudioFormat) -> str:
    """The history given, then the line for this file (EBU R98)."""
    mode = {1: "mono", 2: "stereo"}.get(form.channels, "multi")
    width = 32 if form.sample_format.is_float else 24
    own = f"A=PCM,F={form.sample_rate},W={width},M={mode},T=Stemline"
    return f"{tags.coding_history}\r\n{own}" if tags.coding_history else own


def stamped(metadata: Mapping[str, object], audio_sha256: str) -> dict[str, object]:
    """The metadata with the hash of the audio that it belongs to."""
    return {**metadata, "audio_sha256": audio_sha256}
