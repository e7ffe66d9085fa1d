"""Whatever an engine does, the job ends with a reason and the worker goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.conftest import LENGTH_SAMPLES, Behaviour
from server.harness import Caller, job_request
from stemline.errors import Code, SeparationError
from stemline.v1 import separation_pb2 as pb
from stemline_server.engines.base import Control, EngineRequest


@pytest.fixture
def media(behave: list[Behaviour], server: Caller, noise: Path) -> str:
    return server.register(noise, 0, LENGTH_SAMPLES).name


def raising(error: BaseException) -> Behaviour:
    def behaviour(_: EngineRequest, __: Control) -> None:
        raise error

    return behaviour


class OutOfMemoryError(RuntimeError):
    """As torch names its own."""


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (SeparationError("12 GB are needed.", code=Code.DEVICE_OUT_OF_MEMORY, advice="Buy."), "DEVICE_OUT_OF_MEMORY"),
        (MemoryError(), "DEVICE_OUT_OF_MEMORY"),
        (OutOfMemoryError("secret size"), "DEVICE_OUT_OF_MEMORY"),
        (OSError(28, "No space left on device"), "DISK_FULL"),
        (RuntimeError("secret path /home/x"), "INTERNAL"),
        (KeyboardInterrupt("secret"), "INTERNAL"),
    ],
)
def test_errors_become_reasons(
    server: Caller, media: str, behave: list[Behaviour], error: BaseException, reason: str
) -> None:
    behave.append(raising(error))
    failed = server.until(server.create(media).name, pb.STATE_FAILED)
    assert failed.error.reason == reason
    assert failed.error.message.endswith((".", ")."))
    assert "secret" not in failed.error.message + failed.error.advice
    behave.clear()
    assert server.done(server.create(media, "next").name)


def test_a_failed_job_that_is_created_again_is_tried_again(server: Caller, media: str, behave: list[Behaviour]) -> None:
    behave.append(raising(RuntimeError()))
    failed = server.until(server.create(media, request_id="again").name, pb.STATE_FAILED)
    behave.clear()
    again = server.create(media, request_id="again")
    assert (again.name, again.attempt, again.HasField("error")) == (failed.name, 2, False)
    assert server.done(again.name).stem.media


def test_one_bad_prompt_of_a_group_fails_alone(server: Caller, media: str, behave: list[Behaviour]) -> None:
    def refuse_dogs(request: EngineRequest, _: Control) -> None:
        if any(prompt.text == "dog" for prompt in request.prompts):
            raise SeparationError("No dogs.", code=Code.PROMPT_UNKNOWN)

    behave.append(refuse_dogs)
    requests = [job_request(media, text) for text in ("cat", "dog", "cow")]
    cat, dog, cow = server.call(server.jobs.BatchCreateJobs, pb.BatchCreateJobsRequest(requests=requests)).jobs
    assert server.until(dog.name, pb.STATE_FAILED).error.reason == "PROMPT_UNKNOWN"
    assert server.done(cat.name).stem.media
    assert server.done(cow.name).stem.media


def test_prompts_of_one_media_reach_the_engine_together(server: Caller, media: str, behave: list[Behaviour]) -> None:
    seen: list[set[str]] = []
    behave.append(lambda request, _: seen.append({prompt.text for prompt in request.prompts}))
    requests = [job_request(media, text) for text in ("cat", "dog", "cow")] + [job_request(media, "cat", seed=1)]
    for job in server.call(server.jobs.BatchCreateJobs, pb.BatchCreateJobsRequest(requests=requests)).jobs:
        server.done(job.name)
    assert seen == [{"cat", "dog", "cow"}, {"cat"}]


def test_warnings_and_findings_come_with_the_stem(server: Caller, media: str, behave: list[Behaviour]) -> None:
    behave.append(lambda _, control: control.warn(0, "QUIET", "It is very quiet."))
    stem = server.done(server.create(media, "cat").name).stem
    assert [(warning.code, warning.message) for warning in stem.warnings] == [("QUIET", "It is very quiet.")]
    assert (stem.found, stem.confidence, stem.matched) == (True, 1.0, "cat")


def test_the_scratch_folder_is_private_and_goes_with_the_job(
    server: Caller, media: str, behave: list[Behaviour]
) -> None:
    folders: list[Path] = []

    def leave_something(request: EngineRequest, _: Control) -> None:
        assert request.scratch is not None
        (request.scratch / "state.bin").write_bytes(b"half way")
        folders.append(request.scratch)

    behave.append(leave_something)
    for text in ("cat", "dog"):
        server.done(server.create(media, text).name)
    assert len(set(folders)) == 2
    server.done(server.create(media, "cow").name)
    assert not any(folder.exists() for folder in folders[:2])
