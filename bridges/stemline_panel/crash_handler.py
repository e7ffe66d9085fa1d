# SPDX-License-Identifier: GPL-3.0-or-later
"""Handling of uncaught exceptions, for which Qt would end the process and lose the user's work."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable
from types import TracebackType

from stemline.crash_reports import report_crash

_log = logging.getLogger(__name__)


def install_crash_handler(show: Callable[[str], object]) -> None:
    """Log every uncaught exception, write a report file, and pass a sentence that names the file to `show`.

    Each exception is reported once. The window goes on.
    """
    seen: set[str] = set()

    def handle(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not isinstance(error, Exception):
            sys.__excepthook__(kind, error, trace)
            return
        details = "".join(traceback.format_exception(kind, error, trace))
        if details not in seen:
            seen.add(details)
            _log.error("Uncaught exception\n%s", details)
            show(str(report_crash(error)))

    sys.excepthook = handle
