"""Write the files of a segment from the stems of its jobs, and a sidecar for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from stemline.client import Client, Job, Stem
from stemline.clips import RESIDUAL, MediaSource, SampleRange
from stemline.errors import Code, OutputError, WarningCode
from stemline.files import printable, write_json
from stemline.media import SampleFormat, StemTags, default_sample_format, open_audio, read_tags
from stemline.plan import CellGrid
from stemline.trust.c2pa_files import sidecar_of as credentials_path
from stemline.trust.content_credentials import (
    CredentialsError,
    is_made_from_words,
    left_out_credentials,
    stem_ingredient,
    stem_manifest,
    write_credentials,
)
from stemline.trust.privacy import recorded_words
from stemline.trust.signatures import SIGNATURE, RecordSigner
from stemline.workflow.fileset import SetRequest, WrittenSet, write_set
from stemline.workflow.joined_stem import JoinedTarget, joined_finding
from stemline.workflow.previous_stems import FinishedFile
from stemline.workflow.recipe import Recipe, stem_tags
from stemline.workflow.record import RecordedFile, RecordedNull, StemRecord
from stemline.workflow.sidecars import sidecar_path

_LISTED_PLACES = 5


def written_format(source: MediaSource, chosen: str | None) -> SampleFormat:
    """Return the format of stem files: the chosen one, else the one that holds the source without loss."""
    return SampleFormat(chosen) if chosen else default_sample_format(source)


@dataclass(frozen=True, slots=True)
class SegmentWork:
    """A segment whose files are to be written.

    Attributes:
        recipe: How its stems are made.
        paths: The path of each file without suffix, by stem name.
        fingerprints: The fingerprint of each file, by stem name.
        signer: Signs the records; None leaves them unsigned.
        grid: The grid of the cells that its stems are joined from; None where the extent is undivided.
    """

    recipe: Recipe
    paths: dict[str, Path]
    fingerprints: dict[str, str]
    signer: RecordSigner | None = None
    grid: CellGrid | None = None

    def target(self, stem: str, jobs: Sequence[Job | None], client: Client) -> JoinedTarget | None:
        """Return a reader of a stem, or None where no job was needed: the stem is silent."""
        if not any(job and job.stem for job in jobs):
            return None
        parts = [
            (sound.part.cell, job.stem.media if job and job.stem else None)
            for sound, job in zip(self.recipe.sounds[stem], jobs, strict=True)
        ]
        fade_samples = self.grid.fade_samples if self.grid else 0
        return JoinedTarget(client.open_media, parts, self.recipe.facts.channels, fade_samples)


def write_segment(
    work: SegmentWork, jobs: Mapping[str, Sequence[Job | None]], client: Client, cancelled: Callable[[], bool]
) -> dict[str, FinishedFile]:
    """Write the files of a segment and their sidecars.

    Args:
        work: The segment.
        jobs: The finished jobs of each stem by name, one for each part; None where none was needed.
        client: The server that holds the stems.
        cancelled: Asked between blocks whether to stop.

    Returns:
        The files by stem name.

    Raises:
        StemlineError: As `write_set` does. Cancelled is one of them.
    """
    segment = work.recipe.segment
    first = {name: next((job for job in own if job), None) for name, own in jobs.items()}
    records = {name: work.recipe.record(name, first.get(name)) for name in work.paths}

    def tags(name: str) -> StemTags:
        return stem_tags(records[name], work.recipe.facts, work.fingerprints[name], work.signer)

    sample_format = written_format(segment.source, work.recipe.settings.sample_format)
    targets: dict[str, JoinedTarget | None] = {}
    with ExitStack() as stack:
        for name, own in jobs.items():
            targets[name] = target = work.target(name, own, client)
            if target is not None:
                stack.callback(target.close)
        request = SetRequest(segment.source, segment.range, targets, work.paths, sample_format, tags, cancelled)
        written = write_set(request, stack.enter_context(open_audio(segment.source)))
    return {name: _finish_file(work, written, records[name], jobs.get(name, ())) for name in work.paths}


def _finish_file(
    work: SegmentWork, written: WrittenSet, record: StemRecord, jobs: Sequence[Job | None]
) -> FinishedFile:
    """Write the sidecar of a written file. From then on the file counts as finished."""
    name = record.stem
    file = written.files[name]
    parts = [sound.part for sound in work.recipe.sounds.get(name, ())]
    stem = joined_finding(parts, jobs) if parts else None
    finished = replace(
        record,
        source=replace(record.source, audio_sha256=written.source_sha256),
        null=RecordedNull(written.null.peak, written.null.dbfs),
        audio_sha256=file.audio_sha256,
        file=RecordedFile(
            fingerprint=work.fingerprints[name],
            extent=work.recipe.segment.extent.range,
            cell_samples=work.grid.cell_samples if work.grid else 0,
            name=file.path.name,
            size_bytes=file.path.stat().st_size,
            sample_format=written.sample_format,
            found=bool(stem and stem.found),
            confidence=stem.confidence if stem else 0.0,
            matched=recorded_words(stem.matched, work.recipe.settings.record_words) if stem else "",
            notes=dict(stem.notes) if stem else {},
            warnings=tuple(_warnings(name, work, written, stem)),
            waveform=file.waveform,
            mix_waveform=written.mix_waveform if name == RESIDUAL else (),
        ),
    )
    return write_sidecar((file.path, work.paths[name]), finished, work.signer, work.recipe.segment.source.path)


def write_sidecar(
    place: tuple[Path, Path], record: StemRecord, signer: RecordSigner | None, media: str
) -> FinishedFile:
    """Write the sidecar of a finished file, signed if there is a signer, after its Content Credentials.

    Args:
        place: The file, and its path without suffix.
        record: Its record.
        signer: Signs the sidecar's record, which holds more than that of the file.
        media: Path of the media that the file was made from.

    Raises:
        OutputError: A file cannot be written, or cannot get the credentials that the run requires.
    """
    sound, path = place
    credentials_path(sound).unlink(missing_ok=True)
    if signer and signer.c2pa != "never":
        record = _with_credentials(sound, record, signer, media)
    if signer:
        record = replace(record, signature=signer(record.to_json())[SIGNATURE])
    write_json(sidecar_path(path), record.to_json())
    return FinishedFile(sound, record)


def _with_credentials(sound: Path, record: StemRecord, signer: RecordSigner, media: str) -> StemRecord:
    """Write the Content Credentials of a file, and return its record with its new size or a warning."""
    if record.file is None:
        raise ValueError("The record of a finished file has no file.")

    def check_audio(signed: Path) -> None:
        if read_tags(signed).audio_sha256 != record.audio_sha256:
            raise CredentialsError("the signed copy holds other audio")

    described = {**record.clip_json(), **record.extra}
    ingredients = [] if is_made_from_words(described) else [stem_ingredient(described, media)]
    try:
        kind = write_credentials(sound, stem_manifest(described, sound.name), ingredients, check_audio)
    except CredentialsError as error:
        message = f"{sound.name} has no Content Credentials: {error}."
        if signer.c2pa == "require":
            raise OutputError(
                message, code=Code.OUTPUT_UNWRITABLE, advice="Give --c2pa auto to write files without."
            ) from error
        warning = {"code": str(WarningCode.CREDENTIALS_MISSING), "message": message}
        return replace(record, file=replace(record.file, warnings=(*record.file.warnings, warning)))
    return replace(record, file=replace(record.file, credentials=kind, size_bytes=sound.stat().st_size))


def _warnings(name: str, work: SegmentWork, written: WrittenSet, stem: Stem | None) -> list[dict[str, str]]:
    """Return the warnings about one file: those of the engine, and for the residual those about the whole set."""
    warnings = [(warning.code, warning.message) for warning in stem.warnings] if stem else []
    if name == RESIDUAL:
        warnings += _warnings_of_set(work.recipe, written)
        warnings += _warnings_about_credentials(work)
    return [{"code": str(code), "message": message} for code, message in warnings]


def _warnings_of_set(recipe: Recipe, written: WrittenSet) -> Iterator[tuple[WarningCode, str]]:
    if written.overlapping:
        advice = "" if recipe.settings.chain else " Give --chain to take each stem from what the ones before it left."
        message = "The stems hold some of the same sound, so the residual holds it inverted."
        yield WarningCode.STEMS_OVERLAP, message + advice
    if written.nonfinite_samples:
        message = f"The media has {written.nonfinite_samples} samples that are not numbers; they are taken as silence."
        yield WarningCode.MEDIA_NOT_FINITE, message
    facts = recipe.facts
    if written.damage:
        yield WarningCode.MEDIA_DAMAGED, _damage_message(written.damage, facts.sample_rate)
    if message := _format_change(recipe):
        yield WarningCode.MEDIA_FORMAT_CHANGES, message
    if facts.cut_short and recipe.segment.range.end_sample >= facts.length_samples:
        end_s = facts.length_samples / facts.sample_rate
        message = f"The media file is cut short: its sound ends after {end_s:.2f} s."
        yield WarningCode.MEDIA_CUT_SHORT, f"{message} Copy it again if there should be more."


def _warnings_about_credentials(work: SegmentWork) -> Iterator[tuple[WarningCode, str]]:
    """Yield a warning where the stems do not hold the Content Credentials of their media."""
    media, obstacle, name = Path(work.recipe.segment.source.path), "", "The media"
    if work.recipe.settings.record_paths == "omit":
        obstacle = "--record-paths omit leaves them out"
    else:
        name = printable(media.name)
    if work.signer is None or work.signer.c2pa == "never":
        obstacle = "the stems get none of their own that could hold them"
    if sentence := left_out_credentials(media, obstacle):
        yield WarningCode.CREDENTIALS_NOT_CARRIED, f"{name} {sentence}"


def _damage_message(places: Sequence[SampleRange], sample_rate: int) -> str:
    """Return where media does not decode, in time of the file."""
    times = [f"{place.start_sample / sample_rate:.2f} s" for place in places[:_LISTED_PLACES]]
    more = f" and {len(places) - len(times)} more places" if len(places) > len(times) else ""
    return (
        f"The media does not decode at {', '.join(times)}{more}; there it is silent, or what follows comes early. "
        "Copy it again if it should be whole."
    )


def _format_change(recipe: Recipe) -> str:
    """Return where the channels or the rate change within a segment, empty where they do not."""
    facts, held = recipe.facts, recipe.segment.range
    changes = [each for each in facts.sections[1:] if held.start_sample < each.start_sample < held.end_sample]
    if not changes:
        return ""
    times = ", ".join(f"{each.start_sample / facts.sample_rate:.2f} s" for each in changes[:_LISTED_PLACES])
    return (
        f"The media's channels or sample rate change at {times}; the stems have {facts.channels} channel(s) at "
        f"{facts.sample_rate} Hz throughout. Separate one part with --in and --out to keep its own channels."
    )
