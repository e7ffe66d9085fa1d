"""The recipe of a segment's stems: their keys, requests, records and tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from stemline._version import __version__
from stemline.client import Job, JobRequest, Model
from stemline.clips import RESIDUAL, MediaFacts
from stemline.identity import SEPARATION, digest
from stemline.media import StemTags
from stemline.plan import Part, PlannedJob, StemSegment
from stemline.trust.privacy import recorded_media, recorded_words
from stemline.trust.signatures import RecordSigner
from stemline.workflow.record import RecordedPrompt, RecordedSettings, RecordedSource, StemRecord
from stemline.workflow.settings import RunSettings

_JOIN_VERSION = 1
"""Increase this whenever the same parts are joined in another way."""


@dataclass(frozen=True, slots=True)
class PartSound:
    """A part of a stem, and the name of its sound on the server, which is the hash of its samples."""

    part: Part
    media: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that determines the stems of one segment.

    Attributes:
        segment: The range of the media that the files hold.
        facts: Facts about the media.
        jobs: The jobs of the segment's extent, in the order of the stems.
        sounds: The parts that each stem is joined from, in order of time; one where the extent is not cut into cells.
        model: The model.
        pipeline_version: Version of the server's pipeline.
        settings: Settings of the run.
    """

    segment: StemSegment
    facts: MediaFacts
    jobs: tuple[PlannedJob, ...]
    sounds: Mapping[str, tuple[PartSound, ...]]
    model: Model
    pipeline_version: int
    settings: RunSettings

    def key(self, stem: str) -> str:
        """Return the stem key: a SHA-256 of everything that changes the separation.

        The key of the residual covers the keys of all stems.
        """
        if stem == RESIDUAL:
            return digest([self.key(job.stem) for job in self.jobs])
        keys = [self._part_key(stem, number) for number in range(len(self.sounds[stem]))]
        return keys[0] if len(keys) == 1 else digest({"joined": _JOIN_VERSION, "keys": keys})

    def _part_key(self, stem: str, number: int) -> str:
        names = [job.stem for job in self.jobs]
        before = names[: names.index(stem)] if self.settings.chain else []
        values = SEPARATION.values_of(
            self.request(self.sounds[stem][number]),
            channels=self.settings.channels,
            subtract=[self._part_key(name, number) for name in before],
            revision=self.model.revision,
            pipeline_version=self.pipeline_version,
        )
        return SEPARATION.stem_key(values)

    def fingerprint(self, stem: str) -> str:
        """Return the SHA-256 that names one stem file: its key, the range it holds and its sample format."""
        held = [self.segment.range.start_sample, self.segment.range.end_sample]
        return digest({"stem": stem, "key": self.key(stem), "range": held, "format": self.settings.sample_format})

    def request(self, sound: PartSound, subtract: Sequence[str] = (), batch_id: str = "") -> JobRequest:
        """Return what to ask of the server for a part of a stem.

        Args:
            sound: The part.
            subtract: Names of the media of the stems before it in a chain.
            batch_id: The batch that the job belongs to.
        """
        return part_request(sound, self.model, self.settings, subtract, batch_id)

    @property
    def _pictures_per_second(self) -> int:
        return self.settings.pictures_per_second or self.model.pictures_per_second

    def _recorded_pictures(self, name: str) -> dict[str, object]:
        """Return what the record says of the picture track of that name on the server."""
        if not name:
            return {}
        tracker = {"tracker": self.settings.tracker} if self.settings.tracker else {}
        return {"pictures": name, "pictures_per_second": self._pictures_per_second, **tracker}

    def record(self, stem: str, job: Job | None) -> StemRecord:
        """Return the record of one stem file before it is written.

        Args:
            stem: Name of the stem.
            job: The job that gave the stem, or its first part; None where none was needed, and for the residual.
        """
        segment = self.segment
        planned = next((job for job in self.jobs if job.stem == stem), None)
        base = segment.extent.range.start_sample
        return StemRecord(
            stem=stem,
            prompt=RecordedPrompt(
                recorded_words(planned.prompt.text, self.settings.record_words),
                tuple(span.shift(base) for span in planned.prompt.plus),
                tuple(span.shift(base) for span in planned.prompt.minus),
                self._recorded_pictures(planned.prompt.mask),
            )
            if planned
            else RecordedPrompt(),
            job=job.name if job else "",
            key=self.key(stem),
            source=RecordedSource(
                media=recorded_media(segment.source.path, self.settings.record_paths),
                stream=segment.source.stream,
                channels=self.facts.channels_of(segment.source),
                range=segment.range,
                sample_rate=self.facts.sample_rate,
            ),
            model=self.model.id,
            weights=job.revision if job else self.model.revision,
            seed=self.settings.seed,
            settings=RecordedSettings(
                channels=self.settings.channels,
                quality=self.settings.quality,
                chain=self.settings.chain,
                pipeline_version=self.pipeline_version,
            ),
            engine_version=__version__,
            handle_samples=(
                segment.used.start_sample - segment.range.start_sample,
                max(0, segment.range.end_sample - segment.used.end_sample),
            ),
            pad_samples=segment.pad_samples(self.facts.length_samples),
            made_by=self.model.made_by,
            extra={"reason": recorded_words(self.settings.reason, self.settings.record_words)}
            if self.settings.reason
            else {},
        )


def part_request(
    sound: PartSound, model: Model, settings: RunSettings, subtract: Sequence[str] = (), batch_id: str = ""
) -> JobRequest:
    """Return what to ask of the server for a part; the arguments are as for `Recipe.request`."""
    return JobRequest(
        media=sound.media,
        prompt=sound.part.prompt,
        model=model.id,
        seed=settings.seed,
        channels="each" if settings.channels == "each" else "linked",
        quality=settings.quality,
        subtract=tuple(subtract),
        origin_sample=sound.part.cell.range.start_sample,
        batch_id=batch_id,
        priority=settings.priority,
        reason=settings.reason,
    )


def stem_tags(record: StemRecord, facts: MediaFacts, fingerprint: str, signer: RecordSigner | None = None) -> StemTags:
    """Return the tags of one file; the signer, if any, signs the record when the file is complete.

    The time reference is the source timecode of its first sample, rounded to a sample.
    """
    position = facts.timecode_sample + record.source.range.start_sample
    count = facts.channels
    stem, text = record.stem, record.prompt.text
    return StemTags(
        description=f"{stem}: {text}" if text else stem,
        reference=fingerprint[:32],
        time_reference_sample=max(0, round(position)),
        scene=PurePosixPath(record.source.name).stem,
        note=f"Made by Stemline {__version__} with the model {record.model}.",
        track_names=tuple(stem if count == 1 else f"{stem} {i + 1}" for i in range(count)),
        frame_rate=facts.frame_rate,
        drop_frame=facts.drop_frame,
        metadata=record.to_json(),
        stamp_source=not record.source.audio_sha256,
        sign=signer,
    )
