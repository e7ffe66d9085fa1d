"""Media files: their streams, exact ranges of their sound, and stem files."""

from stemline.media.decode.audio_reader import MAX_PEAK, AudioReader, open_audio, open_stem
from stemline.media.decode.pcm_cache import PcmCache
from stemline.media.decode.probe import default_sample_format, media_facts, probe, source_within
from stemline.media.event_bounds import find_event_bounds
from stemline.media.loudness import Loudness, measure_loudness
from stemline.media.model import AudioStream, MediaInfo, SourceTimecode
from stemline.media.peaks import Overview, Peaks, peaks_of
from stemline.media.samples import BeyondFullScaleError, SampleFormat, interleaved, quantise
from stemline.media.stem_file import StemFile, read_tags
from stemline.media.wave.metadata import StemTags
from stemline.media.wave.pcm_f32 import SAMPLE_BYTES, MediaHasher, PcmFile, pcm_bytes, read_pcm
from stemline.media.wave.stem_writer import AudioFormat, StemWriter, check_channel_count, open_writer

__all__ = [
    "MAX_PEAK",
    "SAMPLE_BYTES",
    "AudioFormat",
    "AudioReader",
    "AudioStream",
    "BeyondFullScaleError",
    "Loudness",
    "MediaHasher",
    "MediaInfo",
    "Overview",
    "PcmCache",
    "PcmFile",
    "Peaks",
    "SampleFormat",
    "SourceTimecode",
    "StemFile",
    "StemTags",
    "StemWriter",
    "check_channel_count",
    "default_sample_format",
    "find_event_bounds",
    "interleaved",
    "measure_loudness",
    "media_facts",
    "open_audio",
    "open_stem",
    "open_writer",
    "pcm_bytes",
    "peaks_of",
    "probe",
    "quantise",
    "read_pcm",
    "read_tags",
    "source_within",
]
