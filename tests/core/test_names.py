"""Names of stems and files preserve the user's words in every script."""

from __future__ import annotations

import unicodedata

import pytest

from stemline.errors import UsageError
from stemline.plan import safe_part
from stemline.prompts import clean_name, name_from_text

MARKED = ["हिन्दी", "ภาษาไทย", "தமிழ்", "עִבְרִית", "مُوسِيقَى", "Tiếng Việt", "ភាសាខ្មែរ"]


@pytest.mark.parametrize("words", MARKED)
def test_combining_marks_are_preserved(words: str) -> None:
    composed = unicodedata.normalize("NFC", words)
    assert clean_name(unicodedata.normalize("NFD", words)) == composed
    assert name_from_text(f"{words}!") == composed
    assert safe_part(f"{words}?!/") == composed.replace(" ", "-")


@pytest.mark.parametrize("name", ["a/b", "a\\b", "a:b", "a\u200bb", "a\x1bb", "a\u202eb", ".a"])
def test_characters_invalid_in_file_names_are_refused(name: str) -> None:
    with pytest.raises(UsageError):
        clean_name(name)


def test_a_run_of_other_characters_becomes_one_dash() -> None:
    assert safe_part("dog?! (close)") == "dog-close"
