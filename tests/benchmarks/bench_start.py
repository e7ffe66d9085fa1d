"""How soon the command line answers, against an interpreter that does nothing."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

from .measure import best_of, report


def main() -> None:
    command = str(Path(sys.executable).with_name("stemline"))

    def run(*argv: str) -> None:
        subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)

    nothing = best_of(15, lambda: run(sys.executable, "-c", "pass"))
    for words in (["--help"], ["separate", "--help"], ["batch", "--help"]):
        answer = best_of(15, partial(run, command, *words))
        report(f"stemline {' '.join(words)}", answer / nothing, "<= 3", f"python -c pass, {nothing * 1000:.0f} ms")
