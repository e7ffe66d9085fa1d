"""Hook script `stemline_path_map`: the same media under the paths of another machine.

Arguments: `path_map`, an object of FROM: TO. The longest FROM that begins a link is replaced; drives ignore case and
slashes are alike. Attach it in your manifest, to reading or writing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import opentimelineio as otio

from stemline_otio.links import mapped_link


def hook_function(in_timeline: otio.schema.Timeline, argument_map: Mapping[str, Any] | None = None) -> Any:
    """Map the external links of a timeline in place, and return it."""
    pairs = (argument_map or {}).get("path_map")
    if isinstance(pairs, Mapping) and isinstance(in_timeline, otio.schema.Timeline):
        longest_first = sorted(pairs.items(), key=lambda pair: -len(pair[0]))
        for clip in in_timeline.find_clips():
            for reference in clip.media_references().values():
                if isinstance(reference, otio.schema.ExternalReference) and reference.target_url:
                    reference.target_url = mapped_link(reference.target_url, longest_first)
    return in_timeline
