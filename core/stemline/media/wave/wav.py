"""Writes Broadcast Wave stems: 24-bit PCM or 32-bit float, RF64 where they pass 4 GiB."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stemline.media.samples import FloatBlock, pack_int24, to_int24
from stemline.media.wave import riff
from stemline.media.wave.bext import encode_bext
from stemline.media.wave.ixml import encode_ixml
from stemline.media.wave.pcm_f32 import bare_bytes
from stemline.media.wave.stem_writer import AudioFormat, StemWriter, coding_history, stamped
from stemline.media.wave.tags import StemTags


class WavWriter(StemWriter):
    """Broadcast Wave; RF64 when it passes `riff_limit` bytes."""

    def __init__(
        self, path: Path, audio_format: AudioFormat, tags: StemTags, riff_limit: int = riff.RIFF_LIMIT
    ) -> None:
        self._limit = riff_limit
        super().__init__(path, audio_format, tags)

    def _begin(self) -> None:
        form = self.audio_format
        self._send(riff.riff_head((0, 0, 0)))
        self._send(riff.chunk(b"bext", encode_bext(self.tags, coding_history(self.tags, form))))
        self._send(riff.chunk(b"fmt ", riff.fmt_body(form.sample_format, form.sample_rate, form.channels, form.layout)))
        if form.sample_format.is_float:
            self._fact_offset = self._file.tell() + 8
            self._send(riff.chunk(b"fact", bytes(4)))
        self._data_offset = self._file.tell()
        self._send(riff.data_head(0, is_rf64=False))

    def _put(self, block: FloatBlock) -> None:
        if self.audio_format.sample_format.is_float:
            if not np.isfinite(block).all():
                raise ValueError("samples that are not finite cannot be written")
            data = bare_bytes(block)
        else:
            data = pack_int24(to_int24(block))
        self._sha.update(data)
        self._send(data)

    def _finish(self) -> None:
        form = self.audio_format
        data_size = self._file.tell() - self._data_offset - 8
        self._send(b"\0" * (data_size & 1))
        metadata = stamped(self.tags.metadata, self.audio_sha256)
        self._send(riff.chunk(b"iXML", encode_ixml(self.tags, form.sample_rate, form.channels, metadata)))
        sizes = (self._file.tell() - 8, data_size, self.length_samples)
        head = riff.riff_head(sizes, self._limit)
        self._file.seek(0)
        self._send(head)
        self._file.seek(self._data_offset)
        self._send(riff.data_head(data_size, is_rf64=head.startswith(b"RF64")))
        if form.sample_format.is_float:
            self._file.seek(self._fact_offset)
            self._send(min(self.length_samples, 0xFFFFFFFF).to_bytes(4, "little"))

    def _send(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
