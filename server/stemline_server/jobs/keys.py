"""What makes two jobs the same computation, and what lets different ones share a run."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from stemline.v1 import separation_pb2 as pb


@dataclass(frozen=True, slots=True)
class JobKeys:
    """`key`: everything that changes the result. `group`: the same less the prompt."""

    key: str
    group: str


def keys_of(spec: pb.SeparationSpec, model: str, revision: str, pipeline_version: int) -> JobKeys:
    """SHA-256 of canonical JSON. The spec must be checked: text stripped, quality and channels set."""
    setting = {
        "media": spec.media,
        "model": model,
        "revision": revision,
        "seed": spec.seed,
        "channels": pb.ChannelPolicy.Name(spec.channels),
        "quality": spec.quality,
        "subtract": list(spec.subtract),
        "origin_sample": spec.origin_sample,
        "pipeline": pipeline_version,
    }
    prompt = {"text": spec.prompt.text, "plus": _spans(spec.prompt.plus), "minus": _spans(spec.prompt.minus)}
    return JobKeys(key=_digest({**setting, "prompt": prompt}), group=_digest(setting))


def claim_name(keys: list[str]) -> str:
    """Names a group by what is in it: the same group finds its scratch folder again after a restart."""
    return _digest(keys)


def _spans(spans: object) -> list[tuple[int, int]]:
    return sorted((span.start_sample, span.end_sample) for span in spans)  # type: ignore[attr-defined]


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
