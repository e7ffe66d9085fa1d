"""The identity of a job: the declared fields whose digest finds a result that was computed before.

The client makes *stem keys*, which name the files of a run; the server makes *job keys*, which name its results. Both
come from the one list of fields below. The two digests use different names for some fields, because each was published
on its own; the names are part of the digests and never change.

To add a field to the request of a job, add it here with the default that keeps the keys of earlier requests. To add a
kind of job, declare another `Identity`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter

_REQUIRED = object()
_PROMPT = "prompt."


@dataclass(frozen=True, slots=True)
class IdentityField:
    """One value that changes the result of a job.

    Attributes:
        path: Where a request holds the value: a path of attributes, the same in `SeparationSpec` and `JobRequest`.
            A value that no request holds (the revision of the model) has a plain name here.
        stem_name: Name of the value in the stem key; the path if empty.
        job_name: Name of the value in the job key, where a dot nests; the path if empty.
        default: The value at which the field is left out of both keys. Every field that is added to a published
            identity needs one.
    """

    path: str
    stem_name: str = ""
    job_name: str = ""
    default: object = _REQUIRED


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity of one kind of job. Every method takes exactly the values of the declared fields, by path.

    A missing or unknown path raises ValueError, so that no caller can forget a field.
    """

    kind: str
    fields: tuple[IdentityField, ...]

    def stem_key(self, values: Mapping[str, object]) -> str:
        """Return the client's key of one stem: a SHA-256 in hexadecimal."""
        return digest({field.stem_name or field.path: value for field, value in self._used(values)})

    def job_key(self, values: Mapping[str, object]) -> str:
        """Return the server's key of one result: a SHA-256 in hexadecimal."""
        return digest(_nested((field.job_name or field.path, value) for field, value in self._used(values)))

    def group_key(self, values: Mapping[str, object]) -> str:
        """Return the key that jobs share which differ in their prompts alone: a SHA-256 in hexadecimal."""
        used = ((field.job_name or field.path, value) for field, value in self._used(values))
        return digest(_nested((name, value) for name, value in used if not name.startswith(_PROMPT)))

    def values_of(self, request: object, **overrides: object) -> dict[str, object]:
        """Return the values of `request`, with `overrides` (by path) for what it does not hold as the key needs it.

        Spans become sorted pairs of samples; repeated values become lists.
        """
        taken = {
            field.path: _plain(attrgetter(field.path)(request)) for field in self.fields if field.path not in overrides
        }
        return {**taken, **overrides}

    def _used(self, values: Mapping[str, object]) -> list[tuple[IdentityField, object]]:
        declared = {field.path for field in self.fields}
        if values.keys() != declared:
            wrong = sorted(values.keys() ^ declared)
            raise ValueError(f"Missing or unknown in the identity of a {self.kind} job: {', '.join(wrong)}.")
        items = [(_KIND, self.kind), *((field, values[field.path]) for field in self.fields)]
        return [(field, value) for field, value in items if value != field.default]


_KIND = IdentityField("kind", default="separate")
SEPARATION = Identity(
    "separate",
    (
        IdentityField("media"),
        IdentityField("origin_sample"),
        IdentityField("prompt.text", stem_name="text"),
        IdentityField("prompt.plus", stem_name="plus"),
        IdentityField("prompt.minus", stem_name="minus"),
        IdentityField("prompt.mask", stem_name="mask", default=""),
        IdentityField("model"),
        IdentityField("revision"),
        IdentityField("seed"),
        IdentityField("quality"),
        IdentityField("channels"),
        IdentityField("subtract", stem_name="after"),
        IdentityField("pipeline_version", job_name="pipeline"),
    ),
)
"""`subtract` is the stems that a chain took away before: their keys in a stem key, their media in a job key."""

GENERATION = Identity(
    "generate",
    (
        IdentityField("generator"),
        IdentityField("revision"),
        IdentityField("text"),
        IdentityField("negative"),
        IdentityField("length_samples"),
        IdentityField("seed"),
        IdentityField("quality"),
        IdentityField("context"),
        IdentityField("context_start_sample"),
        IdentityField("holes"),
        IdentityField("reference"),
        IdentityField("strength"),
        IdentityField("pipeline_version"),
    ),
)
"""Sounds that a generator makes. `context` and `reference` are media, named by the hash of their samples."""

SUGGESTION = Identity(
    "suggest",
    (
        IdentityField("media"),
        IdentityField("tagger"),
        IdentityField("revision"),
        IdentityField("pipeline_version"),
    ),
)
"""Sounds that a tagger hears in a media, which is named by the hash of its samples."""

NOT_IN_THE_KEY = frozenset({"batch_id", "priority", "reason", "request_id"})
"""Fields of a request that change when and for whom a job runs, not what it computes."""


def digest(value: object) -> str:
    """Return the SHA-256 of `value` as canonical JSON, in hexadecimal."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _nested(items: Iterable[tuple[str, object]]) -> dict[str, object]:
    """Return a dictionary in which `prompt.text` is the entry `text` of the dictionary `prompt`."""
    plain: dict[str, object] = {}
    groups: dict[str, dict[str, object]] = {}
    for name, value in items:
        outer, dot, inner = name.partition(".")
        if dot:
            groups.setdefault(outer, {})[inner] = value
        else:
            plain[name] = value
    return {**plain, **groups}


def _plain(value: object) -> object:
    if isinstance(value, str | int | float) or not isinstance(value, Iterable):
        return value
    parts = [[part.start_sample, part.end_sample] if hasattr(part, "start_sample") else part for part in value]
    return sorted(parts) if parts and isinstance(parts[0], list) else parts
