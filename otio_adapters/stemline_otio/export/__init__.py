"""Results in formats of editors: a sequence of stems alone, or the whole edit where nothing of it gets lost."""

from stemline_otio.export.rewriting import LossyFormatError, rewrite_edit
from stemline_otio.export.sequence import frame_rate_of_edit
from stemline_otio.export.stems import Exported, ExportRequest, export_stems, export_waves
from stemline_otio.export.waves import WaveOptions, check_names

__all__ = [
    "ExportRequest",
    "Exported",
    "LossyFormatError",
    "WaveOptions",
    "check_names",
    "export_stems",
    "export_waves",
    "frame_rate_of_edit",
    "rewrite_edit",
]
