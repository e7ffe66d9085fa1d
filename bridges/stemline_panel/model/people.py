# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a prompt asks for the voice of one person."""

from __future__ import annotations

import re

_SOUNDS = "voice|speech|vocals|singing|laughter|scream|lines|dialogue"
_GENERAL = frozenset((
    "a", "an", "the", "any", "some", "all", "one", "two", "people", "men", "women", "children", "man", "woman", "boy",
    "girl", "child", "baby", "crowd", "speaker", "singer", "narrator", "announcer", "actor", "actress", "everyone",
    "someone", "god", "male", "female",
))  # fmt: skip
_OF = re.compile(rf"\b(?:{_SOUNDS}) of (\w+)", re.IGNORECASE)
_OWNED = re.compile(rf"\b(\w+)['\u2019]s? (?:{_SOUNDS})\b", re.IGNORECASE)
_TITLED = re.compile(r"\b(?:mr|mrs|ms|dr|prof|president|senator|minister)\.? (\w+)", re.IGNORECASE)
_SAYING = re.compile(r"\b([A-Z]\w+) (?:speaking|talking|singing|shouting|laughing|crying)\b")


def names_person(text: str) -> bool:
    """Return whether a prompt probably names one person. Nothing is looked up, and no sound is compared."""
    found = (match[1] for pattern in (_OF, _OWNED, _TITLED, _SAYING) for match in pattern.finditer(text))
    return any(word.casefold() not in _GENERAL for word in found)
