"""`python -m stemline_server.engines.sam_audio parity DIR`: compare results with recordings of the original model."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from stemline.errors import StemlineError
from stemline_server.engines.sam_audio.device import Precision
from stemline_server.engines.sam_audio.parity import compare
from stemline_server.engines.sam_audio.picture_parity import compare_pictures, holds_pictures


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Returns:
        Exit code 0 if all outputs are within their limits, 1 if one is not, 2 if the folder cannot be used.
    """
    parser = argparse.ArgumentParser(prog="python -m stemline_server.engines.sam_audio")
    commands = parser.add_subparsers(dest="command", required=True)
    parity = commands.add_parser("parity", help="compare with recordings of the original model")
    parity.add_argument("folder", metavar="DIR", type=Path)
    parity.add_argument("--device", default="cpu", type=_device, help="cpu, cuda, cuda:1, mps")
    parity.add_argument("--dtype", default="float32", choices=[p.value for p in Precision])
    args = parser.parse_args(arguments)
    try:
        return _parity(args.folder, args.device, Precision(args.dtype))
    except StemlineError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


def _device(name: str) -> torch.device:
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise argparse.ArgumentTypeError(f"{name!r} is not a device") from error


def _parity(folder: Path, device: torch.device, precision: Precision) -> int:
    over = total = 0
    outcomes = compare_pictures if holds_pictures(folder) else compare
    for outcome in outcomes(folder, device, precision):
        total += 1
        over += not outcome.passed
        verdict = "ok" if outcome.passed else "OVER"
        sys.stdout.write(f"{outcome.name:48} {outcome.difference:9.2e}  limit {outcome.limit:7.0e}  {verdict}\n")
    sys.stdout.write(f"{total - over} of {total} outputs within their limits ({precision}, {device}).\n")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
