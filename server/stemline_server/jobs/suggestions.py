"""Jobs of the kind suggest: their keys, and what a tagger heard as their result."""

from __future__ import annotations

from typing import Any, cast

from stemline.errors import Code, SeparationError
from stemline.identity import SUGGESTION, digest
from stemline.v1 import separation_pb2, suggest_pb2
from stemline_server.jobs.record import NewJob
from stemline_server.jobs.specs import JobKeys
from stemline_server.seats.access import caller
from stemline_server.store.media_table import MediaRow
from stemline_server.taggers.base import TaggerInfo

_PIPELINE_VERSION = 1
"""Increase this whenever the same tagger gives other sounds."""
_COST = 0.02
"""Computing time of a second of sound, in that of a separation: seats are charged for so much less."""


def new_suggestion(media: MediaRow, tagger: TaggerInfo) -> NewJob:
    """Return the job of the caller that hears a media. The same media and tagger give the same request id."""
    spec = suggest_pb2.SuggestionSpec(media=media.name, tagger=tagger.id)
    values = SUGGESTION.values_of(spec, revision=tagger.revision, pipeline_version=_PIPELINE_VERSION)
    key = SUGGESTION.job_key(values)
    return NewJob(
        request_id=f"suggest-{key}",
        batch_id="",
        priority=0,
        spec=spec,
        keys=JobKeys(key=key, group=digest(["suggest", key])),
        model=tagger.id,
        revision=tagger.revision,
        kind=separation_pb2.JOB_KIND_SUGGEST,
        seat=caller(),
        audio_s=media.shape.duration_s * _COST,
        length_samples=media.shape.length_samples,
    )


def heard(tags: object, tagger: str, revision: str) -> separation_pb2.Stem:
    """Return the result of a job: what `Tagging` returns, as a message.

    Raises:
        SeparationError: The tagger's process returned something else (INTERNAL).
    """
    try:
        sounds = [_sound(str(prompt), spans) for prompt, spans in cast(list[Any], tags)]
    except (TypeError, ValueError, OverflowError) as error:
        raise SeparationError(
            "The tagger's process returned something that is not a list of sounds.", code=Code.INTERNAL
        ) from error
    found = suggest_pb2.SuggestedSounds(sounds=sounds, tagger=tagger, revision=revision)
    return separation_pb2.Stem(found=bool(sounds), sounds=found)


def _sound(prompt: str, listed: list[Any]) -> suggest_pb2.SuggestedSound:
    spans = [
        suggest_pb2.SuggestedSpan(start_sample=int(start), end_sample=int(end), likelihood=likelihood)
        for start, end, likelihood in listed
    ]
    likelihood = max((span.likelihood for span in spans), default=0.0)
    return suggest_pb2.SuggestedSound(prompt=prompt, likelihood=likelihood, spans=spans)
