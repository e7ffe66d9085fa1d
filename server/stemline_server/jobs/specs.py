"""A separation as callers send it: checked, completed, and turned into a task of the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stemline.clips import SampleRange
from stemline.errors import Code, InputError, MediaError, UsageError
from stemline.identity import SEPARATION
from stemline.options import MAX_PRIORITY, MAX_REASON, MAX_SPANS, QUALITIES
from stemline.prompts import clean_text
from stemline.v1 import generation_pb2
from stemline.v1 import separation_pb2 as pb
from stemline_server.engines.base import AudioSource, EnginePrompt, PictureSource
from stemline_server.pipeline import PipelineTask
from stemline_server.store.media_table import MediaRow, media_id

_MAX_ID_CHARACTERS = 128
_MAX_SUBTRACT = 64
_MAX_SAMPLE = 1 << 62


@dataclass(frozen=True, slots=True)
class JobKeys:
    """The job key, which makes two jobs one computation, and the group key, which lets different jobs share a run.

    Attributes:
        key: Digest of everything that changes the result.
        group: The same without the prompt.
    """

    key: str
    group: str


def check_ids(request: pb.CreateJobRequest | generation_pb2.CreateGenerationRequest) -> None:
    """Raise InputError for an id that is missing, too long or not printable ASCII."""
    for name, value, needed in (("request_id", request.request_id, True), ("batch_id", request.batch_id, False)):
        printable = value.isascii() and value.isprintable()
        if not printable or len(value) > _MAX_ID_CHARACTERS or (needed and not value):
            raise InputError(
                f"{name} must be 1 to {_MAX_ID_CHARACTERS} printable ASCII characters.", advice="Use a UUID."
            )
    if abs(request.priority) > MAX_PRIORITY:
        raise InputError(f"A priority lies within ±{MAX_PRIORITY}.", advice="0 is ordinary; higher goes first.")


def checked_reason(reason: str) -> str:
    """Return the reason of a request. Raises InputError for one that is too long or not printable."""
    if len(reason) > MAX_REASON or not reason.isprintable():
        raise InputError(f"A reason has up to {MAX_REASON} printable characters.", advice="Say it in a sentence.")
    return reason


def job_kind(request: pb.CreateJobRequest) -> pb.JobKind.ValueType:
    """Return the kind of the job. Raises InputError for a kind that this server can't run."""
    kind = request.kind or pb.JOB_KIND_SEPARATE
    if kind != pb.JOB_KIND_SEPARATE:
        raise InputError("This server runs no jobs of that kind.", advice="Leave the kind out to separate.")
    return kind


def normal_spec(sent: pb.SeparationSpec, default_model: str) -> pb.SeparationSpec:
    """Return the spec with every default filled in, so that equal requests are equal. Raises InputError, UsageError."""
    spec = pb.SeparationSpec()
    spec.CopyFrom(sent)
    for name in (spec.media, *spec.subtract):
        media_id(name)
    spec.model = spec.model.removeprefix("models/") or default_model
    spec.quality = spec.quality or "standard"
    spec.channels = spec.channels or pb.CHANNEL_POLICY_LINKED
    if spec.quality not in QUALITIES:
        raise InputError("There is no such quality.", advice=f"Choose one of: {', '.join(QUALITIES)}.")
    if spec.channels not in pb.ChannelPolicy.values():
        raise InputError("There is no such channel policy.", advice="Choose linked or each.")
    if len(spec.subtract) > _MAX_SUBTRACT:
        raise InputError(f"At most {_MAX_SUBTRACT} stems can be subtracted.", advice="Subtract fewer.")
    if not 0 <= spec.origin_sample < _MAX_SAMPLE:
        raise InputError("origin_sample lies outside any media.", advice="Count from the media's first sample.")
    _check_prompt(spec.prompt)
    return spec


