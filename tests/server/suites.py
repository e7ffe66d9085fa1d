"""What every job table and every media store must do; a subclass for each implementation gives the fixture."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from stemline.clips import MediaSource, SampleRange
from stemline.errors import Code, InputError, OutputError, SeparationError
from stemline.media import MediaHasher
from stemline.v1 import separation_pb2 as pb
from stemline_server.jobs.claims import Group
from stemline_server.jobs.job_table import JobTable
from stemline_server.jobs.record import Filter, JobRecord, NewJob, Result
from stemline_server.jobs.specs import keys_of
from stemline_server.store.content import Draft
from stemline_server.store.media_store import MediaStore
from stemline_server.store.media_table import MediaReference, MediaShape

MEDIA = "media/" + "a" * 64
STEM = pb.Stem(media="media/" + "b" * 64, found=True)
SHAPE = MediaShape(48_000, 1, 1000)
LIMIT_BYTES = 5 * SHAPE.size_bytes
SOURCE, RANGE = MediaSource("/media/take.wav"), SampleRange(0, 1000)


def request(text: str, request_id: str = "", *, batch_id: str = "", priority: int = 0) -> NewJob:
    """A checked request whose key depends on the text."""
    spec = pb.SeparationSpec(media=MEDIA, prompt=pb.Prompt(text=text), channels=pb.CHANNEL_POLICY_LINKED)
    keys = keys_of(spec, "noop", "1", 1)
    return NewJob(request_id or uuid.uuid4().hex, batch_id, priority, spec, keys, "noop", "1")


class JobTableSuite:
    """Give it a fixture `jobs`, and one `published` that the table appends its changes to."""

    def create(self, jobs: JobTable, *texts: str) -> list[JobRecord]:
        return jobs.create([request(text) for text in texts], lambda _: True).result()

    def claim(self, jobs: JobTable, owner: str = "me") -> Group:
        group = jobs.claim(owner, lambda _: None).result()
        assert group is not None
        return group

    def test_a_request_id_names_one_job(self, jobs: JobTable) -> None:
        (first,) = jobs.create([request("a", "one")], lambda _: True).result()
        (again,) = jobs.create([request("a", "one")], lambda _: True).result()
        assert again == first
        with pytest.raises(InputError) as refused:
            jobs.create([request("b", "two"), request("b", "one")], lambda _: True).result()
        assert refused.value.code is Code.REQUEST_ID_REUSED
        assert jobs.newest(Filter(), 1 << 62, 10).result() == [first]

    def test_a_large_batch_is_taken_whole_or_not_at_all_and_lets_other_calls_in_between(self, jobs: JobTable) -> None:
        (there,) = jobs.create([request("there", "taken")], lambda _: True).result()
        batch = [request(str(number), f"id {number}") for number in range(1000)]
        creating = jobs.create(batch, lambda _: True)
        asked = jobs.get(there.name)
        assert asked.result() == there
        assert not creating.done()
        created = creating.result()
        assert [job.request_id for job in created] == [new.request_id for new in batch]
        assert jobs.counts().result() == (1001, 0)
        refused = [*(request(str(number), f"other {number}") for number in range(1000)), request("x", "taken")]
        with pytest.raises(InputError):
            jobs.create(refused, lambda _: True).result()
        twice = [*(request(str(number), f"other {number}") for number in range(1000)), request("x", "other 3")]
        with pytest.raises(InputError):
            jobs.create(twice, lambda _: True).result()
        assert jobs.counts().result() == (1001, 0)

    def test_a_group_is_leased_once_and_its_result_answers_every_job_of_its_key(self, jobs: JobTable) -> None:
        self.create(jobs, "a", "b", "a")
        group = self.claim(jobs)
        assert (len(group.jobs), len(group.keys)) == (3, 2)
        assert jobs.claim("other", lambda _: None).result() is None
        done = jobs.succeed(Result(group.keys[0], STEM, 1.0, "1")).result()
        assert {job.state for job in done} == {pb.STATE_SUCCEEDED}
        words = done[0].spec.prompt.text
        late = request(words)
        assert jobs.results_of([late]).result() == [STEM.media]
        (answered,) = jobs.create([late], lambda _: True).result()
        assert (answered.state, answered.message().stem) == (pb.STATE_SUCCEEDED, STEM)
        (computed,) = jobs.create([request(words)], lambda _: False).result()
        assert computed.state == pb.STATE_QUEUED

    def test_a_claim_is_seen_before_any_later_change(self, jobs: JobTable) -> None:
        (job,) = self.create(jobs, "a")
        seen: list[str] = []
        claimed = jobs.claim("me", lambda group: seen.append(f"claimed {group.jobs[0].name}"))
        cancelled = jobs.cancel(job.name, lambda changed: seen.append(f"cancelled {changed.name}"))
        assert claimed.result() is not None
        assert cancelled.result().state == pb.STATE_CANCELLING
        assert seen == [f"claimed {job.name}", f"cancelled {job.name}"]

    def test_changes_are_published_once_and_in_order(
        self, jobs: JobTable, published: list[Sequence[JobRecord]]
    ) -> None:
        (job,) = self.create(jobs, "a")
        group = self.claim(jobs)
        jobs.requeue(group.jobs, solo=False).result()
        jobs.cancel(job.name, lambda _: None).result()
        jobs.cancel(job.name, lambda _: None).result()  # it has ended: no change
        states = [changed.state for change in published for changed in change]
        assert states == [pb.STATE_QUEUED, pb.STATE_RUNNING, pb.STATE_QUEUED, pb.STATE_CANCELLED]
        sequences = [changed.sequence for change in published for changed in change]
        assert sequences == sorted(set(sequences))

    def test_jobs_are_found_by_name_batch_state_and_change(self, jobs: JobTable) -> None:
        created = jobs.create([request(str(number), batch_id="b") for number in range(5)], lambda _: True).result()
        self.create(jobs, "other")
        assert jobs.get(created[2].name).result() == created[2]
        assert jobs.newest(Filter(batch_id="b"), 1 << 62, 3).result() == created[:1:-1]
        assert jobs.newest(Filter(batch_id="b"), created[2].id, 3).result() == created[1::-1]
        assert jobs.changed_after("b", created[1].sequence, 2).result() == created[2:4]
        assert jobs.counts().result() == (6, 0)
        jobs.check_known([job.name for job in created]).result()
        for unknown in (jobs.get("jobs/none"), jobs.check_known([created[0].name, "jobs/none"])):
            with pytest.raises(SeparationError) as refused:
                unknown.result()
            assert refused.value.code is Code.JOB_UNKNOWN

    def test_an_ended_job_can_be_deleted_and_a_live_one_cannot(self, jobs: JobTable) -> None:
        (job,) = self.create(jobs, "a")
        with pytest.raises(InputError):
            jobs.delete(job.name).result()
        jobs.fail(self.claim(jobs).jobs, pb.JobError(reason="X")).result()
        failed = jobs.get(job.name).result().message()
        assert (failed.state, failed.error.reason) == (pb.STATE_FAILED, "X")
        jobs.delete(job.name).result()
        with pytest.raises(SeparationError):
            jobs.get(job.name).result()

    def test_leases_of_the_dead_are_taken_up_and_those_of_the_living_given_back(self, jobs: JobTable) -> None:
        (job,) = self.create(jobs, "a")
        group = self.claim(jobs, "dead")
        jobs.recover("me", crashed=True).result()
        assert jobs.get(job.name).result().lost_leases == 1
        assert jobs.waiting_claims().result() == {group.name}
        assert self.claim(jobs).name == group.name
        assert [given.name for given in jobs.give_back("me").result()] == [job.name]
        assert jobs.get(job.name).result().lost_leases == 1

    def test_ended_jobs_are_forgotten_by_age(self, jobs: JobTable) -> None:
        ended, live = self.create(jobs, "a", "b")
        jobs.cancel(ended.name, lambda _: None).result()
        jobs.forget_ended_before(1 << 62).result()
        assert jobs.newest(Filter(), 1 << 62, 10).result() == [live]


class MediaStoreSuite:
    """Give it a fixture `store`, empty and with room for five sounds of `SHAPE`, and one that fills its disk."""

    def keep(self, store: MediaStore, value: float) -> str:
        draft = Draft(store, SHAPE)
        draft.write(np.full((1, SHAPE.length_samples), value, np.float32))
        name = draft.close().name
        draft.discard()
        return name

    def test_a_stored_sound_is_known_whole_and_named_by_its_samples(self, store: MediaStore) -> None:
        name = self.keep(store, 0.5)
        media = store.lookup(name).result()
        assert media is not None
        assert (media.row.name, media.row.shape, media.references) == (name, SHAPE, ())
        assert store.is_verified(name)
        assert store.verify(media.row)
        hasher = MediaHasher(SHAPE.sample_rate, SHAPE.channels)
        hasher.update_pcm(store.path(name).read_bytes())
        assert hasher.name() == name
        assert store.stored_bytes().result() == SHAPE.size_bytes
        assert store.lookup(MEDIA).result() is None
        assert store.known([name, MEDIA]).result() == {name: media.row}

    def test_a_damaged_file_is_dropped(self, store: MediaStore) -> None:
        name = self.keep(store, 0.5)
        media = store.lookup(name).result()
        assert media is not None
        os.truncate(store.path(name), 8)
        assert not store.is_verified(name)
        assert not store.verify(media.row)
        assert store.lookup(name).result() is None
        assert store.stored_bytes().result() == 0

    def test_reading_needs_no_room_on_the_disk(self, store: MediaStore, full_disk: Callable[[], None]) -> None:
        name = self.keep(store, 0.5)
        full_disk()
        media = store.lookup(name).result()
        assert media is not None
        assert store.verify(media.row)
        assert store.known([name]).result() == {name: media.row}

    def test_a_deleted_sound_is_forgotten(self, store: MediaStore) -> None:
        name = self.keep(store, 0.5)
        store.delete(name).result()
        assert store.lookup(name).result() is None
        assert not store.path(name).exists()

    def test_a_referred_sound_is_known_without_a_copy(self, store: MediaStore) -> None:
        reference = MediaReference(SOURCE, RANGE, "identity")
        row = store.keep_reference(MEDIA, SHAPE, reference).result()
        assert row.stored_bytes == 0
        assert not store.verify(row)
        assert store.find_reference(SOURCE, RANGE, "identity").result() == row
        assert store.find_reference(SOURCE, RANGE, "another identity").result() is None
        media = store.lookup(MEDIA).result()
        assert media is not None
        assert media.references == (reference,)

    def test_room_comes_from_what_was_unused_longest(self, store: MediaStore) -> None:
        names = [self.keep(store, number / 10) for number in range(5)]
        store.lookup(names[0]).result()
        store.reserve(SHAPE.size_bytes)
        assert [store.is_verified(name) for name in names] == [True, False, True, True, True]
        store.release(SHAPE.size_bytes)

    def test_what_cannot_fit_costs_nothing(self, store: MediaStore) -> None:
        names = [self.keep(store, number / 10) for number in range(5)]
        for refused in (store.check_fits, store.reserve):
            with pytest.raises(OutputError) as full:
                refused(LIMIT_BYTES + 1)
            assert full.value.code is Code.DISK_QUOTA
        store.check_fits(LIMIT_BYTES)
        assert all(store.is_verified(name) for name in names)

    def test_room_that_is_set_aside_or_charged_is_not_given_twice(self, store: MediaStore) -> None:
        store.charge_part(2 * SHAPE.size_bytes)
        store.reserve(2 * SHAPE.size_bytes, part=True)
        store.reserve(SHAPE.size_bytes)
        with pytest.raises(OutputError):
            store.check_fits(1)
        store.release(SHAPE.size_bytes)
        store.release(4 * SHAPE.size_bytes, part=True)
        store.check_fits(LIMIT_BYTES)

    def test_abandoned_files_go_before_stored_sound(self, store: MediaStore) -> None:
        name = self.keep(store, 0.5)
        store.charge_part(4 * SHAPE.size_bytes)
        store.drop_abandoned = lambda: store.release(4 * SHAPE.size_bytes, part=True)
        store.reserve(SHAPE.size_bytes)
        assert store.is_verified(name)

    @pytest.mark.parametrize("name", ["", "media/", "media/../../etc/passwd", "media/" + "A" * 64])
    def test_names_cannot_become_paths(self, store: MediaStore, name: str) -> None:
        with pytest.raises(InputError):
            store.path(name)

    def test_a_draft_of_the_wrong_length_is_never_stored(self, store: MediaStore) -> None:
        draft = Draft(store, SHAPE)
        draft.write(np.zeros((1, 10), np.float32))
        with pytest.raises(ValueError, match="were written"):
            draft.close()
        draft.discard()
        assert list(Path(store.drafts).iterdir()) == []
        store.check_fits(LIMIT_BYTES)
