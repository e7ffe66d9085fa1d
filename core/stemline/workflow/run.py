"""Run a plan: send sound, separate, write files, place tracks."""

from __future__ import annotations

import time
from contextlib import nullcontext

from stemline._version import __version__
from stemline.client import Client, connect
from stemline.client.run_lock import run_lock
from stemline.clips import METADATA_VERSION, RESIDUAL, ClipRange, SampleRange
from stemline.errors import Cancelled, WarningCode
from stemline.hosts.base import Host, WriteOptions, Written
from stemline.plan import PlacedStem, TrackOptions, place_stems
from stemline.prompts import StemRequest
from stemline.timebase import round_half_up
from stemline.workflow.derived_tracks import derived_json, derived_names, playing_names
from stemline.workflow.derived_writer import Derivation
from stemline.workflow.estimate import remember_speed, remember_writing
from stemline.workflow.generated_sound import check_generators
from stemline.workflow.outputs import Namer
from stemline.workflow.prepare import Prepared
from stemline.workflow.previous_stems import null_of
from stemline.workflow.progress import Hooks
from stemline.workflow.recorded_prompts import recorded_stem
from stemline.workflow.results import (
    ClipOutcome,
    ClipPlace,
    DerivedOutcome,
    Failure,
    Notice,
    Progress,
    RunResult,
    StemOutcome,
)
from stemline.workflow.separation import Separation
from stemline.workflow.settings import RunSettings
from stemline.workflow.work_pools import SegmentResult


def run_prepared(
    host: Host,
    prepared: Prepared,
    settings: RunSettings,
    namer: Namer,
    hooks: Hooks,
    *,
    client: Client | None = None,
) -> RunResult:
    """Separate the clips of a plan and write the stem tracks to the host. Finished files of earlier runs are reused.

    A clip that fails is listed and the others go on. `client` is used instead of a connection to `settings.server`,
    and stays open. Raises StemlineError for what stops everything: no server, a prompt that the model refuses, a full
    disk; Cancelled when the hooks say so (finished files stay).
    """
    started = time.monotonic()
    with run_lock(), nullcontext(client) if client else connect(settings.server) as hooks.client:
        check_generators(hooks.client, settings, hooks)
        separation = Separation(hooks.client, prepared, settings, namer, hooks)
        results = separation.run()
        remember_speed(separation.model.id, *separation.computed())
        remember_writing(*separation.written())
        if hooks.stopped():
            raise Cancelled
        derived_notices: list[Notice] = []
        if derived_names(settings):
            derived_notices = Derivation(prepared, settings, namer, hooks).complete(results)
    by_clip = {clip_id: result for result in results for clip_id in result.segment.clip_ids}
    done = [clip for clip in prepared.clips if by_clip[clip.clip_id].error is None]
    written = Written(())
    if done and not settings.audition_s:
        hooks.on_progress(Progress("placing", 1, 1))
        written = _write_tracks(host, prepared, by_clip, done, settings)
    return RunResult(
        clips=tuple(_outcome(clip, by_clip[clip.clip_id], prepared, settings) for clip in done),
        skipped=prepared.skipped,
        failed=tuple(
            Failure(clip.name, clip.track, str(clip.record_range.start), error.code, error.message, error.advice)
            for clip in prepared.clips
            if (error := by_clip[clip.clip_id].error) is not None
        ),
        notices=(*_notices(done, by_clip), *derived_notices),
        tracks=written.tracks,
        output=written.output,
        notes=(*prepared.notes, *written.notes),
        model=separation.model.id,
        audio_s=sum(_length_s(result, prepared) for result in results if result.error is None),
        elapsed_s=time.monotonic() - started,
        engine_s=sum(result.engine_s for result in results),
    )


