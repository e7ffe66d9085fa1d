"""Fixtures for whole runs: the command line, a real private server, and the no-op engine by default."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stemline.client import stop_private
from stemline.media import AudioFormat, SampleFormat, open_writer
from stemline.workflow.record import StemRecord
from stemline.workflow.verify import verify
from stemline_app.cli import main

Separate = Callable[..., dict[str, Any]]
_WITH_KEYS = ["test_content_credentials.py", "test_signatures.py", "test_signing_key.py"]  # of the extra `trust`
collect_ignore = [] if find_spec("cryptography") and find_spec("c2pa") else _WITH_KEYS


@pytest.fixture
def own_server(own_folders: None) -> Iterator[None]:
    """Use a private server and a cache of its own, for tests that kill or fill it."""
    yield
    stop_private(timeout_s=10)


@pytest.fixture
def command(shared_server: None, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, dict[str, Any], str]]:
    """Run `stemline ... --json`; return exit code, the object on standard output, and standard error."""

    def run(*argv: object) -> tuple[int, dict[str, Any], str]:
        code = main([*map(str, argv), "--json"])
        out, err = capsys.readouterr()
        assert out.count("\n") == 1, "exactly one object"
        return code, json.loads(out), err

    return run


def record_in(path: str) -> StemRecord:
    """Return the record that a stem file carries."""
    record = verify(path).record
    assert record is not None
    return record


def noise(path: Path, *, seconds: float = 2.0, sample_rate: int = 48000, channels: int = 2, bits: int = 24) -> Path:
    """Write a WAV file of noise on the grid of `bits`."""
    generator = np.random.default_rng(len(path.name))
    scale = 2 ** (bits - 1)
    samples = generator.integers(-scale // 2, scale // 2, (channels, round(seconds * sample_rate))) / scale
    sample_format = SampleFormat.WAV32F if bits > 24 else SampleFormat.WAV24
    with open_writer(path, AudioFormat(sample_format, sample_rate, channels)) as writer:
        writer.write(samples.astype(np.float32))
    return path
