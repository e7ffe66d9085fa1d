"""Suggestions as jobs: they are queued, survive a stop of the server, and are remembered on disk."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import stemline
from server.harness import write_noise
from stemline.clips import MediaSource, SampleRange
from stemline.errors import Cancelled, Code
from stemline.v1 import separation_pb2 as pb
from stemline_server.engines.base import EnginePrompt
from stemline_server.engines.noop import NoopEngine
from stemline_server.taggers.base import AudioSource, Progress, TaggerInfo
from stemline_server.testing import FunctionEngine, SoundTag, TaggedSpan, serve_engines

LENGTH = 12_000


class GatedTagger:
    """Hears a dog once its gate is open."""

    info = TaggerInfo("gated", "Waits for its gate", "gated-1", None)

    def __init__(self) -> None:
        self.gate, self.started, self.stopped, self.calls = threading.Event(), threading.Event(), threading.Event(), 0

    def availability(self) -> str:
        return ""

    def unload(self) -> None:
        pass

    def tag(self, audio: AudioSource, progress: Progress) -> tuple[SoundTag, ...]:
        self.calls += 1
        self.started.set()
        try:
            while not self.gate.wait(0.01):
                progress(1, 2)
        except Cancelled:
            self.stopped.set()
            raise
        return (SoundTag("dog", (TaggedSpan(SampleRange(0, audio.length_samples), 0.7),)),)


@pytest.fixture
def tagger() -> GatedTagger:
    return GatedTagger()


@contextmanager
def connected(tagger: GatedTagger, state: Path, engine: FunctionEngine | None = None) -> Iterator[stemline.Client]:
    with (
        serve_engines(engine or NoopEngine(), state=state, taggers=[tagger]) as server,
        stemline.connect(server.address, token=server.token) as client,
    ):
        yield client


def media_of(client: stemline.Client, folder: Path) -> str:
    clip = folder / "clip.wav"
    if not clip.exists():
        write_noise(clip, LENGTH)
    return client.ensure_media(MediaSource(str(clip)), SampleRange(0, LENGTH)).name


def jobs_of(client: stemline.Client) -> list[pb.Job]:
    return list(client._link.call(lambda stubs: stubs.jobs.ListJobs, pb.ListJobsRequest()).jobs)


def in_background(client: stemline.Client, media: str, leave: threading.Event) -> tuple[threading.Thread, list[object]]:
    outcome: list[object] = []

    def ask() -> None:
        try:
            outcome.append(client.hear(media, cancelled=leave.is_set))
        except stemline.StemlineError as error:
            outcome.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    return thread, outcome


def test_what_was_heard_is_known_after_a_restart(tagger: GatedTagger, tmp_path: Path) -> None:
    tagger.gate.set()
    with connected(tagger, tmp_path / "state") as client:
        first = client.hear(media_of(client, tmp_path))
        (job,) = jobs_of(client)
        assert (job.kind, job.state, job.model) == (pb.JOB_KIND_SUGGEST, pb.STATE_SUCCEEDED, "gated")
    with connected(tagger, tmp_path / "state") as client:
        assert client.hear(media_of(client, tmp_path)) == first
    assert tagger.calls == 1


def test_a_job_goes_on_after_a_stop_of_the_server_without_its_caller(tagger: GatedTagger, tmp_path: Path) -> None:
    with connected(tagger, tmp_path / "state") as client:
        media = media_of(client, tmp_path)
        thread, _ = in_background(client, media, threading.Event())
        assert tagger.started.wait(20)
    tagger.gate.set()
    with connected(tagger, tmp_path / "state") as client:
        (job,) = jobs_of(client)
        waited = client._link.call(lambda stubs: stubs.jobs.WaitJob, pb.WaitJobRequest(name=job.name))
        assert waited.state == pb.STATE_SUCCEEDED
        assert [sound.prompt for sound in waited.stem.sounds.sounds] == ["dog"]
    thread.join(60)


def test_two_callers_share_a_job_and_the_first_that_leaves_does_not_stop_it(
    tagger: GatedTagger, tmp_path: Path
) -> None:
    with connected(tagger, tmp_path / "state") as client:
        media, leave = media_of(client, tmp_path), threading.Event()
        leaving, left = in_background(client, media, leave)
        staying, heard = in_background(client, media, threading.Event())
        assert tagger.started.wait(20)
        leave.set()
        leaving.join(20)
        assert isinstance(left[0], Cancelled)
        assert not tagger.stopped.wait(0.5)
        tagger.gate.set()
        staying.join(20)
        assert isinstance(heard[0], stemline.client.HeardSounds) and tagger.calls == 1


def test_leaving_cancels_the_job_and_asking_again_starts_it_again(tagger: GatedTagger, tmp_path: Path) -> None:
    with connected(tagger, tmp_path / "state") as client:
        media = media_of(client, tmp_path)
        with pytest.raises(Cancelled):
            client.hear(media, cancelled=tagger.started.is_set)
        assert tagger.stopped.wait(20)
        tagger.gate.set()
        assert client.hear(media).sounds[0].prompt == "dog"
        assert [job.attempt for job in jobs_of(client)] == [2]


def test_a_suggestion_does_not_wait_for_a_separation(tagger: GatedTagger, tmp_path: Path) -> None:
    tagger.gate.set()
    busy, release = threading.Event(), threading.Event()

    def slow(mix: np.ndarray, rate: int, prompt: EnginePrompt) -> np.ndarray:
        busy.set()
        release.wait(30)
        return np.zeros_like(mix)

    with connected(tagger, tmp_path / "state", FunctionEngine(slow)) as client:
        media = media_of(client, tmp_path)
        spec = pb.SeparationSpec(media=media, prompt=pb.Prompt(text="dog"))
        client._link.call(lambda stubs: stubs.jobs.CreateJob, pb.CreateJobRequest(request_id="1", spec=spec))
        assert busy.wait(20)
        assert client.hear(media).sounds
        release.set()


def test_a_tagger_that_returns_no_list_fails_the_job_with_a_sentence(
    tagger: GatedTagger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tagger.gate.set()
    monkeypatch.setattr("stemline_server.pipeline.tag.Tagging.run", lambda *_: [["dog", "nonsense"]])
    with connected(tagger, tmp_path / "state") as client, pytest.raises(stemline.StemlineError) as caught:
        client.hear(media_of(client, tmp_path))
    assert caught.value.code is Code.INTERNAL and "not a list of sounds" in caught.value.message
