"""Jobs that survive killed, cancelled and concurrent clients and servers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.client.sounds import LENGTH_SAMPLES, make_request, samples_of
from stemline.client import Client, Job, JobState, connect, find_private
from stemline.clips import MediaSource, SampleRange
from stemline.errors import Code, MediaError, SeparationError, UsageError


def kill_server() -> int:
    found = find_private()
    assert found is not None
    os.kill(found.pid, signal.SIGKILL)
    return found.pid


def last(jobs: Iterator[Job]) -> dict[str, Job]:
    return {job.name: job for job in jobs}


def test_a_stem_has_the_length_of_its_media_and_the_engines_samples(client: Client, clip: Path) -> None:
    (job,) = client.create_jobs([make_request(client, clip)])
    done = last(client.watch([job.name]))[job.name]
    assert done.state is JobState.SUCCEEDED
    assert done.stem is not None
    with client.open_media(done.stem.media) as stem:
        assert (stem.sample_rate, stem.channels, stem.length_samples) == (48_000, 2, LENGTH_SAMPLES)
        np.testing.assert_array_equal(stem.read(0, LENGTH_SAMPLES), samples_of(clip) * np.float32(0.5))
        np.testing.assert_array_equal(stem.read(100, 103), samples_of(clip)[:, 100:103] * np.float32(0.5))
        assert stem.read(7, 7).shape == (2, 0)
        with pytest.raises(ValueError, match="not within"):
            stem.read(0, LENGTH_SAMPLES + 1)


def test_a_watch_reports_each_end_once_and_ends_with_the_last_job(client: Client, clip: Path) -> None:
    request = make_request(client, clip, batch_id="ends once")
    requests = [replace(request, prompt=replace(request.prompt, text=f"p{n}"), request_id=f"once{n}") for n in range(5)]
    created = client.create_jobs(requests)
    assert [job.request.prompt.text for job in created] == [f"p{n}" for n in range(5)]
    ends = [job.name for job in client.watch("ends once") if job.ended]
    assert sorted(ends) == sorted(job.name for job in created)


def test_finished_work_is_not_repeated(client: Client, clip: Path) -> None:
    request = make_request(client, clip)
    first = last(client.watch([client.create_jobs([request])[0].name])).popitem()[1]
    (again,) = client.create_jobs([replace(request, request_id="another")])
    assert again.state is JobState.SUCCEEDED
    assert again.stem == first.stem
    (same,) = client.create_jobs([request])
    assert same.name == first.name


def test_a_reused_request_id_is_refused(client: Client, clip: Path) -> None:
    request = make_request(client, clip)
    client.create_jobs([request])
    with pytest.raises(Exception, match="request id") as caught:
        client.create_jobs([replace(request, seed=1)])
    assert getattr(caught.value, "code", None) is Code.REQUEST_ID_REUSED


def test_a_killed_server_is_restarted_and_the_result_arrives(own_client: Client, clip: Path) -> None:
    (job,) = own_client.create_jobs([make_request(own_client, clip, "sleep:1.0")])
    killed = 0
    states = []
    for seen in own_client.watch([job.name]):
        states.append(seen.state)
        if seen.state is JobState.RUNNING and not killed:
            killed = kill_server()
    found = find_private()
    assert found is not None
    assert killed not in (0, found.pid)
    assert states[-1] is JobState.SUCCEEDED
    assert last(own_client.watch([job.name])).popitem()[1].stem is not None


def test_a_batch_finishes_though_the_server_is_killed_repeatedly(own_client: Client, clip: Path) -> None:
    request = make_request(own_client, clip, batch_id="batch")
    own_client.create_jobs(
        [
            replace(request, prompt=replace(request.prompt, text=f"sleep:0.{n}"), seed=n, request_id=f"r{n}")
            for n in range(1, 7)
        ]
    )
    ended: list[str] = []
    for seen in own_client.watch("batch"):
        if seen.ended:
            assert seen.state is JobState.SUCCEEDED
            ended.append(seen.name)
            if len(ended) in (1, 3):
                kill_server()
    assert len(ended) == len(set(ended)) == 6


def test_jobs_of_a_killed_client_are_found_by_the_next(client: Client, clip: Path) -> None:
    script = (
        "import os, signal, sys\nfrom stemline.client import *\nfrom stemline.clips import *\n"
        "client = connect()\n"
        "media = client.ensure_media(MediaSource(sys.argv[1]), SampleRange(0, 48000))\n"
        "request = JobRequest(media.name, SamplePrompt('sleep:0.5'), model='noop', batch_id='left')\n"
        "name = client.create_jobs([request])[0].name\n"
        "next(client.watch([name]))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    gone = subprocess.run([sys.executable, "-c", script, str(clip)], timeout=60, check=False)
    assert gone.returncode == -signal.SIGKILL
    (job,) = last(client.watch("left")).values()
    assert job.state is JobState.SUCCEEDED


def test_a_cancelled_job_can_be_run_again(client: Client, clip: Path) -> None:
    request = make_request(client, clip, "sleep:30")
    (job,) = client.create_jobs([request])
    for seen in client.watch([job.name]):
        if seen.state is JobState.RUNNING:
            client.cancel([job.name])
        state = seen.state
    assert state is JobState.CANCELLED
    (again,) = client.create_jobs([request])
    assert again.name == job.name
    assert again.attempt == seen.attempt + 1
    client.cancel([job.name])
    assert last(client.watch([job.name]))[job.name].state is JobState.CANCELLED


def test_leaving_a_watch_cancels_nothing(client: Client, clip: Path) -> None:
    (job,) = client.create_jobs([make_request(client, clip, "sleep:0.3")])
    watch = client.watch([job.name])
    next(watch)
    watch.close()
    assert last(client.watch([job.name]))[job.name].state is JobState.SUCCEEDED


def test_a_job_deleted_during_a_watch_ends_it_with_an_error(client: Client, clip: Path) -> None:
    names = [job.name for job in client.create_jobs([make_request(client, clip)])]
    last(client.watch(names))
    client.delete_job(names[0])
    (lost,) = client.watch(names)
    assert lost.state is JobState.FAILED
    assert lost.error is not None
    assert lost.error.error().code is Code.JOB_UNKNOWN
    with pytest.raises(SeparationError, match="no such job"):
        client.job(names[0])


def test_an_empty_watch_ends_at_once(client: Client) -> None:
    assert list(client.watch([])) == []
    assert list(client.watch("no such batch")) == []


def test_two_clients_share_one_computation(client: Client, clip: Path) -> None:
    request = make_request(client, clip, "sleep:0.5")
    with connect() as other:
        (mine,) = client.create_jobs([request])
        (theirs,) = other.create_jobs([replace(request, request_id="theirs")])
        done: dict[str, Job] = {}
        thread = threading.Thread(target=lambda: done.update(last(other.watch([theirs.name]))))
        thread.start()
        done.update(last(client.watch([mine.name])))
        thread.join(60)
    assert len({job.key for job in done.values()}) == 1
    assert {job.state for job in done.values()} == {JobState.SUCCEEDED}


def test_errors_have_their_code_and_class(client: Client, clip: Path, tmp_path: Path) -> None:
    request = make_request(client, clip)
    with pytest.raises(UsageError) as unknown:
        client.create_jobs([replace(request, model="no such model")])
    assert unknown.value.code is Code.MODEL_UNKNOWN
    with pytest.raises(MediaError) as missing:
        client.ensure_media(MediaSource(str(tmp_path / "nothing.wav")), SampleRange(0, 10))
    assert missing.value.code is Code.MEDIA_MISSING
    with pytest.raises(MediaError) as beyond:
        client.ensure_media(MediaSource(str(clip)), SampleRange(0, LENGTH_SAMPLES + 1))
    assert beyond.value.code is Code.MEDIA_OUT_OF_RANGE
    with pytest.raises(MediaError) as unheld:
        client.open_media("media/" + "0" * 64)
    assert unheld.value.code is Code.MEDIA_UNKNOWN


def test_jobs_are_split_into_messages_of_allowed_size(client: Client, clip: Path) -> None:
    """600 jobs, the prompts of some as long as a server takes."""
    request = make_request(client, clip, batch_id="many")
    texts = [f"{n} {'x' * (1 + n % 3 * 400)}" for n in range(600)]
    requests = [
        replace(request, prompt=replace(request.prompt, text=text), request_id=f"many{n}")
        for n, text in enumerate(texts)
    ]
    created = client.create_jobs(requests)
    assert [job.request.prompt.text for job in created] == texts
    client.cancel([job.name for job in created[5:]])
    ended = last(job for job in client.watch("many") if job.ended)
    assert len(ended) == 600
