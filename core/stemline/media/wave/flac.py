"""Writes 24-bit FLAC stems through FFmpeg's encoder."""

from __future__ import annotations

import secrets

import av

from stemline.media.samples import FloatBlock, pack_int24, to_int24
from stemline.media.wave.ixml import encode_ixml
from stemline.media.wave.stem_writer import StemWriter, coding_history, stamped

_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}  # RFC 9639, 9.1.3


class FlacWriter(StemWriter):
    """24-bit FLAC. What `bext` and `iXML` say in a WAVE file stands in its Vorbis comments."""

    def _begin(self) -> None:
        form = self.audio_format
        self._placeholder = secrets.token_hex(32)  # as long as the hash, which is known only at the end
        self._container = av.open(self._file, "w", format="flac")
        self._container.metadata.update(self._comments())
        self._stream = self._container.add_stream("flac", rate=form.sample_rate)
        self._stream.codec_context.format = "s32"
        self._stream.codec_context.layout = _LAYOUTS[form.channels]
        self._stream.codec_context.thread_count = 1

    def _comments(self) -> dict[str, str]:
        tags, form = self.tags, self.audio_format
        document = encode_ixml(
            tags, form.sample_rate, form.channels, stamped(tags.metadata, self._placeholder)
        ).decode()
        self._head_bytes = len(document.encode()) + 65_536 + 4 * (len(tags.description) + len(tags.coding_history))
        return {
            "description": tags.description,
            "originator_reference": tags.reference,
            "time_reference": str(tags.time_reference_sample),
            "coding_history": coding_history(tags, form),
            "ixml": document,
        }

    def _put(self, block: FloatBlock) -> None:
        samples = to_int24(block)
        self._sha.update(pack_int24(samples))
        frame = av.AudioFrame.from_ndarray(
            (samples << 8).reshape(1, -1), format="s32", layout=_LAYOUTS[self.audio_format.channels]
        )
        frame.sample_rate = self.audio_format.sample_rate
        frame.pts = self.length_samples
        self._container.mux(self._stream.encode(frame))

    def _finish(self) -> None:
        self._container.mux(self._stream.encode(None))
        self._container.close()
        self._file.seek(0)
        head = self._file.read(self._head_bytes)
        place = head.index(self._placeholder.encode())
        self._file.seek(place)
        self._file.write(self.audio_sha256.encode())
