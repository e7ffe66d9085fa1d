"""Words are checked before work: known, taken for another sound, or refused with proposals, and sounds are listed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

import stemline
from server.harness import Caller, ServerProcess
from stemline.client import Client
from stemline.errors import Code
from stemline.v1 import vocabulary_pb2 as pb
from stemline.v1 import vocabulary_pb2_grpc
from stemline_server.seats.access import scope_of
from stemline_server.testing import FunctionEngine, serve_engines


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    process = ServerProcess(tmp_path_factory.mktemp("vocabulary"), "--listen", "127.0.0.1:0")
    yield process.caller
    process.close()


@pytest.fixture
def client(server: Caller) -> Iterator[Client]:
    token = server.metadata[0][1].removeprefix("Bearer ")
    with stemline.connect(server.address, token=token) as connected:
        yield connected


def test_each_text_is_known_taken_for_a_sound_or_refused_with_proposals(client: Client) -> None:
    texts = ["speech", "dog barkin", "electric kettle", "dog and rain", "everything but the dog", ""]
    checks = client.check_prompts(texts, "embedded")
    assert [check.text for check in checks] == texts
    assert [check.status.value for check in checks] == ["known", "substituted", *["refused"] * 4]
    known, corrected, unknown, several, inverted, empty = checks
    assert (known.sound, known.message, known.proposals) == ("speech", "", ())
    assert corrected.sound == "dog" and "was taken for dog" in corrected.message
    assert unknown.code == Code.PROMPT_UNKNOWN.value and "water" in unknown.proposals
    assert several.proposals == ("dog", "rain")
    assert inverted.proposals == ("dog",)
    assert (empty.code, empty.proposals) == (Code.PROMPT_EMPTY.value, ())
    offered = [text for check in checks for text in check.proposals]
    assert {check.status.value for check in client.check_prompts(offered, "embedded")} == {"known"}


def test_every_listed_sound_and_phrase_is_taken(client: Client) -> None:
    known = client.known_sounds("embedded")
    assert known.model == "embedded" and not known.any_words and len(known.sounds) > 50
    for sound in known.sounds[:60]:
        texts = [sound.name, *sound.phrases][:64]
        for check in client.check_prompts(texts, "models/embedded"):
            assert check.status.value == "known" and not check.message, check
    assert any("Regen".casefold() in sound.phrases for sound in known.sounds)


def test_a_model_for_any_words_lists_none_and_refuses_no_word(client: Client) -> None:
    known = client.known_sounds("noop")
    assert known.any_words and known.sounds == ()
    assert client.check_prompts(["electric kettle"], "noop")[0].status.value == "known"
    assert client.known_sounds("sam_audio").any_words  # without its weights, too


def test_an_engine_without_a_vocabulary_still_says_which_words_it_refuses(tmp_path: Path) -> None:
    engine = FunctionEngine(lambda mix, rate, text: np.zeros_like(mix))
    with (
        serve_engines(engine, state=tmp_path) as running,
        stemline.connect(running.address, token=running.token) as client,
    ):
        assert client.check_prompts(["speech"])[0].status.value == "known"
        assert client.known_sounds().sounds == ()


def test_the_check_loads_no_model_runtime_into_the_server() -> None:
    code = (
        "import sys; from stemline_server.engines.embedded import EmbeddedEngine as E; e = E(); e.sounds();"
        "e.match_text('electric kettle'); e.match_text('dog barkin'); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_too_many_or_too_long_texts_and_unknown_models_are_refused(server: Caller, client: Client) -> None:
    stub = vocabulary_pb2_grpc.VocabularyServiceStub(server.channel)
    for texts in (["x"] * 65, ["x" * 1001]):
        code, message = server.refused(stub.CheckPrompts, pb.CheckPromptsRequest(texts=texts))
        assert code is grpc.StatusCode.INVALID_ARGUMENT and "up to 64 texts" in message
    for request in (lambda: client.known_sounds("nothing"), lambda: client.check_prompts(["x"], "nothing")):
        with pytest.raises(stemline.UsageError) as error:
            request()
        assert error.value.code is Code.MODEL_UNKNOWN
    with pytest.raises(stemline.SeparationError) as missing:
        client.check_prompts(["speech"], "sam_audio")
    assert missing.value.code is Code.MODEL_UNAVAILABLE


def test_a_seat_may_ask_before_it_may_submit() -> None:
    for method in ("CheckPrompts", "ListSounds"):
        assert scope_of(f"/stemline.v1.VocabularyService/{method}") == ""


def test_the_command_lists_the_sounds_as_a_table_and_as_json(server: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEMLINE_TOKEN", server.metadata[0][1].removeprefix("Bearer "))

    def models(*options: str) -> str:
        command = [sys.executable, "-m", "stemline", "models", "--server", server.address, *options]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert "dog" in models("--sounds").split()
    listed = json.loads(models("--sounds", "embedded", "--json"))["results"]
    assert {"sound", "kind", "phrases"} == set(listed[0]) and len(listed) > 50
    assert "takes any words" in models("--sounds", "noop")
