"""OTIO edits as a host: any `opentimelineio` timeline in, the same with stem tracks out."""

from stemline.hosts.otio_edit.dialect import Dialect
from stemline.hosts.otio_edit.document import read_timeline
from stemline.hosts.otio_edit.formats import ReadOptions, read_edit
from stemline.hosts.otio_edit.host import OtioEdit, OtioTarget, open_edit
from stemline.hosts.otio_edit.links import LinkRules

__all__ = ["Dialect", "LinkRules", "OtioEdit", "OtioTarget", "ReadOptions", "open_edit", "read_edit", "read_timeline"]
