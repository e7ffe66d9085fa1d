"""Runs the benchmarks named on the command line, or all of them: `python -m tests.benchmarks [NAME...]`."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path


def main(names: list[str]) -> None:
    found = sorted(
        module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]) if module.name.startswith("bench_")
    )
    for name in found:
        if not names or name.removeprefix("bench_") in names:
            print(f"== {name.removeprefix('bench_')}", flush=True)
            importlib.import_module(f"{__package__}.{name}").main()


if __name__ == "__main__":
    main(sys.argv[1:])
