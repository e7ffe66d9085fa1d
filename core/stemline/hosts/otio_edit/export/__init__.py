"""Results in formats of editors: a sequence of stems alone, or the whole edit where nothing of it gets lost."""

from stemline.hosts.otio_edit.export.rewriting import rewrite_edit
from stemline.hosts.otio_edit.export.stems import Exported, ExportRequest, export_stems

__all__ = ["ExportRequest", "Exported", "export_stems", "rewrite_edit"]
