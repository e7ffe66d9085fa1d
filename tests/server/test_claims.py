"""Which jobs come together, and what becomes of them when the server dies."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from stemline.v1 import separation_pb2 as pb
from stemline_server.jobs import table
from stemline_server.jobs.claims import MAX_PROMPTS, Group, next_group, waiting_claims
from stemline_server.jobs.record import JobRecord, NewJob, Result
from stemline_server.jobs.specs import keys_of
from stemline_server.store.schema import SCHEMA

MEDIA = "media/" + "a" * 64


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with sqlite3.connect(tmp_path / "jobs.sqlite") as opened:
        opened.row_factory = sqlite3.Row
        opened.executescript(SCHEMA)
        yield opened
    opened.close()


def add(
    connection: sqlite3.Connection,
    text: str,
    seed: int = 0,
    priority: int = 0,
    request_id: str = "",
    model: str = "noop",
) -> JobRecord:
    spec = pb.SeparationSpec(media=MEDIA, prompt=pb.Prompt(text=text), seed=seed, channels=pb.CHANNEL_POLICY_LINKED)
    keys = keys_of(spec, model, "1", 1)
    number = connection.execute("SELECT count(*) FROM jobs").fetchone()[0]
    new = NewJob(request_id or f"request {number}", "", priority, spec, keys, model, "1")
    return table.create(connection, new, lambda _: True).job


def texts(group: Group | None) -> list[str]:
    assert group is not None
    return sorted(job.spec.prompt.text for job in group.jobs)


def stem(name: str = "b") -> pb.Stem:
    return pb.Stem(media="media/" + name * 64, found=True)


def test_only_the_prompt_may_differ_within_a_group(connection: sqlite3.Connection) -> None:
    for text, seed in (("a", 0), ("other", 1), ("b", 0), ("a", 0)):
        add(connection, text, seed)
    first = next_group(connection, "me")
    assert first is not None
    assert texts(first) == ["a", "a", "b"]
    assert len(first.keys) == 2
    assert texts(next_group(connection, "me")) == ["other"]
    assert next_group(connection, "me") is None


def test_a_group_has_a_largest_size(connection: sqlite3.Connection) -> None:
    for number in range(MAX_PROMPTS + 2):
        add(connection, f"prompt {number}")
    first, second = next_group(connection, "me"), next_group(connection, "me")
    assert first is not None
    assert second is not None
    assert (len(first.keys), len(second.keys)) == (MAX_PROMPTS, 2)


def test_a_running_computation_is_not_started_twice(connection: sqlite3.Connection) -> None:
    add(connection, "a")
    first = next_group(connection, "me")
    assert first is not None
    late = add(connection, "a")
    assert next_group(connection, "me") is None
    table.succeed(connection, Result(first.keys[0], stem(), 1.0, "1"))
    assert table.get(connection, late.name).state == pb.STATE_SUCCEEDED


def test_an_interrupted_group_comes_together_again_under_its_old_name(connection: sqlite3.Connection) -> None:
    for text in ("a", "b"):
        add(connection, text)
    before = next_group(connection, "dead")
    add(connection, "c")
    table.recover(connection, "me", crashed=True)
    again = next_group(connection, "me")
    assert before is not None
    assert again is not None
    assert (again.name, texts(again)) == (before.name, ["a", "b"])
    assert {job.attempt for job in again.jobs} == {2}
    assert texts(next_group(connection, "me")) == ["c"]
    assert waiting_claims(connection) == set()


def test_after_two_deaths_each_runs_alone_and_only_the_deadly_one_fails(connection: sqlite3.Connection) -> None:
    harmless, deadly = add(connection, "harmless"), add(connection, "deadly")
    for owner in ("first", "second"):
        assert texts(next_group(connection, owner)) == ["deadly", "harmless"]
        table.recover(connection, owner + " is dead", crashed=True)
    alone = next_group(connection, "third")
    assert texts(alone) == ["harmless"]
    assert alone is not None
    table.succeed(connection, Result(alone.keys[0], stem(), 1.0, "1"))
    assert texts(next_group(connection, "third")) == ["deadly"]
    table.recover(connection, "fourth", crashed=True)
    assert table.get(connection, harmless.name).state == pb.STATE_SUCCEEDED
    failed = table.get(connection, deadly.name).message()
    assert (failed.state, failed.error.reason) == (pb.STATE_FAILED, "POISONED_INPUT")
    assert add(connection, "deadly", request_id=deadly.request_id).lost_leases == 0


def test_kills_from_outside_are_never_the_fault_of_a_job(connection: sqlite3.Connection) -> None:
    job = add(connection, "a")
    for number in range(100):
        next_group(connection, f"killed {number}")
        table.recover(connection, "me", crashed=False)
        assert table.get(connection, job.name).state == pb.STATE_QUEUED


def test_a_job_whose_engine_dies_three_times_fails_with_the_reason_of_the_last_death(
    connection: sqlite3.Connection,
) -> None:
    job = add(connection, "a")
    memory = pb.JobError(reason="DEVICE_OUT_OF_MEMORY")
    for explained in (True, False, True, False):
        group = next_group(connection, "me")
        assert group is not None
        (lost,) = table.lose(connection, group.jobs, memory, explained=explained)
        assert lost.state == pb.STATE_QUEUED
    group = next_group(connection, "me")
    assert group is not None
    (failed,) = table.lose(connection, group.jobs, memory, explained=True)
    assert (failed.state, failed.message().error.reason) == (pb.STATE_FAILED, "DEVICE_OUT_OF_MEMORY")
    assert failed.name == job.name


def test_jobs_of_a_loaded_model_pass_older_ones_of_their_priority_for_a_while(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        add(connection, str(number), model="ab"[number % 2], seed=number)
    add(connection, "urgent", model="b", priority=1)
    assert texts(next_group(connection, "me", ["b"])) == ["urgent"]
    assert texts(next_group(connection, "me", ["b"])) == ["1"]
    assert texts(next_group(connection, "me")) == ["0"]
    assert texts(next_group(connection, "me", ["c", "b"])) == ["3"]
    monkeypatch.setattr("stemline_server.jobs.claims._LONGEST_DETOUR_US", 0)
    assert texts(next_group(connection, "me", ["b"])) == ["2"]


def test_after_some_kills_a_job_runs_alone(connection: sqlite3.Connection) -> None:
    """An engine can end the process without a trace, and the others of the group must not fail with it."""
    for text in ("a", "b"):
        add(connection, text)
    for number in range(5):
        assert texts(next_group(connection, f"killed {number}")) == ["a", "b"]
        table.recover(connection, "me", crashed=False)
    assert texts(next_group(connection, "me")) == ["a"]


def test_a_cancel_that_the_server_died_of_still_counts(connection: sqlite3.Connection) -> None:
    job = add(connection, "a")
    next_group(connection, "dead")
    assert table.cancel(connection, job.name).job.state == pb.STATE_CANCELLING
    table.recover(connection, "me", crashed=True)
    assert table.get(connection, job.name).state == pb.STATE_CANCELLED


def test_jobs_that_have_not_ended_pin_their_media(connection: sqlite3.Connection) -> None:
    def pins() -> int:
        return int(connection.execute("SELECT count(*) FROM pins").fetchone()[0])

    add(connection, "a")
    group = next_group(connection, "me")
    assert group is not None
    assert pins() == 1
    table.requeue(connection, group.jobs, solo=False)
    assert pins() == 1
    again = next_group(connection, "me")
    assert again is not None
    table.fail(connection, again.jobs, pb.JobError(reason="X"))
    assert pins() == 0


def test_sequence_numbers_only_grow(connection: sqlite3.Connection) -> None:
    sequences = [add(connection, "a").sequence, add(connection, "b").sequence]
    group = next_group(connection, "me")
    assert group is not None
    sequences += [job.sequence for job in group.jobs]
    sequences += [job.sequence for job in table.requeue(connection, group.jobs, solo=True)]
    connection.execute("DELETE FROM jobs")
    sequences.append(add(connection, "c").sequence)
    assert sequences == sorted(set(sequences))


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"media": "media/" + "c" * 64},
        {"quality": "best"},
        {"channels": pb.CHANNEL_POLICY_EACH},
        {"subtract": [MEDIA]},
        {"origin_sample": 1},
        {"prompt": pb.Prompt(text="b")},
        {"prompt": pb.Prompt(text="a", plus=[pb.SampleRange(end_sample=5)])},
        {"prompt": pb.Prompt(text="a", minus=[pb.SampleRange(end_sample=5)])},
    ],
)
def test_whatever_changes_the_result_changes_the_key(change: dict[str, Any]) -> None:
    spec = pb.SeparationSpec(media=MEDIA, prompt=pb.Prompt(text="a"), channels=pb.CHANNEL_POLICY_LINKED)
    other = pb.SeparationSpec()
    other.CopyFrom(spec)
    for field in change:
        other.ClearField(cast(Any, field))
    other.MergeFrom(pb.SeparationSpec(**change))
    keys, changed = keys_of(spec, "noop", "1", 1), keys_of(other, "noop", "1", 1)
    assert keys.key != changed.key
    assert (keys.group == changed.group) is ("prompt" in change)
    for again in (keys_of(spec, "other", "1", 1), keys_of(spec, "noop", "2", 1), keys_of(spec, "noop", "1", 2)):
        assert again.key != keys.key
