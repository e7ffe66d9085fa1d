"""Check that product code and documentation avoid phrases that are never right in plain English.

Usage: python scripts/check_words.py [PATH...]   (default: every tracked text file of the product)

Words with an ordinary meaning ("means", "kept") are not listed here: review decides about those. The list is
explained in CONTRIBUTING.md.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PHRASES = (
    "nobody",
    "whoever",
    "anew",
    "of ours",
    "told of",
    "tells of",
    "stands for",
    "stands in",
    "stands beside",
    "stand for",
    "stand in",
    "stand beside",
    "what is left",
)
SUFFIXES = {".py", ".md", ".proto", ".html", ".toml", ".sh", ".yml"}
EXEMPT = {"CONTRIBUTING.md", "CHANGELOG.md", "scripts/check_words.py"}
"""CONTRIBUTING lists the phrases; CHANGELOG records what earlier versions said."""

_PATTERN = re.compile(r"\b(" + "|".join(re.escape(phrase).replace(r"\ ", r"\s+") for phrase in PHRASES) + r")\b", re.I)


def tracked_files() -> Iterator[Path]:
    """Yield every tracked text file except those that are exempt."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    for name in listed.decode().split("\0"):
        if name and Path(name).suffix in SUFFIXES and name not in EXEMPT and "_pb2" not in name:
            yield ROOT / name


def findings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line number and the phrase of each finding in one file. Line breaks inside a phrase count as spaces."""
    text = path.read_text(encoding="utf-8")
    for match in _PATTERN.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, " ".join(match[0].split())


def main(arguments: list[str]) -> int:
    """Print each finding as PATH:LINE and return 1 if there is any."""
    files = [Path(argument).resolve() for argument in arguments] or [path for path in tracked_files() if path.is_file()]
    count = 0
    for path in files:
        for line, phrase in findings(path):
            count += 1
            print(f"{path.relative_to(ROOT)}:{line}: avoid {phrase!r} (see CONTRIBUTING.md, Words)")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
