"""OTIO edits as a host: any `opentimelineio` timeline in, the same with stem tracks out."""

from stemline_otio.dialect import Dialect
from stemline_otio.document import read_timeline
from stemline_otio.formats import ReadOptions, read_edit
from stemline_otio.host import OtioEdit, OtioTarget, open_edit
from stemline_otio.links import LinkRules

__all__ = ["Dialect", "LinkRules", "OtioEdit", "OtioTarget", "ReadOptions", "open_edit", "read_edit", "read_timeline"]
