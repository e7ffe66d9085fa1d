"""Hook script `stemline_prepare_write`, for `pre_adapter_write`: what formats need that OTIO's adapters do not do.

For Final Cut 7 XML every clip gets an id of its own (equal clips are merged else), names and enabled flags are written,
and rates are made exact. Other formats are left alone. Attach it in your manifest.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import opentimelineio as otio

from stemline_otio.export.rewriting import prepare_fcp


def hook_function(in_timeline: otio.schema.Timeline, argument_map: Mapping[str, Any] | None = None) -> Any:
    """Return a prepared copy for .xml, else the timeline itself.

    `format` in the arguments replaces the file's suffix.
    """
    arguments = argument_map or {}
    kind = str(arguments.get("format") or PurePath(str(arguments.get("_filepath", ""))).suffix[1:]).lower()
    if kind != "xml" or not isinstance(in_timeline, otio.schema.Timeline):
        return in_timeline
    prepared = copy.deepcopy(in_timeline)
    prepare_fcp(prepared)
    return prepared
