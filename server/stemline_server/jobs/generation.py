"""Generations as callers send them: checked, completed, and turned into requests to a generator."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from stemline.clips import SampleRange
from stemline.errors import Code, InputError, MediaError, SeparationError, StemlineError, UsageError
from stemline.identity import GENERATION, digest
from stemline.options import MAX_SPANS, QUALITIES
from stemline.prompts import clean_text
from stemline.v1 import generation_pb2 as pb
from stemline_server.engines.base import AudioSource
from stemline_server.generators.base import GenerateRequest, Generator, GeneratorInfo
from stemline_server.generators.registry import GeneratorSource
from stemline_server.jobs.catalog import PluginThreads
from stemline_server.jobs.record import media_read_by
from stemline_server.jobs.specs import JobKeys
from stemline_server.pipeline.generate import GENERATION_VERSION, fitted
from stemline_server.store.media_table import MediaRow, media_id


@dataclass(frozen=True, slots=True)
class GeneratorFacts:
    """A generator and whether it can run here: `obstacle` is empty if it can, else says what is missing."""

    info: GeneratorInfo
    obstacle: str


class GeneratorCatalog:
    """Asks generators on separate threads, because some read the disk to answer."""

    def __init__(self, generators: GeneratorSource, may_hang: Iterable[str] = ()) -> None:
        """Make a catalog of the generators of a source, of which some may never answer."""
        self._source = generators
        self._generators: dict[str, Generator] = {}
        self._threads = PluginThreads("generator-catalog", may_hang)

    def close(self) -> None:
        """Stop asking."""
        self._threads.close()

    async def all_facts(self) -> list[GeneratorFacts]:
        """Return what is known of every generator. One that fails or does not answer is listed as unavailable."""
        known: dict[str, GeneratorFacts] = {}
        for _ in range(2):  # an answer may name variants
            ids = await self._threads.ask("", self._source.generator_ids)
            missing = [name for name in ids if name not in known]
            known |= zip(missing, await asyncio.gather(*map(self._listed, missing)), strict=True)
        return [known[name] for name in await self._threads.ask("", self._source.generator_ids) if name in known]

    async def admit(self, spec: pb.GenerationSpec) -> GeneratorInfo:
        """Return the generator of a complete spec after it has checked it.

        Raises:
            SeparationError: The generator can't run here (MODEL_UNAVAILABLE).
            UsageError: There is no such generator, or it can't take the words, the length, or what it is to read
                (MODEL_UNKNOWN, PROMPT_UNSUPPORTED).
        """
        return await self._threads.ask(spec.generator, lambda: self._admit(spec))

    def default(self) -> str:
        """Return the id of the default generator."""
        return self._source.generator_ids()[0]

    def _admit(self, spec: pb.GenerationSpec) -> GeneratorInfo:
        facts = self._facts(spec.generator)
        info = facts.info
        if facts.obstacle:
            raise SeparationError(facts.obstacle, code=Code.MODEL_UNAVAILABLE, advice="Or choose another --generator.")
        seconds = spec.length_samples / info.sample_rate
        if not info.min_s <= seconds <= info.max_s:
            raise UsageError(
                f"The generator {info.id} makes sounds of {info.min_s:g} to {info.max_s:g} seconds, not {seconds:g}.",
                code=Code.PROMPT_UNSUPPORTED,
                advice="Ask for another length.",
            )
        for used, able, does in (
            (spec.context, info.fills, "fill holes"),
            (spec.reference, info.varies, "vary sounds"),
        ):
            if used and not able:
                raise UsageError(
                    f"The generator {info.id} does not {does}.",
                    code=Code.PROMPT_UNSUPPORTED,
                    advice="Choose another --generator.",
                )
        self._generator(spec.generator).check(request_of(spec))
        return info

    def _facts(self, name: str) -> GeneratorFacts:
        generator = self._generator(name)
        try:
            return GeneratorFacts(generator.info, generator.availability())
        except StemlineError:
            raise
        except Exception as error:
            raise SeparationError(
                f"The generator {name!r} failed when it was asked whether it can run: {error}.",
                code=Code.MODEL_UNAVAILABLE,
                advice="Update or remove the package that provides it.",
            ) from error

    def _facts_or_obstacle(self, name: str) -> GeneratorFacts:
        try:
            return self._facts(name)
        except StemlineError as error:
            return _unknown(name, str(error))

    async def _listed(self, name: str) -> GeneratorFacts:
        return await self._threads.ask_for_list(
            name, lambda: self._facts_or_obstacle(name), lambda obstacle: _unknown(name, obstacle)
        )

    def _generator(self, name: str) -> Generator:
        if name not in self._generators:
            self._generators[name] = self._source.create(name)
        return self._generators[name]


def _unknown(name: str, obstacle: str) -> GeneratorFacts:
    return GeneratorFacts(GeneratorInfo(name, name, "", sample_rate=0, channels=0, max_s=0), obstacle)


def normal_generation(sent: pb.GenerationSpec, default: str) -> pb.GenerationSpec:
    """Return the spec with every default filled in, so that equal requests are equal. Raises InputError, UsageError."""
    spec = pb.GenerationSpec()
    spec.CopyFrom(sent)
    spec.text = clean_text(spec.text)
    spec.negative = clean_text(spec.negative) if spec.negative.strip() else ""
    spec.generator = spec.generator.removeprefix("generators/") or default
    spec.quality = spec.quality or "standard"
    if spec.quality not in QUALITIES:
        raise InputError("There is no such quality.", advice=f"Choose one of: {', '.join(QUALITIES)}.")
    if spec.length_samples <= 0:
        raise InputError("A sound has at least one sample.", advice="Ask for a longer sound.")
    for name in media_read_by(spec):
        media_id(name)
    if not math.isfinite(spec.strength) or not 0 <= spec.strength <= 1:
        raise InputError("The strength lies from 0 to 1.", advice="0 is the reference; 1 is free.")
    if not spec.reference:
        spec.strength = 0
    if not spec.context and (spec.holes or spec.context_start_sample):
        raise InputError("Holes need a context.", advice="Name the media that the sound continues.")
    if len(spec.holes) > MAX_SPANS:
        raise InputError(f"A sound may have {MAX_SPANS} holes.", advice="Ask for fewer.")
    for hole in spec.holes:
        if not 0 <= hole.start_sample < hole.end_sample <= spec.length_samples:
            raise InputError("A hole lies outside the sound.", advice="Give ranges of the result.")
    return spec


def check_generation_media(spec: pb.GenerationSpec, known: Mapping[str, MediaRow]) -> None:
    """Check the spec against the media that it names. Raises MediaError (MEDIA_UNKNOWN), InputError."""
    for name in media_read_by(spec):
        if name not in known:
            raise MediaError(
                f"The server does not hold {name}.", code=Code.MEDIA_UNKNOWN, advice="Register or upload it first."
            )
    if spec.context and not 0 <= spec.context_start_sample < known[spec.context].shape.length_samples:
        raise InputError("The context starts outside its media.", advice="Start within the media.")


def generation_keys(spec: pb.GenerationSpec, info: GeneratorInfo) -> JobKeys:
    """Return the keys of a complete spec. Every generation runs alone, so both are the same."""
    values = GENERATION.values_of(
        spec,
        generator=info.id,
        revision=info.revision,
        holes=[[hole.start_sample, hole.end_sample] for hole in spec.holes],
        pipeline_version=GENERATION_VERSION,
    )
    key = GENERATION.job_key(values)
    return JobKeys(key=key, group=digest(["generate", key]))


def request_of(spec: pb.GenerationSpec, scratch: Path | None = None) -> GenerateRequest:
    """Return the request of a complete spec, without the sounds that it reads."""
    return GenerateRequest(
        text=spec.text,
        negative=spec.negative,
        length_samples=spec.length_samples,
        seed=spec.seed,
        quality=spec.quality,
        scratch=scratch,
        holes=tuple(SampleRange(hole.start_sample, hole.end_sample) for hole in spec.holes),
        strength=spec.strength if spec.reference else 1.0,
    )


def with_sounds(
    request: GenerateRequest, spec: pb.GenerationSpec, info: GeneratorInfo, open_media: Callable[[str], AudioSource]
) -> GenerateRequest:
    """Return the request with the sounds that it reads, at the rate and with the channels of the generator."""
    context = fitted(open_media(spec.context), info, spec.context_start_sample) if spec.context else None
    reference = fitted(open_media(spec.reference), info) if spec.reference else None
    return replace(request, context=context, reference=reference)
