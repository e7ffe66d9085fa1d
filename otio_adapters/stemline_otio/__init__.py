"""OTIO edits as a host: any `opentimelineio` timeline in, the same with stem tracks out.

The names below load on first use, so that the host's description can be read without OpenTimelineIO.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stemline_otio.dialect import Dialect
    from stemline_otio.document import read_timeline
    from stemline_otio.formats import ReadOptions, read_edit
    from stemline_otio.host import OtioEdit, OtioTarget, open_edit
    from stemline_otio.links import LinkRules

__all__ = ["Dialect", "LinkRules", "OtioEdit", "OtioTarget", "ReadOptions", "open_edit", "read_edit", "read_timeline"]

_MODULES = {
    "Dialect": "dialect",
    "LinkRules": "links",
    "OtioEdit": "host",
    "OtioTarget": "host",
    "ReadOptions": "formats",
    "open_edit": "host",
    "read_edit": "formats",
    "read_timeline": "document",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
