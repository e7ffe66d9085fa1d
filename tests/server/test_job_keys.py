"""The job key: what identifies a computation keeps its bytes, so results made by earlier versions are found again."""

from __future__ import annotations

import pytest

from stemline.v1 import separation_pb2 as pb
from stemline_server.jobs.keys import JobKeys, claim_name, keys_of

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


def test_an_interrupted_group_of_an_earlier_version_finds_its_scratch_folder() -> None:
    assert claim_name(["a" * 64, "b" * 64]) == "2ba3056e95d23c0c154eca683e330401c46e441d5074523e16349e29d7597a64"
