"""One generated checkpoint and text encoder for all tests of the engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from server.sam_audio.generated import SIGHTED, TINY, TOWER, write_checkpoint, write_text_encoder
from stemline_server.engines.sam_audio.device import cpu_threads
from stemline_server.engines.sam_audio.engine import SamAudioEngine
from stemline_server.engines.sam_audio.settings import Settings


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Compute on one thread; engines do not measure which number is fastest."""
    with pytest.MonkeyPatch.context() as patch, cpu_threads(1):
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("models") / "sam-audio-tiny", TINY)


@pytest.fixture(scope="session")
def text_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_text_encoder(tmp_path_factory.mktemp("text") / "t5-tiny", TINY["text_encoder"]["dim"])


@pytest.fixture(scope="session")
def settings(checkpoint: Path, text_encoder: Path) -> Settings:
    return Settings(model=str(checkpoint), text_encoder=str(text_encoder))


@pytest.fixture(scope="session")
def engine(settings: Settings) -> SamAudioEngine:
    loaded = SamAudioEngine(settings=settings)
    loaded.load("cpu")
    return loaded


@pytest.fixture(scope="session")
def sighted_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with a vision tower."""
    return write_checkpoint(tmp_path_factory.mktemp("sighted") / "sam-audio-sighted", SIGHTED, tower=TOWER)


@pytest.fixture(scope="session")
def sighted_settings(sighted_checkpoint: Path, text_encoder: Path) -> Settings:
    return Settings(model=str(sighted_checkpoint), text_encoder=str(text_encoder))


@pytest.fixture
def sighted(sighted_settings: Settings) -> SamAudioEngine:
    """An engine that has encoded no picture yet."""
    loaded = SamAudioEngine(settings=sighted_settings)
    loaded.load("cpu")
    return loaded
