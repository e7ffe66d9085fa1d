"""Media files: what they hold, exact ranges of their sound, and stem files written and read back."""

from stemline.media.hashing import MediaHasher
from stemline.media.model import AudioStream, MediaInfo, SourceTimecode
from stemline.media.pcm_cache import PcmCache
from stemline.media.probing import media_facts, probe
from stemline.media.reading import AudioReader, open_audio
from stemline.media.samples import SampleFormat, fits, quantise
from stemline.media.stem_file import StemFile, read_tags
from stemline.media.stem_writer import AudioFormat, StemWriter
from stemline.media.tags import StemTags
from stemline.media.writing import open_writer

__all__ = [
    "AudioFormat",
    "AudioReader",
    "AudioStream",
    "MediaHasher",
    "MediaInfo",
    "PcmCache",
    "SampleFormat",
    "SourceTimecode",
    "StemFile",
    "StemTags",
    "StemWriter",
    "fits",
    "media_facts",
    "open_audio",
    "open_writer",
    "probe",
    "quantise",
    "read_tags",
]
