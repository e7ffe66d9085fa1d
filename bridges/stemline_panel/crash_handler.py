# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to an exception that nobody caught: Qt would end the process with the user's work in it."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable
from types import TracebackType

from stemline.crash_reports import report_crash

_log = logging.getLogger(__name__)


def install_crash_handler(tell: Callable[[str], object]) -> None:
    """From here on a fault inside is logged, kept in a file and told in a sentence that names it, each fault once; the
    window lives on.
    """
    seen: set[str] = set()

    def caught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not isinstance(error, Exception):
            sys.__excepthook__(kind, error, trace)
            return
        details = "".join(traceback.format_exception(kind, error, trace))
        if details not in seen:
            seen.add(details)
            _log.error("a fault inside\n%s", details)
            tell(str(report_crash(error)))

    sys.excepthook = caught
