"""Values that users choose from, spelled the same in commands, settings and messages."""

from __future__ import annotations

from stemline.errors import UsageError

QUALITIES = ("fast", "standard", "best")
CHANNELS = ("linked", "each", "mono")
FORMATS = ("wav24", "wav32f", "flac")
PLAYS = ("all", "stem", "residual")
FILL_PLACES = ("auto", "onset", "span", "clip")
MAX_TAKES = 8
RECORD_PATHS = ("name", "full", "omit")
RECORD_WORDS = ("full", "hash", "omit")
SIGN = ("auto", "never", "require")
C2PA = ("auto", "never", "require")
MARK = ("auto", "never")
REQUIRE = ("signed", "trusted")
MAX_SEED = (1 << 64) - 1
MAX_PRIORITY = 1_000_000
MAX_SPANS = 1000
MAX_REASON = 500
MAX_HANDLE_S = 600


def check_choice(name: str, chosen: str | None, choices: tuple[str | None, ...]) -> None:
    """Raise UsageError unless `chosen` is one of `choices`."""
    if chosen not in choices:
        raise UsageError(f"{name} must be one of {', '.join(filter(None, choices))}, not {chosen!r}.")