def _write_tracks(
    host: Host,
    prepared: Prepared,
    by_clip: dict[str, SegmentResult],
    done: list[ClipRange],
    settings: RunSettings,
) -> Written:
    placed = []
    stems = [stem.name for stem in prepared.stems]
    for name in [*stems, RESIDUAL, *derived_names(settings)]:
        for clip in done:
            file = by_clip[clip.clip_id].files.get(name)
            if file is None:  # a fill without room tone
                continue
            held = by_clip[clip.clip_id].segment.range
            placed.append(PlacedStem(clip.clip_id, name, str(file.path), held, file.record.clip_json()))
    facts = {clip.clip_id: prepared.facts[clip.source] for clip in done}
    playing = playing_names(settings, stems) if derived_names(settings) else None
    tracks = place_stems(done, placed, facts, TrackOptions(settings.play, settings.checkerboard, playing))
    disable = tuple(clip.clip_id for clip in done) if settings.disable_originals else ()
    run = {
        "version": METADATA_VERSION,
        "engine_version": __version__,
        "stems": [recorded_stem(stem, settings) for stem in prepared.stems],
        "settings": {
            "model": settings.model,
            "seed": settings.seed,
            "quality": settings.quality,
            "channels": settings.channels,
            "chain": settings.chain,
            "play": settings.play,
            **derived_json(settings),
        },
    }
    return host.write_tracks(tracks, WriteOptions(disable, run))


def _outcome(clip: ClipRange, result: SegmentResult, prepared: Prepared, settings: RunSettings) -> ClipOutcome:
    facts = prepared.facts[clip.source]
    residual = result.files[RESIDUAL]
    return ClipOutcome(
        clip_id=clip.clip_id,
        name=clip.name,
        track=clip.track,
        record_start=str(clip.record_range.start),
        media=clip.source.path,
        sample_rate=facts.sample_rate,
        channels=facts.channels,
        length_samples=result.segment.range.length,
        seed=settings.seed,
        model=residual.record.model,
        null=null_of(result.files),
        stems=tuple(_stem(stem, result) for stem in prepared.stems),
        residual=str(residual.path),
        derived=tuple(
            DerivedOutcome(name, str(result.files[name].path), result.files[name].facts.waveform)
            for name in derived_names(settings)
            if name in result.files
        ),
        mix_waveform=residual.facts.mix_waveform,
        residual_waveform=residual.facts.waveform,
        reused=result.reused,
        engine_s=result.engine_s,
        elapsed_s=result.elapsed_s,
        place=_place(clip, result, prepared),
    )


def _place(clip: ClipRange, result: SegmentResult, prepared: Prepared) -> ClipPlace:
    rate, held = prepared.facts[clip.source].sample_rate, result.segment.range
    used = SampleRange(round_half_up(clip.source_range.start * rate), round_half_up(clip.source_range.end * rate))
    return ClipPlace(
        clip.source,
        held,
        held.intersect(used),
        clip.record_range,
        prepared.timeline_start,
        clip.frame_rate,
        prepared.drop_frame,
    )


def _stem(stem: StemRequest, result: SegmentResult) -> StemOutcome:
    file = result.files[stem.name]
    return StemOutcome(
        stem=stem.name,
        prompt=stem.prompt.text,
        path=str(file.path),
        found=file.facts.found,
        confidence=file.facts.confidence,
        matched=file.facts.matched,
        waveform=file.facts.waveform,
    )


def _notices(done: list[ClipRange], by_clip: dict[str, SegmentResult]) -> tuple[Notice, ...]:
    """Return every warning of every stem, and a notice for every stem whose sound was not found."""
    notices = []
    for clip in done:
        for name, file in by_clip[clip.clip_id].files.items():
            for warning in file.facts.warnings:
                notices.append(Notice(clip.name, name, warning["code"], warning["message"], clip.clip_id))
            if name != RESIDUAL and not file.facts.found:
                message = f"{name} was not heard; the stem is silent."
                notices.append(Notice(clip.name, name, WarningCode.NOT_FOUND, message, clip.clip_id))
    return tuple(dict.fromkeys(notices))


def _length_s(result: SegmentResult, prepared: Prepared) -> float:
    return result.segment.range.length / prepared.facts[result.segment.source].sample_rate
