"""Sounds from words that are lost, repeated under another seed, made online, or read from files that run code."""

from __future__ import annotations

import json
import shutil
import socket
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stemline
from server.audio import ArraySource
from server.harness import ServerProcess
from stemline.client import Client, GenerationRequest, Job, JobState
from stemline.clips import SampleRange
from stemline.errors import Cancelled, Code, MediaError, SeparationError, UsageError
from stemline_server.config import ServerConfig
from stemline_server.generators import stable_audio, stable_audio_files
from stemline_server.generators.base import GenerateControl, GenerateRequest
from stemline_server.generators.noop import NoopGenerator
from stemline_server.testing import serve_in_thread

Sound = np.ndarray[Any, np.dtype[np.float32]]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    config = ServerConfig(tmp_path / "state", private=True, media_roots=None, devices=("cpu",))
    with serve_in_thread(config) as server, stemline.connect(server.address, token=server.token) as connected:
        yield connected


def make(client: Client, text: str = "rain", length: int = 44_100, **more: Any) -> Job:
    more.setdefault("generator", "noop")
    (job,) = client.create_generations([GenerationRequest(text, length, **more)])
    *_, last = client.watch([job.name])
    return last


def sound(client: Client, job: Job) -> Sound:
    assert job.state is JobState.SUCCEEDED, job.error
    assert job.stem is not None
    with client.open_media(job.stem.media) as reader:
        return reader.read(0, reader.length_samples)


def test_a_request_repeats_its_sound_and_another_seed_or_word_does_not(client: Client) -> None:
    first = make(client)
    assert sound(client, first).shape == (2, 44_100)
    again = make(client)
    assert (again.key, again.stem) == (first.key, first.stem)
    others: list[dict[str, Any]] = [{"seed": 1}, {"text": "wind"}, {"negative": "birds"}, {"length": 44_101}]
    for other in others:
        job = make(client, **other)
        assert job.key != first.key, other
        assert not np.array_equal(sound(client, job)[:, :44_100], sound(client, first)), other


def test_the_rest_of_a_filled_sound_is_the_context(client: Client) -> None:
    before = make(client)
    assert before.stem is not None
    hole = SampleRange(20_000, 60_000)
    more: dict[str, Any] = {"context": before.stem.media, "context_start_sample": 24_100, "holes": (hole,)}
    filled = sound(client, make(client, length=60_000, **more))
    assert np.array_equal(filled[:, :20_000], sound(client, before)[:, 24_100:])
    assert filled[:, 20_000:].any()


