"""Faults of Stemline's own: told in a sentence, with a file to report."""

from __future__ import annotations

import sys
import traceback
import uuid

from stemline.errors import StemlineError
from stemline.paths import cache_dir


def report_crash(error: Exception) -> StemlineError:
    """A fault of Stemline's own, its traceback kept in a file that the message names."""
    details = "".join(traceback.format_exception(error))
    path = cache_dir() / "faults" / f"{uuid.uuid4().hex[:8]}.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(details, encoding="utf-8", errors="backslashreplace")
    except OSError:
        sys.stderr.write(details)
        advice = "Report it with the lines above."
    else:
        advice = f"Report it with the file {path}."
    return StemlineError(f"Stemline failed in a way that was not foreseen ({type(error).__name__}).", advice=advice)
