# SPDX-License-Identifier: GPL-3.0-or-later
"""Translation of user-visible text outside Qt objects, which have `tr()`."""

from __future__ import annotations

from PyQt5.QtCore import QCoreApplication


def translate(context: str, text: str) -> str:
    """Return `text` in the language of the application's translators, or `text` itself without one.

    `context` is the name of the class or module that shows the text. Both are literals, so that `pylupdate5` finds
    them.
    """
    return QCoreApplication.translate(context, text)
