"""Internal errors: one sentence for the user, and a file to report."""

from __future__ import annotations

import sys
import traceback
import uuid

from stemline.errors import StemlineError
from stemline.paths import cache_dir


def report_crash(error: Exception) -> StemlineError:
    """Write the traceback of an unexpected exception to a file and return an error that names the file.

    Where no file can be written, the traceback goes to stderr.
    """
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
    return StemlineError(f"Internal error ({type(error).__name__}).", advice=advice)
