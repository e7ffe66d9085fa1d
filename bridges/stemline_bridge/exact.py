"""Exact times as the protocol writes them: a `Fraction` of seconds as the text "num/den"."""

from __future__ import annotations

from fractions import Fraction


def to_exact(seconds: Fraction | int) -> str:
    """Fraction(1, 2) -> "1/2"."""
    value = Fraction(seconds)
    return f"{value.numerator}/{value.denominator}"


def from_exact(text: str) -> Fraction:
    """ "1/2" -> Fraction(1, 2). Raises ValueError for anything but "num/den"."""
    numerator, denominator = text.split("/")
    return Fraction(int(numerator), int(denominator))
