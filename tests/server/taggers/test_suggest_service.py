"""Suggestions over a real server: what a tagger hears reaches callers exactly, and its failures harm no other call."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import stemline
from server.harness import RATE, write_noise
from stemline.clips import MediaSource
from stemline.errors import Cancelled, Code, MediaError, SeparationError, StemlineError, UsageError
from stemline_server.engines.noop import NoopEngine
from stemline_server.taggers.base import AudioSource, Progress, Tagger, TaggerInfo
from stemline_server.testing import FunctionTagger, SampleRange, SoundTag, TaggedSpan, serve_engines

LENGTH = 12_000


class WaitingTagger:
    """Hears nothing until it is cancelled."""

    info = TaggerInfo("waiting", "Waits", "waiting-1", None)

    def __init__(self) -> None:
        self.started, self.cancelled = threading.Event(), threading.Event()

    def availability(self) -> str:
        return ""

    def unload(self) -> None:
        pass

    def tag(self, audio: AudioSource, progress: Progress) -> tuple[SoundTag, ...]:
        try:
            while True:
                progress(1, 4)
                self.started.set()
                self.cancelled.wait(0.01)
        except Cancelled:
            self.cancelled.set()
            raise


class MissingTagger(WaitingTagger):
    info = TaggerInfo("missing", "Missing", "missing-1", None)

    def availability(self) -> str:
        return "The weights are missing; install them."


def broken(mix: np.ndarray, rate: int) -> list[SoundTag]:
    raise RuntimeError("a secret of /home")


CALLS: list[tuple[int, int]] = []


def third(mix: np.ndarray, rate: int) -> list[SoundTag]:
    """Hear a dog in the second third."""
    CALLS.append((mix.size, rate))
    return [SoundTag("dog", (TaggedSpan(SampleRange(mix.size // 3, 2 * mix.size // 3), 0.7),))]


@pytest.fixture(scope="module")
def waiting() -> WaitingTagger:
    return WaitingTagger()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, waiting: WaitingTagger) -> Iterator[stemline.Client]:
    taggers: list[Tagger] = [
        MissingTagger(),
        FunctionTagger(third, sample_rate=16_000),
        FunctionTagger(broken, id="broken"),
        waiting,
    ]
    with (
        serve_engines(NoopEngine(), state=tmp_path_factory.mktemp("state"), taggers=taggers) as server,
        stemline.connect(server.address, token=server.token) as connected,
    ):
        yield connected


@pytest.fixture(scope="module")
def media(client: stemline.Client, tmp_path_factory: pytest.TempPathFactory) -> str:
    clip = write_noise(tmp_path_factory.mktemp("media") / "clip.wav", LENGTH)
    return client.ensure_media(MediaSource(str(clip)), SampleRange(0, LENGTH)).name


@pytest.mark.smoke
def test_spans_are_samples_of_the_media_whatever_rate_the_tagger_hears(client: stemline.Client, media: str) -> None:
    CALLS.clear()
    heard = client.hear(media)
    assert heard.tagger == "function"  # the first that can run
    (dog,) = heard.sounds
    assert (dog.prompt, round(dog.likelihood, 3)) == ("dog", 0.7)
    (span,) = dog.spans
    assert abs(span.range.start_sample - LENGTH // 3) <= RATE // 16_000
    assert abs(span.range.end_sample - 2 * LENGTH // 3) <= RATE // 16_000
    assert CALLS == [(LENGTH * 16_000 // RATE, 16_000)]


def test_a_tagger_never_hears_the_same_media_twice(client: stemline.Client, media: str) -> None:
    client.hear(media, "function")
    CALLS.clear()
    client.hear(media, "function")
    assert CALLS == []


def test_a_tagger_that_cannot_run_is_listed_with_the_reason_and_refused_with_it(
    client: stemline.Client, media: str
) -> None:
    listed = {tagger.id: tagger for tagger in client.taggers()}
    assert not listed["missing"].available
    assert "install them" in listed["missing"].note
    with pytest.raises(SeparationError, match="install them") as caught:
        client.hear(media, "missing")
    assert caught.value.code is Code.MODEL_UNAVAILABLE


def test_a_tagger_that_fails_hides_its_text_and_the_next_call_works(client: stemline.Client, media: str) -> None:
    with pytest.raises(StemlineError) as caught:
        client.hear(media, "broken")
    assert "secret" not in str(caught.value)
    assert client.hear(media, "function").sounds


def test_leaving_a_call_stops_the_tagger(client: stemline.Client, media: str, waiting: WaitingTagger) -> None:
    with pytest.raises(Cancelled):
        client.hear(media, "waiting", cancelled=waiting.started.is_set)
    assert waiting.cancelled.wait(10)


def test_unknown_media_and_taggers_are_refused_with_a_code(client: stemline.Client, media: str) -> None:
    with pytest.raises(UsageError) as no_tagger:
        client.hear(media, "nonsense")
    assert no_tagger.value.code is Code.MODEL_UNKNOWN
    with pytest.raises(MediaError) as no_media:
        client.hear("media/" + "0" * 64)
    assert no_media.value.code is Code.MEDIA_UNKNOWN


def test_the_default_tagger_hears_speech_and_silence(tmp_path: Path) -> None:
    from stemline_server.engines.embedded.array_source import ArraySource
    from stemline_server.taggers.embedded import EmbeddedTagger

    silence = ArraySource(np.zeros((1, 3 * RATE), np.float32))
    assert EmbeddedTagger().tag(silence, lambda done, total: None) == ()
