"""The job key: what identifies a computation keeps its bytes, so results made by earlier versions are found again."""

from __future__ import annotations

import pytest
from google.protobuf.descriptor import Descriptor

from stemline.identity import GENERATION, NOT_IN_THE_KEY, SEPARATION
from stemline.v1 import generation_pb2
from stemline.v1 import separation_pb2 as pb
from stemline_server.jobs.claims import claim_name
from stemline_server.jobs.specs import JobKeys, keys_of

MEDIA, STEM, OTHER_STEM = ("media/" + digit * 64 for digit in "abc")


def spans(*pairs: tuple[int, int]) -> list[pb.SampleRange]:
    return [pb.SampleRange(start_sample=start, end_sample=end) for start, end in pairs]


PLAIN = pb.SeparationSpec(
    media=MEDIA,
    prompt=pb.Prompt(text="speech"),
    model="embedded",
    channels=pb.CHANNEL_POLICY_LINKED,
    quality="standard",
)
FULL = pb.SeparationSpec(
    media=MEDIA,
    prompt=pb.Prompt(text="der Hund bellt, größer", plus=spans((9, 20), (0, 5)), minus=spans((100, 200))),
    model="embedded.small",
    seed=(1 << 64) - 1,
    channels=pb.CHANNEL_POLICY_EACH,
    quality="best",
    subtract=[OTHER_STEM, STEM],
    origin_sample=(1 << 62) - 1,
)
SPANS_ONLY = pb.SeparationSpec(
    media=MEDIA, prompt=pb.Prompt(plus=spans((1, 2))), channels=pb.CHANNEL_POLICY_LINKED, quality="fast"
)


# Taken from the version before the key got its declared field list. Never change them: change the code.
GOLDEN = [
    (
        PLAIN,
        "embedded",
        "rev-1",
        2,
        JobKeys(
            key="6f21374a9f7d4ab0cc91dcb2619c82045ff1d3ae1004857bb24f7db295e44c50",
            group="2a143946cc111178837c2dbe5b5740b3532d3a98f6f96744b058a8dd449649c9",
        ),
    ),
    (
        FULL,
        "embedded.small",
        "sha256:0123",
        2,
        JobKeys(
            key="8d531bf95b9607fa8785a6324fa9f09a34b4ce7d7fe2449b13e1b157678861ed",
            group="a18c1e89e594ff8481d2131a5b61e795e30532832a641604b1156c387e775a85",
        ),
    ),
    (
        SPANS_ONLY,
        "noop",
        "noop-1",
        1,
        JobKeys(
            key="7228bb3633932341ed19e79935735f064cb4f79d9c8337ca025dc9f6c8edf53c",
            group="8f7206ce58d2c2c942db8932215691222ea41e8760adf663751012f64aac25e9",
        ),
    ),
]


@pytest.mark.parametrize(("spec", "model", "revision", "pipeline", "keys"), GOLDEN)
def test_a_job_of_an_earlier_version_keeps_its_key(
    spec: pb.SeparationSpec, model: str, revision: str, pipeline: int, keys: JobKeys
) -> None:
    assert keys_of(spec, model, revision, pipeline) == keys


def leaf_paths(message: Descriptor, prefix: str = "") -> set[str]:
    """Paths of the fields of a message; of nested messages, spans excepted, those of their fields."""
    paths: set[str] = set()
    for field in message.fields:
        nested = field.message_type
        if nested is None or nested.name == "SampleRange":
            paths.add(prefix + field.name)
        else:
            paths |= leaf_paths(nested, f"{prefix}{field.name}.")
    return paths


def test_no_field_of_the_spec_is_missing_from_the_key() -> None:
    """A field that is neither declared nor exempt would hand out the result of another request."""
    declared = {field.path for field in SEPARATION.fields}
    assert leaf_paths(pb.SeparationSpec.DESCRIPTOR) <= declared | NOT_IN_THE_KEY
    request = {field.name for field in pb.CreateJobRequest.DESCRIPTOR.fields}
    assert request - {"spec", "kind"} <= NOT_IN_THE_KEY


@pytest.mark.parametrize("path", sorted(leaf_paths(pb.SeparationSpec.DESCRIPTOR)))
def test_every_field_of_the_spec_changes_the_key_but_the_models_name_as_sent(path: str) -> None:
    """The key takes the model that runs, not the name that the caller gave it."""
    changed = pb.SeparationSpec()
    changed.CopyFrom(PLAIN)
    *outer, name = path.split(".")
    target = changed.prompt if outer else changed
    field = target.DESCRIPTOR.fields_by_name[name]
    if field.message_type is not None:
        getattr(target, name).add(start_sample=1, end_sample=2)
    elif not isinstance(getattr(target, name), str | int):
        getattr(target, name).append(STEM)
    else:
        setattr(target, name, "x" if isinstance(getattr(target, name), str) else getattr(target, name) + 1)
    same = keys_of(changed, "embedded", "rev-1", 2).key == keys_of(PLAIN, "embedded", "rev-1", 2).key
    assert same == (path == "model")


def test_an_interrupted_group_of_an_earlier_version_finds_its_scratch_folder() -> None:
    assert claim_name(["a" * 64, "b" * 64]) == "2ba3056e95d23c0c154eca683e330401c46e441d5074523e16349e29d7597a64"


def test_no_field_of_a_generation_is_forgotten_in_its_key() -> None:
    declared = {field.path for field in GENERATION.fields} - {"revision", "pipeline_version"}
    assert declared == set(generation_pb2.GenerationSpec.DESCRIPTOR.fields_by_name)
