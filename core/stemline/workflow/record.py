"""What a stem file says of its own making: the metadata under `stemline`, the tags in the file, the sidecar beside
it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stemline._version import __version__
from stemline.client import Job, JobPrompt, JobRequest, Model
from stemline.clips import METADATA_VERSION, RESIDUAL, MediaFacts, SampleRange
from stemline.identity import SEPARATION, digest
from stemline.media import StemTags
from stemline.plan import PlannedJob, StemSegment
from stemline.workflow.settings import RunSettings


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that makes the stems of one segment what they are. `jobs` are in the order of the stems."""

    segment: StemSegment
    facts: MediaFacts
    jobs: tuple[PlannedJob, ...]
    media: str
    model: Model
    pipeline_version: int
    settings: RunSettings

    def key(self, stem: str) -> str:
        """Return the stem key: a SHA-256 of everything that changes the separation.

        The key of the residual covers the keys of all stems.
        """
        if stem == RESIDUAL:
            return digest([self.key(job.stem) for job in self.jobs])
        names = [job.stem for job in self.jobs]
        before = names[: names.index(stem)] if self.settings.chain else []
        values = SEPARATION.values_of(
            self.request(self.jobs[names.index(stem)]),
            channels=self.settings.channels,
            subtract=[self.key(name) for name in before],
            revision=self.model.revision,
            pipeline_version=self.pipeline_version,
        )
        return SEPARATION.stem_key(values)

    def fingerprint(self, stem: str) -> str:
        """SHA-256 that names one stem file: how it was separated, the range it holds, and its format."""
        held = [self.segment.range.start_sample, self.segment.range.end_sample]
        return digest({"stem": stem, "key": self.key(stem), "range": held, "format": self.settings.sample_format})

    def request(self, job: PlannedJob, subtract: Sequence[str] = (), batch_id: str = "") -> JobRequest:
        """Return what to ask of the server for `job`, one of `jobs`.

        Args:
            job: The extent and the prompt.
            subtract: Names of the media of the stems before it in a chain.
            batch_id: The batch that the job belongs to.
        """
        return JobRequest(
            media=self.media,
            prompt=JobPrompt(job.text, job.plus, job.minus),
            model=self.model.id,
            seed=self.settings.seed,
            channels="each" if self.settings.channels == "each" else "linked",
            quality=self.settings.quality,
            subtract=tuple(subtract),
            origin_sample=job.extent.range.start_sample,
            batch_id=batch_id,
            priority=self.settings.priority,
        )


def clip_metadata(recipe: Recipe, stem: str, job: Job | None) -> dict[str, object]:
    """The record of one stem file, without what is known only once it is written (`null`, `audio_sha256`)."""
    segment, length = recipe.segment, recipe.facts.length_samples
    planned = next((job for job in recipe.jobs if job.stem == stem), None)
    base = segment.extent.range.start_sample
    return {
        "version": METADATA_VERSION,
        "stem": stem,
        "prompt": {
            "text": planned.text if planned else "",
            "plus": _pairs(planned.plus, base) if planned else [],
            "minus": _pairs(planned.minus, base) if planned else [],
        },
        "job": job.name if job else "",
        "key": recipe.key(stem),
        "source": {
            "media": Path(segment.source.path).as_uri(),
            "stream": segment.source.stream,
            "channels": list(recipe.facts.channels_of(segment.source)),
            "start_sample": segment.range.start_sample,
            "end_sample": segment.range.end_sample,
            "sample_rate": recipe.facts.sample_rate,
        },
        "model": recipe.model.id,
        "weights": job.revision if job else recipe.model.revision,
        "seed": recipe.settings.seed,
        "settings": {
            "channels": recipe.settings.channels,
            "quality": recipe.settings.quality,
            "chain": recipe.settings.chain,
            "pipeline_version": recipe.pipeline_version,
        },
        "engine_version": __version__,
        "handle_samples": [
            segment.used.start_sample - segment.range.start_sample,
            max(0, segment.range.end_sample - segment.used.end_sample),
        ],
        "pad_samples": segment.pad_samples(length),
    }


def stem_tags(recipe: Recipe, stem: str, metadata: Mapping[str, object], fingerprint: str) -> StemTags:
    """The tags of one file. The time reference is the source timecode of its first sample, rounded to a sample."""
    position = recipe.facts.timecode_sample + recipe.segment.range.start_sample
    prompt = metadata["prompt"]
    text = prompt["text"] if isinstance(prompt, dict) else ""
    count = recipe.facts.channels
    return StemTags(
        description=f"{stem}: {text}" if text else stem,
        reference=fingerprint[:32],
        time_reference_sample=max(0, round(position)),
        scene=Path(recipe.segment.source.path).stem,
        note=f"Made by Stemline {__version__} with the model {recipe.model.id}.",
        track_names=tuple(stem if count == 1 else f"{stem} {i + 1}" for i in range(count)),
        frame_rate=recipe.facts.frame_rate,
        drop_frame=recipe.facts.drop_frame,
        metadata=dict(metadata),
    )


def sidecar_of(sound: Path) -> Path:
    """The sidecar of a stem file."""
    return sidecar_path(sound.with_suffix(""))


def sidecar_path(path: Path) -> Path:
    """The sidecar of a stem path (without suffix)."""
    return path.with_name(f"{path.name}.json")


def _pairs(spans: Sequence[SampleRange], base: int) -> list[list[int]]:
    return [[span.start_sample + base, span.end_sample + base] for span in spans]
