"""Which signs are letters, in every script."""

import unicodedata


def is_letter(sign: str) -> bool:
    """A letter, a digit, or a mark that belongs to one: without its marks a word of many scripts is no word."""
    return sign.isalnum() or unicodedata.category(sign) in ("Mn", "Mc")
