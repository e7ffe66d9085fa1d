"""Prompts that say what to do with a sound ("remove the rain"). The stem is the sound itself, whatever they say."""

from __future__ import annotations

import re

ORDER = re.compile(
    r"^(?:please |can you |could you |i want to |i want |just |only )*"
    r"(?:(?:remove|isolate|extract|separate|keep|delete|mute|solo|reduce|suppress|clean up|clean|get rid of|"
    r"take out|pull out|take away|get|give me|find|hear|filter out|cut|cut out) )?(?:out |away |only |just )*"
)
"""What goes before the sound, in lower-case words that each end with a blank."""
_REMOVAL = re.compile(
    r"^(?:please |can you |could you |i want to |just )*"
    r"(?:remove|delete|mute|kill|reduce|suppress|get rid of|take out|take away|filter out|cut out|turn down) "
)
_ARTICLE = re.compile(r"^(?:the|a|an) ")


def sound_in(text: str) -> str:
    """The prompt without what it says to do: "Remove the rain" -> "rain". All of it where nothing else is left."""
    words = " ".join(text.split())
    order = ORDER.match(f"{words} ".lower())
    rest = words[order.end() :] if order else words
    article = _ARTICLE.match(rest.lower())
    return rest[article.end() :] if article else rest or words


def asks_to_remove(text: str) -> bool:
    """Whether it is the sound that is not wanted: then the residual is the result."""
    return _REMOVAL.match(f"{' '.join(text.split())} ".lower()) is not None
