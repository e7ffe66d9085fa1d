"""Opens the writer of a stem file for its format."""

from __future__ import annotations

from pathlib import Path

from stemline.errors import UsageError
from stemline.media.samples import SampleFormat
from stemline.media.wave.flac import FlacWriter
from stemline.media.wave.stem_writer import AudioFormat, StemWriter
from stemline.media.wave.tags import StemTags
from stemline.media.wave.wav import WavWriter

_MAX_CHANNELS = {SampleFormat.FLAC: 8, SampleFormat.WAV24: 256, SampleFormat.WAV32F: 256}


def open_writer(path: str | Path, audio_format: AudioFormat, tags: StemTags | None = None) -> StemWriter:
    """Begins a stem file; one of that name is replaced, once this is complete. Raises OutputError, UsageError."""
    if not 1 <= audio_format.channels <= _MAX_CHANNELS[audio_format.sample_format]:
        raise UsageError(
            f"{audio_format.sample_format} cannot hold {audio_format.channels} channels.", advice="Use wav24 or wav32f."
        )
    kind = FlacWriter if audio_format.sample_format is SampleFormat.FLAC else WavWriter
    return kind(Path(path), audio_format, tags or StemTags())
