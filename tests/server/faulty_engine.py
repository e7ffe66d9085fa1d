"""An engine whose prompts choose how it fails. `install` makes it an installed package of a server process."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from stemline_server.engines.base import Control, EngineInfo, EnginePrompt, EngineRequest, Waveform
from stemline_server.engines.noop import NoopEngine

_CONNECT = """
import socket
for family in (socket.AF_INET, socket.AF_INET6):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            socket.socket(family, kind)
        except PermissionError:
            continue
        raise SystemExit(f"a socket of {family} was opened")
"""
HELD: list[np.ndarray] = []


class FaultyEngine(NoopEngine):
    """Half of the mix, unless a prompt names a fault."""

    info = EngineInfo(
        id="faulty", title="Faulty", revision="1", sample_rate=None, multichannel=True, spans=True, free_text=True
    )

    def check(self, prompt: EnginePrompt) -> None:
        """Take any prompt."""

    def separate(self, request: EngineRequest, control: Control) -> Iterator[Waveform]:
        """Yield half of the mix, and fail in the middle."""
        for number, block in enumerate(super().separate(request, control)):
            yield block
            if number == 0:
                for prompt in request.prompts:
                    _fail(prompt.text, control)


def _fail(fault: str, control: Control) -> None:
    if fault == "segfault":
        ctypes.string_at(0)
    elif fault == "exit":
        os._exit(3)
    elif fault == "leak":
        while True:
            control.step(0, 1)
            HELD.append(np.ones(4 << 20))
    elif fault == "hang":
        time.sleep(3600)
    elif fault == "killed" and not Path("killed").exists():
        Path("killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    elif fault == "nonsense":
        Connection(os.dup(int(sys.argv[1]))).send_bytes(b'["done"')
    elif fault == "raise":
        raise RuntimeError("secret path /home/x")
    elif fault == "slow":
        for _ in range(200):
            control.step(0, 1)
            time.sleep(0.05)
    elif fault == "network":
        socket.socket(socket.AF_UNIX).close()
        subprocess.run([sys.executable, "-c", _CONNECT], check=True)
    elif fault == "print":
        sys.stdout.write("printed by the engine\n")
        sys.stdout.flush()


BROKEN = """
import ctypes, os, sys, time
from multiprocessing.connection import Connection
from faulty_engine import FaultyEngine
class Raises(FaultyEngine):
    def __init__(self):
        raise RuntimeError("no licence")
class Hangs(FaultyEngine):
    def __init__(self):
        time.sleep(3600)
class Crashes(FaultyEngine):
    def __init__(self):
        ctypes.string_at(0)
class Forges(FaultyEngine):
    def __init__(self):
        Connection(os.dup(int(sys.argv[1]))).send_bytes(b'["done", 7]')
class Lies(FaultyEngine):
    @property
    def info(self):
        from dataclasses import replace
        return replace(FaultyEngine.info, id="lies", sample_rate="fast")
"""
# A package that ends the process of whatever imports it, unless that is the process of the package.
LETHAL = """
import ctypes
ctypes.string_at(0)
"""
BROKEN_OTHERS = """
import ctypes, time
from stemline_server.generators.noop import NoopGenerator
from stemline_server.taggers.base import TaggerInfo
class Works(NoopGenerator):
    from dataclasses import replace
    info = replace(NoopGenerator.info, id="works")
class Lies(NoopGenerator):
    from dataclasses import replace
    info = replace(NoopGenerator.info, id="lies", sample_rate=0)
class Listens:
    info = TaggerInfo("listens", "Listens", "1", None)
    def availability(self):
        return ""
class Raises:
    def __init__(self):
        raise RuntimeError("no licence")
class Hangs:
    def __init__(self):
        time.sleep(3600)
class Crashes:
    def __init__(self):
        ctypes.string_at(0)
"""


def install_broken(folder: Path) -> Path:
    """Make `folder` a place of packages whose engines cannot even be created, with the faulty one."""
    install(folder)
    (folder / "broken_engines.py").write_text(BROKEN, encoding="utf-8")
    facts = folder / "broken_engines-1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-engines\nVersion: 1\n", encoding="utf-8")
    (folder / "broken_others.py").write_text(BROKEN_OTHERS, encoding="utf-8")
    (folder / "lethal.py").write_text(LETHAL, encoding="utf-8")
    groups = {
        "engines": ("broken_engines", ("Raises", "Hangs", "Crashes", "Forges", "Lies")),
        "generators": ("broken_others", ("Works", "Raises", "Hangs", "Crashes", "Lies")),
        "taggers": ("broken_others", ("Listens", "Raises", "Hangs", "Crashes")),
    }
    lines = []
    for group, (module, names) in groups.items():
        lines += [
            f"[stemline.{group}]",
            "lethal = lethal:Any",
            *(f"{name.lower()} = {module}:{name}" for name in names),
        ]
    (facts / "entry_points.txt").write_text("\n".join(lines), "utf-8")
    return folder


def install(folder: Path) -> Path:
    """Make `folder` a place of packages with this engine in it."""
    (folder / "faulty_engine.py").write_text(Path(__file__).read_text(encoding="utf-8"), encoding="utf-8")
    facts = folder / "faulty_engine-1.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty-engine\nVersion: 1\n", encoding="utf-8")
    (facts / "entry_points.txt").write_text("[stemline.engines]\nfaulty = faulty_engine:FaultyEngine\n", "utf-8")
    return folder