def test_a_varied_sound_lies_between_its_reference_and_a_free_one(client: Client) -> None:
    before = make(client)
    assert before.stem is not None
    same = make(client, "wind", reference=before.stem.media, strength=0.0)
    assert np.allclose(sound(client, same), sound(client, before), atol=1e-7)
    free = make(client, "wind", reference=before.stem.media, strength=1.0)
    assert np.array_equal(sound(client, free), sound(client, make(client, "wind")))


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"text": " "}, UsageError, "empty"),
        ({"text": "a\0b"}, UsageError, "control characters"),
        ({"length": 0}, UsageError, "at least one sample"),
        ({"length": 44_100 * 11}, UsageError, "0.01 to 10 seconds, not 11"),
        ({"generator": "nonsense"}, UsageError, "no model 'nonsense'"),
        ({"generator": "stable_audio"}, SeparationError, "accept the licence"),
        ({"context": "media/" + "0" * 64, "holes": (SampleRange(0, 5),)}, MediaError, "does not hold"),
        ({"reference": "../../etc/passwd"}, UsageError, "media/"),
        ({"holes": (SampleRange(0, 5),)}, UsageError, "need a context"),
    ],
)
def test_a_bad_request_is_one_sentence_before_any_work(
    client: Client, change: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        make(client, **change)
    assert not list(client.jobs())


def test_a_cancelled_sound_stops_within_a_step(client: Client) -> None:
    (job,) = client.create_generations([GenerationRequest("sleep:600", 44_100, generator="noop")])
    for state in client.watch([job.name]):
        if state.state is JobState.RUNNING and state.fraction > 0:
            client.cancel([job.name])
    assert state.state is JobState.CANCELLED
    assert state.stage in ("", "generating")
    assert make(client).state is JobState.SUCCEEDED


def test_a_killed_server_goes_on_with_its_sounds(start_server: Callable[..., ServerProcess], tmp_path: Path) -> None:
    server = start_server()
    token = Path(server.wait_endpoint()["token_file"])
    request = GenerationRequest("sleep:3", 44_100, generator="noop", request_id=str(uuid.uuid4()))
    with stemline.connect(server.wait_endpoint()["address"], token=token.read_text()) as client:
        (job,) = client.create_generations([request])
        next(state for state in client.watch([job.name]) if state.fraction > 0.3)
    server.kill()
    server.start()
    with stemline.connect(server.wait_endpoint()["address"], token=token.read_text()) as client:
        states = list(client.watch([job.name]))
        done = states[-1]
        first = next(state.fraction for state in states if state.fraction > 0)
        assert first > 0.3, "it goes on with the state in its scratch folder"
        assert sound(client, done).shape == (2, 44_100)
        (same,) = client.create_generations([request])
        assert (same.name, same.stem) == (job.name, done.stem)


@pytest.mark.parametrize("fault", ["short", "nan", "shape"])
def test_a_generator_that_gives_nonsense_fails_its_job_alone(
    client: Client, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    whole = NoopGenerator.generate

    def broken(self: NoopGenerator, request: GenerateRequest, control: GenerateControl) -> Iterator[Sound]:
        for block in whole(self, request, control):
            yield {"short": block[:, :1], "nan": block * np.float32(np.nan), "shape": block[:1]}[fault]

    monkeypatch.setattr(NoopGenerator, "generate", broken)
    failed = make(client)
    assert failed.state is JobState.FAILED
    assert failed.error is not None
    assert failed.error.message.startswith("The generator")
    monkeypatch.setattr(NoopGenerator, "generate", whole)
    assert make(client).state is JobState.SUCCEEDED


@pytest.fixture(scope="session")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of two tiny Stable Audio pipelines with random weights: three and open."""
    fixture = pytest.importorskip("server.stable_audio_fixture")
    folder = tmp_path_factory.mktemp("stable_audio")
    fixture.write_version_3(folder / "three")
    fixture.write_open(folder / "open")
    return folder


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Block every connection of this process except to itself, and list the attempts."""
    attempts: list[object] = []
    resolve, connect = socket.getaddrinfo, socket.socket.connect

    def guarded_resolve(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in ("127.0.0.1", "localhost", "::1", None):
            attempts.append(host)
            raise OSError("the network is blocked")
        return resolve(host, *args, **kwargs)

    def guarded_connect(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1"):
            attempts.append(address)
            raise OSError("the network is blocked")
        connect(self, address)

    monkeypatch.setattr(socket, "getaddrinfo", guarded_resolve)
    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    return attempts


@pytest.mark.filterwarnings("ignore")
def test_stable_audio_makes_fills_and_varies_without_the_network(
    pipelines: Path, client: Client, offline: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(stable_audio_files.FOLDER_VARIABLE, str(pipelines))
    monkeypatch.setattr("stemline_server.generators.stable_audio._OPEN_STEPS", 3)
    known = {generator.id: generator for generator in client.generators()}
    three = known["stable_audio.three"]
    assert (three.available, three.fills, three.varies, three.commercial) == (True, True, True, "limited")
    assert (known["stable_audio.open"].available, known["stable_audio.open"].fills) == (True, False)
    first = make(client, generator="stable_audio.three")
    other = make(client, generator="stable_audio.three", seed=2)
    assert not np.array_equal(sound(client, first), sound(client, other))
    assert first.stem is not None
    more: dict[str, Any] = {"context": first.stem.media, "holes": (SampleRange(30_000, 50_000),)}
    assert sound(client, make(client, length=50_000, generator="stable_audio.three", **more)).shape == (2, 50_000)
    varied = make(client, generator="stable_audio.three", reference=first.stem.media, strength=0.5)
    assert not np.array_equal(sound(client, varied), sound(client, first))
    assert sound(client, make(client, length=2000, generator="stable_audio.open")).shape == (2, 2000)
    with pytest.raises(UsageError, match="does not fill"):
        make(client, length=2000, generator="stable_audio.open", **{**more, "holes": (SampleRange(0, 2000),)})
    assert offline == []


@pytest.mark.filterwarnings("ignore")
def test_stable_audio_repeats_its_sound_after_the_store_was_cleared(
    pipelines: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(stable_audio_files.FOLDER_VARIABLE, str(pipelines))
    first = make(client, generator="stable_audio.three")
    expected = sound(client, first)
    assert first.stem is not None
    client.delete_media(first.stem.media)
    again = make(client, generator="stable_audio.three")
    assert again.engine_s > 0, "it was computed again"
    assert np.array_equal(sound(client, again), expected)


def truncate(folder: Path) -> None:
    path = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def pickled(folder: Path) -> None:
    path = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    path.rename(path.with_suffix(".bin"))


def foreign_code(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    index["transformer"] = ["evil_module", "Model"]
    (folder / "model_index.json").write_text(json.dumps(index))


def emptied(folder: Path, *names: str) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    for name in names:
        (folder / name).touch()


DAMAGE: list[tuple[Callable[[Path], object], str]] = [
    (truncate, "cut short or damaged"),
    (pickled, "is a pickle, which can run code"),
    (foreign_code, "names code outside diffusers"),
    (lambda folder: shutil.rmtree(folder / "vae"), "has no weights"),
    (lambda folder: (folder / "vae" / "x.safetensors.incomplete").touch(), "half a download"),
    (lambda folder: (folder / "model_index.json").unlink(), "it has no model_index.json"),
    (lambda folder: (folder / "model_index.json").write_text("{}"), "not Stable Audio"),
    (lambda folder: emptied(folder, "model_config.json"), "Stability's own layout"),
    (lambda folder: emptied(folder, "model.ckpt"), "is a pickle"),
    (emptied, "accept the licence"),
]


@pytest.mark.parametrize(("damage", "says"), DAMAGE)
def test_a_wrong_folder_is_one_sentence(
    pipelines: Path, tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch, damage: Any, says: str
) -> None:
    folder = shutil.copytree(pipelines / "three", tmp_path / "held")
    monkeypatch.setenv(stable_audio_files.FOLDER_VARIABLE, str(folder))
    damage(folder)
    (listed,) = [generator for generator in client.generators() if generator.id == "stable_audio"]
    assert not listed.available
    assert says in listed.note
    assert listed.note.count(". ") <= 1
    with pytest.raises(SeparationError, match=says) as refused:
        make(client, generator="stable_audio")
    assert refused.value.code is Code.MODEL_UNAVAILABLE


class StoppedAfter:
    """Progress that ends the work after some steps, as a kill does."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def step(self, done: int, total: int) -> None:
        self.left -= 1
        if self.left < 0:
            raise Cancelled

    def warn(self, code: str, message: str) -> None:
        raise AssertionError(message)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["three", "fill", "vary", "open"])
def test_a_killed_sound_goes_on_with_the_steps_that_it_stored(
    pipelines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv(stable_audio_files.FOLDER_VARIABLE, str(pipelines))
    monkeypatch.setattr("stemline_server.generators.stable_audio._OPEN_STEPS", 6)
    variant = "open" if kind == "open" else "three"
    length = 2000 if kind == "open" else 20_000
    other = ArraySource(np.random.default_rng(1).standard_normal((2, length)).astype(np.float32), 44_100)
    more: dict[str, Any] = {
        "fill": {"context": other, "holes": (SampleRange(5000, 9000),)},
        "vary": {"reference": other, "strength": 0.6},
    }.get(kind, {})

    def made(scratch: Path | None, steps: int = 1000, text: str = "rain") -> tuple[Sound, int]:
        generator = stable_audio.StableAudioGenerator(variant)
        generator.load("cpu")
        network, evaluations = generator._pipeline.transformer, []
        evaluate = network.forward

        def counted(*given: Any, **named: Any) -> Any:
            evaluations.append(1)
            return evaluate(*given, **named)

        network.forward = counted
        try:
            request = GenerateRequest(text, length, seed=3, scratch=scratch, **more)
            sound = np.concatenate(list(generator.generate(request, StoppedAfter(steps))), axis=1)
        except Cancelled:
            sound = np.zeros((2, 0), np.float32)
        return sound, len(evaluations)

    whole, all_steps = made(None)
    stopped, before = made(tmp_path, 3)
    assert stopped.size == 0
    resumed, after = made(tmp_path)
    assert np.array_equal(resumed, whole), "the very samples of a job that nothing stopped"
    assert after < all_steps, "finished steps are not computed again"
    assert before + after <= all_steps + 1
    (state,) = tmp_path.iterdir()
    state.write_bytes(state.read_bytes()[:100])
    assert made(tmp_path)[1] == all_steps, "damaged state is not used"
    assert made(tmp_path, text="wind")[1] == all_steps, "nor that of another request"
