"""Generators of the server, and jobs that make sound from words."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from stemline.client.link import Link
from stemline.client.values import Job, job_of, range_message
from stemline.clips import SampleRange
from stemline.v1 import generation_pb2


@dataclass(frozen=True, slots=True)
class SoundGenerator:
    """A generator of the server: a model that makes sound from words.

    Attributes:
        id: Name by which it is chosen.
        title: Name for users.
        revision: Digest of weights and code.
        sample_rate: Sample rate of its sounds in Hz.
        channels: Channels of its sounds.
        min_s: Shortest sound of one job in seconds.
        max_s: Longest sound of one job in seconds.
        fills: Whether it can fill holes in a sound.
        varies: Whether it can vary a sound.
        available: Whether it can run there.
        note: Why it cannot, or what its user must know.
        licence: Licences of code and weights.
        commercial: Whether its sounds may be used commercially: "yes", "limited" or "no".
        marks: How its sounds are marked as generated; empty for no mark.
    """

    id: str
    title: str
    revision: str
    sample_rate: int
    channels: int
    min_s: float
    max_s: float
    fills: bool
    varies: bool
    available: bool
    note: str
    licence: str
    commercial: str
    marks: str


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One sound to make from words. Lengths and ranges count samples at the rate of the generator.

    Attributes:
        text: Words for the sound.
        length_samples: Length of the sound.
        generator: Id of the generator; empty for the default.
        seed: Seed of random numbers.
        quality: "fast", "standard" or "best"; empty for standard.
        negative: Words for what must not be heard.
        context: Name of a media at the start of the sound; empty for none.
        context_start_sample: Where in that media the context begins.
        holes: Ranges of the sound that are made; the rest sounds like the context.
        reference: Name of a media to vary; empty for none.
        strength: Distance from the reference: 0 is the reference, 1 is free.
        batch_id: Groups jobs.
        priority: Jobs of a higher priority run first.
        reason: Why the user needs it; a policy of the server may ask for it.
        request_id: Identifies the request.
    """

    text: str
    length_samples: int
    generator: str = ""
    seed: int = 0
    quality: str = ""
    negative: str = ""
    context: str = ""
    context_start_sample: int = 0
    holes: tuple[SampleRange, ...] = ()
    reference: str = ""
    strength: float = 0.0
    batch_id: str = ""
    priority: int = 0
    reason: str = ""
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))


def list_generators(link: Link) -> tuple[SoundGenerator, ...]:
    """Return the generators of a server, the default first. Raises StemlineError."""
    request = generation_pb2.ListGeneratorsRequest()
    response = link.call(lambda stubs: stubs.generations.ListGenerators, request)
    return tuple(map(_generator_of, response.generators))


def create_generations(link: Link, requests: Sequence[GenerationRequest]) -> list[Job]:
    """Create jobs and return them in the order of the requests. Raises StemlineError."""
    message = generation_pb2.CreateGenerationsRequest(requests=map(_message, requests))
    response = link.call(lambda stubs: stubs.generations.CreateGenerations, message)
    return list(map(job_of, response.jobs))


def _message(request: GenerationRequest) -> generation_pb2.CreateGenerationRequest:
    spec = generation_pb2.GenerationSpec(
        text=request.text,
        negative=request.negative,
        generator=request.generator,
        length_samples=request.length_samples,
        seed=request.seed,
        quality=request.quality,
        context=request.context,
        context_start_sample=request.context_start_sample,
        holes=map(range_message, request.holes),
        reference=request.reference,
        strength=request.strength,
    )
    return generation_pb2.CreateGenerationRequest(
        request_id=request.request_id,
        spec=spec,
        batch_id=request.batch_id,
        priority=request.priority,
        reason=request.reason,
    )


def _generator_of(message: generation_pb2.Generator) -> SoundGenerator:
    return SoundGenerator(
        id=message.name.removeprefix("generators/"),
        title=message.title,
        revision=message.revision,
        sample_rate=message.sample_rate,
        channels=message.channels,
        min_s=message.min_s,
        max_s=message.max_s,
        fills=message.fills,
        varies=message.varies,
        available=message.available,
        note=message.note,
        licence=message.licence,
        commercial=message.commercial,
        marks=message.marks,
    )
