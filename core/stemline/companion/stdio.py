"""Standard input and output reserved for messages, whatever the libraries in this process print."""

from __future__ import annotations

import io
import os
import sys


def claim_standard_streams() -> tuple[io.FileIO, io.FileIO]:
    """Return (incoming, outgoing), unbuffered and binary, inherited by no child process.

    From then on descriptor 1 and `sys.stdout` write to standard error, and descriptor 0 reads nothing, so that a stray
    print or a child that reads its input cannot disturb the conversation.
    """
    incoming, outgoing = os.dup(0), os.dup(1)  # PEP 446: not inherited by children
    nothing = os.open(os.devnull, os.O_RDWR)
    try:
        os.fstat(2)
    except OSError:
        os.dup2(nothing, 2)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    sys.stdout = sys.stderr if sys.stderr is not None else io.TextIOWrapper(io.FileIO(2, "w", closefd=False))
    return _binary(incoming, "r"), _binary(outgoing, "w")


def _binary(descriptor: int, mode: str) -> io.FileIO:
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415 - Windows alone has it

        msvcrt.setmode(descriptor, os.O_BINARY)
    return io.FileIO(descriptor, mode)
