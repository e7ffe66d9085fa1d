"""Jobs: created once, run, shared, cancelled, watched."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration

from server.conftest import LENGTH_SAMPLES
from server.harness import ENDED, Caller, job_request, samples_of
from stemline.v1 import media_pb2
from stemline.v1 import separation_pb2 as pb
from stemline_server.jobs.specs import normal_spec


@pytest.fixture
def media(server: Caller, noise: Path) -> str:
    return server.register(noise, 0, LENGTH_SAMPLES).name


def test_a_job_gives_a_stem_of_the_shape_of_its_media(server: Caller, media: str, noise: Path) -> None:
    job = server.done(server.create(media, seed=7, origin_sample=100).name)
    stem = server.call(server.media.GetMedia, media_pb2.GetMediaRequest(name=job.stem.media))
    assert (stem.sample_rate, stem.channels, stem.length_samples) == (48_000, 2, LENGTH_SAMPLES)
    half = samples_of(noise) / 2
    assert np.array_equal(np.frombuffer(Path(stem.local_path).read_bytes(), "<f4").reshape(-1, 2), half)
    assert (job.stem.found, job.stem.matched, job.model, job.revision) == (True, "speech", "noop", "noop-1")
    assert job.attempt == 1
    assert job.create_time.ToNanoseconds() <= job.start_time.ToNanoseconds() <= job.end_time.ToNanoseconds()


def test_the_same_request_id_is_the_same_job(server: Caller, media: str) -> None:
    first = server.create(media, request_id="one")
    assert server.create(media, request_id="one").name == first.name
    code, message = server.refused(server.jobs.CreateJob, job_request(media, "dog", "one"))
    assert code is grpc.StatusCode.ALREADY_EXISTS
    assert "one" in message
    server.done(first.name)
    again = server.create(media, request_id="one")
    assert (again.name, again.state, again.attempt) == (first.name, pb.STATE_SUCCEEDED, 1)


def test_a_mask_is_refused_by_a_model_without_pictures(server: Caller, media: str) -> None:
    request = job_request(media, "dog", "masked")
    request.spec.prompt.mask = "media/mask"
    code, message = server.refused(server.jobs.CreateJob, request)
    assert (code, message) == (grpc.StatusCode.INVALID_ARGUMENT, "The model noop does not take masks.")


def test_a_cancelled_job_that_is_created_again_is_a_new_attempt(server: Caller, media: str) -> None:
    first = server.create(media, "sleep:60", "again")
    server.until(first.name, pb.STATE_RUNNING)
    server.cancel(first.name)
    server.until(first.name, pb.STATE_CANCELLED)
    second = server.create(media, "sleep:60", "again")
    assert (second.name, second.attempt) == (first.name, 2)
    server.until(second.name, pb.STATE_RUNNING)
    server.cancel(second.name)


def test_the_same_work_is_done_once(server: Caller, media: str) -> None:
    jobs = [server.create(media, "sleep:0.4") for _ in range(3)]
    stems = {server.done(job.name).stem.media for job in jobs}
    assert len(stems) == 1
    later = server.create(media, "sleep:0.4")
    assert (later.state, later.stem.media) == (pb.STATE_SUCCEEDED, stems.pop())
    other = server.create(media, "sleep:0.4", seed=1)
    assert other.key != later.key
    assert other.state != pb.STATE_SUCCEEDED


def test_a_result_whose_stem_is_gone_is_computed_again(server: Caller, media: str) -> None:
    job = server.done(server.create(media, request_id="kept").name)
    server.call(server.media.DeleteMedia, media_pb2.DeleteMediaRequest(name=job.stem.media))
    again = server.create(media, request_id="kept")
    assert (again.name, again.attempt) == (job.name, 2)
    assert server.done(job.name).stem.media == job.stem.media
    assert server.call(server.media.GetMedia, media_pb2.GetMediaRequest(name=job.stem.media)).local_path


def test_one_of_two_callers_of_the_same_work_can_cancel(server: Caller, media: str) -> None:
    stays, leaves = server.create(media, "sleep:1"), server.create(media, "sleep:1")
    server.until(stays.name, pb.STATE_RUNNING)
    server.cancel(leaves.name)
    assert server.until(leaves.name, pb.STATE_CANCELLED).stem.media == ""
    assert server.done(stays.name).stem.media


def test_several_prompts_share_one_run(server: Caller, media: str) -> None:
    blocker = server.create(media, "sleep:0.5")
    requests = [job_request(media, text, batch_id="b") for text in ("a", "b", "c", "sleep:0.2")]
    server.call(server.jobs.BatchCreateJobs, pb.BatchCreateJobsRequest(requests=requests))
    starts = set()
    for job in server.call(server.jobs.ListJobs, pb.ListJobsRequest(batch_id="b")).jobs:
        starts.add(server.done(job.name).start_time.ToSeconds())
    assert server.get(blocker.name).state == pb.STATE_SUCCEEDED
    assert len(starts) <= 2


def test_a_batch_is_created_whole_or_not_at_all(server: Caller, media: str) -> None:
    requests = [
        job_request(media, "a", "x1"),
        job_request(media, "b", "x2"),
        job_request("media/" + "0" * 64, "c", "x3"),
    ]
    refused, _ = server.refused(server.jobs.BatchCreateJobs, pb.BatchCreateJobsRequest(requests=requests))
    assert refused is grpc.StatusCode.NOT_FOUND
    requests[2] = job_request(media, "c", "x1")
    refused, _ = server.refused(server.jobs.BatchCreateJobs, pb.BatchCreateJobsRequest(requests=requests))
    assert refused is grpc.StatusCode.ALREADY_EXISTS
    assert not server.call(server.jobs.ListJobs, pb.ListJobsRequest()).jobs


def test_priority_then_age(server: Caller, media: str) -> None:
    server.create(media, "sleep:0.5", seed=9)
    order = [server.create(media, "x", seed=seed, priority=priority) for seed, priority in ((1, 0), (2, 0), (3, 5))]
    ends = [server.done(job.name).end_time.ToNanoseconds() for job in order]
    assert ends[2] < ends[0] < ends[1]


def test_cancel_reaches_a_running_engine(server: Caller, media: str) -> None:
    job = server.create(media, "sleep:600")
    server.until(job.name, pb.STATE_RUNNING)
    assert server.cancel(job.name).state in (pb.STATE_CANCELLING, pb.STATE_CANCELLED)
    ended = server.until(job.name, pb.STATE_CANCELLED)
    assert ended.HasField("end_time")
    assert server.cancel(job.name).state == pb.STATE_CANCELLED
    assert server.done(server.create(media, "next").name)


def test_a_queued_job_is_cancelled_at_once(server: Caller, media: str) -> None:
    blocker = server.create(media, "sleep:600", seed=1)
    queued = server.create(media, "x")
    assert server.cancel(queued.name).state == pb.STATE_CANCELLED
    server.cancel(blocker.name)


def test_wait_returns_at_the_end_or_at_the_timeout(server: Caller, media: str) -> None:
    job = server.create(media, "sleep:600")
    waited = server.call(server.jobs.WaitJob, pb.WaitJobRequest(name=job.name, timeout=Duration(nanos=100_000_000)))
    assert waited.state in (pb.STATE_QUEUED, pb.STATE_RUNNING)
    server.cancel(job.name)
    ended = server.call(server.jobs.WaitJob, pb.WaitJobRequest(name=job.name))
    assert ended.state == pb.STATE_CANCELLED


def watch_until_ended(server: Caller, after_sequence: int = 0, **which: Any) -> list[pb.JobEvent]:
    request = pb.WatchJobsRequest(after_sequence=after_sequence, **which)
    events: list[pb.JobEvent] = []
    for event in server.call(server.jobs.WatchJobs, request):
        events.append(event)
        if event.job.state in ENDED:
            return events
    return events


def test_a_watch_sends_every_change_in_order_and_progress(server: Caller, media: str) -> None:
    job = server.create(media, "sleep:0.6", batch_id="b")
    other = server.create(media, "x", seed=3, batch_id="other")
    events = watch_until_ended(server, batch_id="b")
    assert {event.job.name for event in events} == {job.name}
    lasting = [event.sequence for event in events if event.sequence]
    assert lasting == sorted(set(lasting))
    assert any(event.sequence == 0 and 0 < event.job.progress.fraction < 1 for event in events)
    assert events[-1].job.stem.media
    server.done(other.name)


def test_watch_goes_on_after_a_sequence(server: Caller, media: str) -> None:
    events = watch_until_ended(server, names=[server.create(media, "a").name])
    last = events[-1].sequence
    job = server.create(media, "b", seed=1)
    later = watch_until_ended(server, last)
    assert {event.job.name for event in later} == {job.name}
    assert all(event.sequence == 0 or event.sequence > last for event in later)


def test_watching_an_ended_job_sends_its_last_state(server: Caller, media: str) -> None:
    job = server.done(server.create(media).name)
    (event,) = watch_until_ended(server, names=[job.name])
    assert event.sequence == job.last_sequence
    assert event.job == job


def test_a_client_that_vanishes_cancels_nothing(server: Caller, media: str) -> None:
    job = server.create(media, "sleep:0.5")
    stream = server.jobs.WatchJobs(pb.WatchJobsRequest(names=[job.name]), metadata=server.metadata)
    next(stream)
    stream.cancel()
    assert server.done(job.name).stem.media


def test_many_watches_do_not_block_other_calls(server: Caller, media: str) -> None:
    job = server.create(media, "sleep:1")
    watches = [
        threading.Thread(target=watch_until_ended, args=(server,), kwargs={"names": [job.name]}) for _ in range(12)
    ]
    for watch in watches:
        watch.start()
    assert server.info().running_jobs + server.info().queued_jobs == 1
    for watch in watches:
        watch.join()


def test_lists_are_paged_newest_first(server: Caller, media: str) -> None:
    names = [server.create(media, f"prompt {number}", batch_id="b").name for number in range(5)]
    listed, token = [], ""
    while True:
        page = server.call(server.jobs.ListJobs, pb.ListJobsRequest(batch_id="b", page_size=2, page_token=token))
        assert len(page.jobs) <= 2
        listed += [job.name for job in page.jobs]
        token = page.next_page_token
        if not token:
            break
    assert listed == names[::-1]
    for name in names:
        server.done(name)
    only = pb.ListJobsRequest(states=[pb.STATE_FAILED])
    assert not server.call(server.jobs.ListJobs, only).jobs
    strange = "x' OR 1=1"
    code, _ = server.refused(server.jobs.ListJobs, pb.ListJobsRequest(page_token=strange))
    assert code is grpc.StatusCode.INVALID_ARGUMENT


def test_a_deleted_job_is_forgotten_and_its_stem_is_not(server: Caller, media: str) -> None:
    running = server.create(media, "sleep:60", seed=1)
    delete = server.jobs.DeleteJob
    assert server.refused(delete, pb.DeleteJobRequest(name=running.name))[0] is grpc.StatusCode.INVALID_ARGUMENT
    server.cancel(running.name)
    job = server.done(server.create(media).name)
    server.call(delete, pb.DeleteJobRequest(name=job.name))
    for method, request in (
        (server.jobs.GetJob, pb.GetJobRequest(name=job.name)),
        (delete, pb.DeleteJobRequest(name=job.name)),
        (server.jobs.CancelJob, pb.CancelJobRequest(name=job.name)),
        (server.jobs.WaitJob, pb.WaitJobRequest(name=job.name)),
        (server.jobs.WatchJobs, pb.WatchJobsRequest(names=[job.name])),
    ):
        assert server.refused(method, request)[0] is grpc.StatusCode.NOT_FOUND
    assert server.call(server.media.GetMedia, media_pb2.GetMediaRequest(name=job.stem.media)).name


def test_a_chain_separates_the_residual(server: Caller, media: str, noise: Path) -> None:
    first = server.done(server.create(media, "first").name)
    second = server.done(server.create(media, "second", subtract=[first.stem.media]).name)
    quarter = np.frombuffer(server.download(second.stem.media), "<f4").reshape(-1, 2)
    assert np.array_equal(quarter, samples_of(noise) / 4)
    other = server.register(noise, 0, 100)
    code, _ = server.refused(server.jobs.CreateJob, job_request(media, subtract=[other.name]))
    assert code is grpc.StatusCode.INVALID_ARGUMENT


def test_other_calls_get_their_turn_during_a_large_batch(
    server: Caller, media: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else runs in the event loop while a batch is checked, unless the batch makes room for it."""
    turns: list[int] = []
    checked = 0

    def count(spec: pb.SeparationSpec, default_model: str) -> pb.SeparationSpec:
        nonlocal checked
        checked += 1
        asyncio.get_running_loop().call_soon(lambda: turns.append(checked))
        return normal_spec(spec, default_model)

    monkeypatch.setattr("stemline_server.services.separation.normal_spec", count)
    requests = [job_request(media, f"prompt {number}") for number in range(1000)]
    server.call(server.jobs.BatchCreateJobs, pb.BatchCreateJobsRequest(requests=requests))
    assert sorted(set(turns)) == [200, 400, 600, 800, 1000]


def test_a_large_batch_is_taken_at_once(server: Caller, media: str) -> None:
    blocker = server.create(media, "sleep:600", priority=9)
    server.until(blocker.name, pb.STATE_RUNNING)
    requests = [job_request(media, f"prompt {number}", batch_id="big") for number in range(1000)]
    created = server.call(server.jobs.BatchCreateJobs, pb.BatchCreateJobsRequest(requests=requests)).jobs
    assert [job.request_id for job in created] == [request.request_id for request in requests]
    assert {job.state for job in created} == {pb.STATE_QUEUED}
