"""The job key, which makes two jobs one computation, and the group key, which lets different jobs share a run."""

from __future__ import annotations

from dataclasses import dataclass

from stemline.identity import SEPARATION, digest
from stemline.v1 import separation_pb2 as pb


@dataclass(frozen=True, slots=True)
class JobKeys:
    """The keys of one job.

    Attributes:
        key: Digest of everything that changes the result.
        group: The same without the prompt.
    """

    key: str
    group: str


def keys_of(spec: pb.SeparationSpec, model: str, revision: str, pipeline_version: int) -> JobKeys:
    """Return the keys of a job, made from the fields that `stemline.identity` declares.

    Args:
        spec: The checked spec: text stripped, quality and channels set.
        model: Id of the model that runs.
        revision: Digest of its weights and code.
        pipeline_version: Version of everything around the model.
    """
    values = SEPARATION.values_of(
        spec,
        model=model,
        revision=revision,
        pipeline_version=pipeline_version,
        channels=pb.ChannelPolicy.Name(spec.channels),
    )
    return JobKeys(key=SEPARATION.job_key(values), group=SEPARATION.group_key(values))


def claim_name(keys: list[str]) -> str:
    """Return the name of a group, which is the same whenever the same keys meet, also after a restart."""
    return digest(keys)
