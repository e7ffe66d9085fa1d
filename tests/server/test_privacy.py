"""What others on the network and on the machine can read: no folders of the server, and no files of its state."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2  # the published messages: an independent reading

from server.conftest import LENGTH_SAMPLES
from server.harness import Caller, ServerProcess, touch_later, write_noise
from stemline.errors import Code, SeparationError, UsageError
from stemline.v1 import (
    generation_pb2,
    generation_pb2_grpc,
    media_pb2,
    models_pb2,
    models_pb2_grpc,
    suggest_pb2,
    suggest_pb2_grpc,
)
from stemline.v1 import separation_pb2 as pb
from stemline_server.generators.noop import NoopGenerator
from stemline_server.seats.seat_file import Seat, SeatFile, read_seats, token_digest, write_seats
from stemline_server.services import status
from stemline_server.services.callers import without_folders
from stemline_server.store.folder import StateFolder, read_or_make_token
from stemline_server.testing import FunctionEngine, FunctionTagger, serve_engines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("The disk is full: /srv/stemline/store has no room.", "The disk is full: store has no room."),
        ("'/media/show 1/take.wav' was changed.", "'take.wav' was changed."),
        ("There is no file '/media/it.wav'.", "There is no file 'it.wav'."),
        (r"'C:\\shows\\take.wav' is not a file.", "'take.wav' is not a file."),
        ("Look into /var/log/server.log.", "Look into server.log."),
        ("Read 1/2 of it at 24 kHz and/or https://example.org/docs.", "Read 1/2 of it at 24 kHz and/or https://example.org/docs."),
        ("Choose one of: a, b.", "Choose one of: a, b."),
    ],
)  # fmt: skip
def test_folders_are_cut_from_messages(text: str, shown: str) -> None:
    assert without_folders(text) == shown


def test_callers_on_other_machines_read_no_folders(
    server: Caller, noise: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = server.register(noise, 0, LENGTH_SAMPLES).name
    write_noise(noise, LENGTH_SAMPLES, seed=1)
    touch_later(noise)
    job = server.until(server.create(media).name, pb.STATE_FAILED)
    assert str(noise.parent) in job.error.message
    monkeypatch.setattr("stemline_server.services.callers.is_this_machine", lambda _: False)
    listed = server.call(server.jobs.ListJobs, pb.ListJobsRequest()).jobs[0]
    watched = next(server.jobs.WatchJobs(pb.WatchJobsRequest(names=[job.name]), metadata=server.metadata)).job
    for shown in (server.get(job.name), listed, watched):
        assert shown.error.message == "'noise.wav' was changed after it was registered."
    _, message = server.refused(server.media.DownloadMedia, media_pb2.DownloadMediaRequest(name=media))
    assert message == "'noise.wav' was changed after it was registered."


def test_callers_on_other_machines_read_no_folders_of_models_generators_and_taggers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = f"There is no file {tmp_path / 'weights' / 'net.safetensors'}."
    generator, tagger = NoopGenerator(), FunctionTagger(lambda mix, rate: [])
    for each in (FunctionEngine, type(generator), FunctionTagger):
        monkeypatch.setattr(each, "availability", lambda _: missing)
    monkeypatch.setattr("stemline_server.services.callers.is_this_machine", lambda _: False)
    engine = FunctionEngine(lambda mix, rate, prompt: mix)
    with (
        serve_engines(engine, state=tmp_path / "s", generators=[generator], taggers=[tagger]) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        token = (("authorization", f"Bearer {server.token}"),)
        generators = generation_pb2_grpc.GenerationServiceStub(channel).ListGenerators(
            generation_pb2.ListGeneratorsRequest(), metadata=token, timeout=30
        )
        taggers = suggest_pb2_grpc.SuggestServiceStub(channel).ListTaggers(
            suggest_pb2.ListTaggersRequest(), metadata=token, timeout=30
        )
        models = models_pb2_grpc.ModelServiceStub(channel).ListModels(
            models_pb2.ListModelsRequest(), metadata=token, timeout=30
        )
        listed: list[Any] = [*generators.generators, *taggers.taggers, *models.models]
        notes = [each.note for each in listed]
        assert notes == ["There is no file net.safetensors."] * 3


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_files_of_a_folder_that_was_there_are_closed_to_others(tmp_path: Path, noise: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o755)
    process = ServerProcess(state, "--private")
    try:
        process.caller.done(process.caller.create(process.caller.register(noise, 0, LENGTH_SAMPLES).name).name)
        assert open_to_others(state) == set()
        process.terminate()
        mine = state / "notes.txt"
        mine.write_text("another program's", encoding="ascii")
        mine.chmod(0o644)
        for path in state.iterdir():
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() else 0o644)
        process.start()
        process.wait_endpoint()
        assert open_to_others(state) == {"notes.txt"}
        assert "could read the token file" in process.log()
    finally:
        process.close()


def open_to_others(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if stat.S_IMODE(path.stat().st_mode) & 0o077}


@pytest.mark.skipif(os.name != "posix", reason="links and modes of files")
def test_a_link_in_the_folder_changes_no_other_file(tmp_path: Path) -> None:
    other = tmp_path / "other.log"
    other.write_text("another program's", encoding="ascii")
    other.chmod(0o644)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "server.log").symlink_to(other)
    StateFolder(tmp_path / "state").make()
    assert stat.S_IMODE(other.stat().st_mode) == 0o644


@pytest.mark.parametrize("text", ["x", "short token", "a token with a \x07 bell in it", "ein schöner langer Schlüssel"])
def test_a_token_that_is_easy_to_guess_or_no_text_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "token"
    path.write_bytes(text.encode())
    path.chmod(0o600)
    with pytest.raises(UsageError, match="holds no usable token"):
        read_or_make_token(path)
    assert len(read_or_make_token(path, own=True)) > 30


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
@pytest.mark.parametrize("mode", [0o666, 0o644, 0o604, 0o620])
def test_a_token_that_other_users_can_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "token"
    token = read_or_make_token(path)
    path.chmod(0o440)
    assert read_or_make_token(path) == token
    path.chmod(mode)
    with pytest.raises(UsageError, match="Other users can read or change") as refused:
        read_or_make_token(path)
    assert refused.value.advice == f"Run: chmod 600 {path}"


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_a_file_of_seats_that_other_users_can_change_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "seats.json"
    write_seats(path, [Seat("anna", ("read",), token_sha256=token_digest("a"))])
    seats = SeatFile(path)
    for mode in (0o644, 0o660):
        path.chmod(mode)
        with pytest.raises(UsageError, match="chmod 600"):
            read_seats(path)
    seats.reload()
    assert seats.of_token("a") is not None


def test_a_full_queue_says_when_to_come_again() -> None:
    sent = status_pb2.Status.FromString(status.details_of(SeparationError("Full.", code=Code.QUEUE_FULL)))
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert sent.details[0].Unpack(info)
    assert sent.details[1].Unpack(retry)
    assert (info.reason, retry.retry_delay.seconds) == ("QUEUE_FULL", 5)
