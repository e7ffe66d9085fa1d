"""The fake host, ready to run, with media of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from hosts.remote.running import FakeHostRunner, write_wav


@pytest.fixture
def fake_host(tmp_path: Path) -> FakeHostRunner:
    folder = tmp_path / "spät & früh"
    folder.mkdir()
    return FakeHostRunner(
        folder, [write_wav(folder / "voice ü.wav", 48000, 1, 3), write_wav(folder / "music.wav", 44100, 2, 2)]
    )