def _check_prompt(prompt: pb.Prompt) -> None:
    if prompt.text or not (prompt.plus or prompt.minus or prompt.mask):
        prompt.text = clean_text(prompt.text)
    if len(prompt.plus) + len(prompt.minus) > MAX_SPANS:
        raise UsageError(
            f"A prompt may have {MAX_SPANS} spans; this one has {len(prompt.plus) + len(prompt.minus)}.",
            code=Code.PROMPT_TOO_LONG,
            advice="Mark only the clearest places.",
        )


def media_names(spec: pb.SeparationSpec) -> tuple[str, ...]:
    """Return the names of everything that the store must hold until the job ends."""
    return (spec.media, *spec.subtract, *([spec.prompt.mask] if spec.prompt.mask else []))


def engine_prompt(prompt: pb.Prompt) -> EnginePrompt:
    """Return the prompt in the engine's terms."""
    return EnginePrompt(
        text=prompt.text,
        plus=tuple(SampleRange(span.start_sample, span.end_sample) for span in prompt.plus),
        minus=tuple(SampleRange(span.start_sample, span.end_sample) for span in prompt.minus),
        mask=prompt.mask,
    )


def task_of(
    specs: Sequence[pb.SeparationSpec],
    audio: AudioSource,
    scratch: Path,
    open_pictures: Callable[[str], PictureSource],
) -> PipelineTask:
    """Return the task of checked specs that differ in their prompts alone.

    `open_pictures` opens a picture track by its name.

    With `normal_spec` and the list in `stemline.identity`, this is all that a new field of the spec touches between
    the wire and the engine.
    """
    spec = specs[0]
    return PipelineTask(
        audio=audio,
        prompts=tuple(_with_pictures(engine_prompt(each.prompt), open_pictures) for each in specs),
        channels="each" if spec.channels == pb.CHANNEL_POLICY_EACH else "linked",
        seed=spec.seed,
        origin_sample=spec.origin_sample,
        quality=spec.quality,
        scratch=scratch,
    )


def _with_pictures(prompt: EnginePrompt, open_pictures: Callable[[str], PictureSource]) -> EnginePrompt:
    return replace(prompt, pictures=open_pictures(prompt.mask)) if prompt.mask else prompt


def check_against_media(spec: pb.SeparationSpec, known: Mapping[str, MediaRow]) -> None:
    """Check the spec against the media that it names.

    Raises:
        MediaError: The server does not hold one of them (MEDIA_UNKNOWN).
        UsageError: A span lies outside the media.
        InputError: A stem to subtract has another shape than the media.
    """
    _check_held((spec.media, *spec.subtract), known)
    shape = known[spec.media].shape
    if shape.is_pictures:
        raise InputError("The media of a job is sound, not pictures.", advice="Name pictures as the mask of a prompt.")
    for span in (*spec.prompt.plus, *spec.prompt.minus):
        if not 0 <= span.start_sample < span.end_sample <= shape.length_samples:
            raise UsageError(
                f"The span {span.start_sample}..{span.end_sample} lies outside the {shape.length_samples} samples.",
                advice="Give spans in samples of the job's media.",
            )
    if any(known[name].shape != shape for name in spec.subtract):
        raise InputError(
            "A stem to subtract has another rate, channel count or length than the media.",
            advice="Subtract only stems of that media.",
        )


def check_mask(spec: pb.SeparationSpec, known: Mapping[str, MediaRow]) -> None:
    """Check the mask of a spec whose model takes pictures.

    Raises:
        MediaError: The server does not hold it (MEDIA_UNKNOWN).
        InputError: It is not a picture track.
    """
    if spec.prompt.mask:
        _check_held((spec.prompt.mask,), known)
        if not known[spec.prompt.mask].shape.is_pictures:
            raise InputError("The mask of a prompt is a picture track.", advice="Upload one and give its name.")


def _check_held(names: Sequence[str], known: Mapping[str, MediaRow]) -> None:
    for name in names:
        if name not in known:
            raise MediaError(
                f"The server does not hold {name}.", code=Code.MEDIA_UNKNOWN, advice="Register or upload it first."
            )


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
