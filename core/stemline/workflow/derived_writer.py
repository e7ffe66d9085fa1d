"""Write sounds that are made from finished stem files: the remix, and room tone in the place of removed stems.

They are further files and tracks. None of them is part of the sum whose null is measured, and the stem files stay as
they are: another amount or another fill computes nothing but itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np

from stemline.clips import RESIDUAL, MediaFacts, MediaSource, SampleRange
from stemline.crash_reports import report_crash
from stemline.errors import Cancelled, Code, StemlineError
from stemline.fill import (
    LEAST_S,
    ActivityMeter,
    FillFile,
    convert_fill_file,
    file_fill,
    fill_gains,
    learn_room_tone,
)
from stemline.identity import digest
from stemline.media import (
    AudioFormat,
    AudioReader,
    BeyondFullScaleError,
    SampleFormat,
    open_audio,
    open_writer,
    quantise,
)
from stemline.trust.signatures import RecordSigner, signer_for
from stemline.workflow.derived_tracks import (
    KEPT,
    REMIX,
    derived_names,
    fill_name,
    gains_json,
    recorded_fill,
    remix_gains,
)
from stemline.workflow.fileset import BLOCK_SAMPLES, Block, WaveformMeter, file_path
from stemline.workflow.outputs import Namer
from stemline.workflow.prepare import Prepared
from stemline.workflow.previous_stems import FinishedFile, check_free, claim, find_finished, is_enough
from stemline.workflow.progress import Hooks
from stemline.workflow.recipe import stem_tags
from stemline.workflow.record import RecordedPrompt, StemRecord
from stemline.workflow.results import Notice
from stemline.workflow.segment_writer import write_sidecar
from stemline.workflow.separation import STOPS_ALL, SegmentResult
from stemline.workflow.settings import Replace, RunSettings

_WRITERS = 2
_MADE_BY = {"room": "algorithmic", "file": "", "words": "generative"}
"""How fills arise, by method: room tone is synthesised, and a file of the user's can be anything."""
_T = TypeVar("_T")
_ENOUGH_S = 0.5  # less room tone than this is looked for in other clips of the same media


class Derivation:
    """Write the derived sounds of all segments of a run. Used once.

    Args:
        prepared: The run's plan.
        settings: The run's settings.
        namer: Gives each file its path.
        hooks: Progress and cancel.
    """

    def __init__(self, prepared: Prepared, settings: RunSettings, namer: Namer, hooks: Hooks) -> None:
        """Prepare to write the derived sounds of a run."""
        self._prepared = prepared
        self._settings = settings
        self._namer = namer
        self._hooks = hooks
        self._signer = signer_for(settings.sign, settings.c2pa)
        self._rooms: dict[int, _Room] = {}
        self._files: dict[tuple[str, int, int], FillFile] = {}

    def complete(self, results: Sequence[SegmentResult]) -> list[Notice]:
        """Add the derived files to each segment's files; return a notice for each segment without room tone.

        A segment whose derived files cannot be made gets the error, and the others go on.

        Raises:
            StemlineError: What stops everything, such as a full disk. Cancelled is one of them.
        """
        done = [result for result in results if result.error is None]
        with (
            TemporaryDirectory(prefix="stemline-") as folder,
            ThreadPoolExecutor(_WRITERS, thread_name_prefix="derived-writer") as writers,
        ):
            try:
                if self._settings.replace:
                    self._convert_files(done, Path(folder))
                    for result, room in zip(done, writers.map(self._attempt(self._measure), done), strict=True):
                        if room is not None:
                            self._rooms[id(result)] = room
                    done = [result for result in done if result.error is None]
                write = self._attempt(lambda result: self._write(result, done))
                return [notice for notices in writers.map(write, done) for notice in notices or ()]
            except BaseException:
                self._hooks.stop()
                writers.shutdown(wait=False, cancel_futures=True)
                raise

    def _attempt(self, work: Callable[[SegmentResult], _T]) -> Callable[[SegmentResult], _T | None]:
        """Return `work` for threads: an error that concerns one segment is stored in its result."""

        def attempt(result: SegmentResult) -> _T | None:
            try:
                return work(result)
            except StemlineError as error:
                if isinstance(error, Cancelled) or error.code in STOPS_ALL:
                    raise
                result.error = error
            except Exception as error:  # noqa: BLE001 - media is untrusted: one file must not stop the others
                result.error = report_crash(error)
            return None

        return attempt

    def _convert_files(self, done: Sequence[SegmentResult], folder: Path) -> None:
        for result in done:
            facts = self._facts(result)
            for fill in self._settings.replace.values():
                asked = (fill.path, facts.sample_rate, facts.channels)
                if fill.path and asked not in self._files:
                    self._files[asked] = convert_fill_file(*asked, folder)

    def _measure(self, result: SegmentResult) -> _Room:
        """Find where the replaced stems of a segment sound, and where its room is undisturbed."""
        facts = self._facts(result)
        replaced = list(self._settings.replace)
        each = {name: ActivityMeter(facts.sample_rate) for name in replaced}
        together = each[replaced[0]] if len(replaced) == 1 else ActivityMeter(facts.sample_rate)
        for blocks in self._blocks(result, [*replaced, RESIDUAL]):
            for name, meter in each.items():
                meter.feed(blocks[name], blocks[RESIDUAL])
            if len(replaced) > 1:
                together.feed(np.sum([blocks[name] for name in replaced], axis=0, dtype=np.float32), blocks[RESIDUAL])
        return _Room(
            quiet=together.quiet_pieces(),
            active={name: meter.active_spans() for name, meter in each.items()},
        )

    def _blocks(self, result: SegmentResult, names: Sequence[str]) -> Iterator[dict[str, Block]]:
        """Yield the files of a segment block by block, by name."""
        length = result.segment.range.length
        with ExitStack() as stack:
            readers = {name: stack.enter_context(_open(result.files[name])) for name in names}
            for start in range(0, length, BLOCK_SAMPLES):
                if self._hooks.stopped():
                    raise Cancelled
                end = min(start + BLOCK_SAMPLES, length)
                yield {name: reader.read(start, end) for name, reader in readers.items()}

    def _write(self, result: SegmentResult, all_results: Sequence[SegmentResult]) -> list[Notice]:
        notices: list[Notice] = []
        fills = dict(self._settings.replace)
        origin = self._room_origin(result, all_results) if fills else None
        if origin is None:
            without = [name for name, fill in fills.items() if not fill.path]
            notices += self._no_room(result, without)
            for name in without:
                del fills[name]
        if KEPT in derived_names(self._settings):
            instead = sorted(name for name, fill in fills.items() if fill.fades_residual)
            self._add(result, KEPT, {"instead": instead}, lambda: self._kept(result, instead))
        for name, fill in fills.items():
            if fill.path:
                self._add_file(result, name, fill)
            elif origin is not None:
                self._add_room(result, name, fill, origin)
        if self._settings.remix:
            gains = remix_gains(self._settings)
            self._add(result, REMIX, {"gains_db": gains_json(gains)}, lambda: self._remix(result, gains))
        return notices

    def _no_room(self, result: SegmentResult, stems: Sequence[str]) -> list[Notice]:
        clips = [clip for clip in self._prepared.clips if clip.clip_id in result.segment.clip_ids]
        message = (
            "No room tone was found, here or in other clips of this media, so the place is not filled. "
            "Use a longer range that holds a moment without the sound, or a file in its place."
        )
        names = map(fill_name, stems)
        return [
            Notice(clip.name, name, Code.ROOM_TONE_MISSING, message, clip.clip_id) for name in names for clip in clips
        ]

    def _kept(self, result: SegmentResult, instead: Sequence[str]) -> Iterator[Block]:
        rate, at = self._facts(result).sample_rate, 0
        spans = [self._rooms[id(result)].active[name] for name in instead]
        for blocks in self._blocks(result, [RESIDUAL]):
            block = blocks[RESIDUAL]
            gain = np.ones(block.shape[1], np.float32)
            for active in spans:
                gain *= fill_gains(active, at, at + block.shape[1], rate)[1]
            at += block.shape[1]
            yield block * gain

    def _remix(self, result: SegmentResult, gains_db: Mapping[str, float]) -> Iterator[Block]:
        base = KEPT if KEPT in result.files else RESIDUAL
        names = [*(stem.name for stem in self._prepared.stems), base]
        gains = {name: 10.0 ** (gains_db.get(RESIDUAL if name == KEPT else name, 0.0) / 20) for name in names}
        for blocks in self._blocks(result, names):
            mixed = np.zeros(blocks[base].shape)
            for name, gain in gains.items():
                mixed += np.multiply(blocks[name], gain, dtype=np.float64)
            yield mixed.astype(np.float32)

    def _add_room(self, result: SegmentResult, stem: str, fill: Replace, origin: SegmentResult) -> None:
        made_from = {
            "method": "room",
            "gain_db": fill.gain_db,
            "instead": fill.fades_residual,
            "room": origin.files[RESIDUAL].record.audio_sha256,
        }
        active = self._rooms[id(result)].active[stem] if fill.fades_residual else None
        self._add(result, fill_name(stem), made_from, lambda: self._room(result, origin, fill.gain_db, active))

    def _add_file(self, result: SegmentResult, stem: str, fill: Replace) -> None:
        facts = self._facts(result)
        file = self._files[fill.path, facts.sample_rate, facts.channels]
        made_from = {
            "method": "file",
            "gain_db": fill.gain_db,
            "instead": fill.fades_residual,
            "file": recorded_fill(fill, self._settings),
            "file_sha256": file.sha256,
        }
        self._add(result, fill_name(stem), made_from, lambda: self._own_file(result, stem, file, fill.gain_db))

    def _own_file(self, result: SegmentResult, stem: str, file: FillFile, gain_db: float) -> Iterator[Block]:
        spans, length = self._rooms[id(result)].active[stem], result.segment.range.length
        with _open(result.files[stem]) as removed:
            for block in file_fill(file, removed, spans, length, gain_db=gain_db, seed=_seed_of(result)):
                if self._hooks.stopped():
                    raise Cancelled
                yield block

    def _room(
        self, result: SegmentResult, origin: SegmentResult, gain_db: float, active: tuple[SampleRange, ...] | None
    ) -> Iterator[Block]:
        with _open(origin.files[RESIDUAL]) as reader:
            tone = learn_room_tone(reader, self._rooms[id(origin)].quiet)
        gain, at = np.float32(10.0 ** (gain_db / 20)), 0
        for block in tone.blocks(result.segment.range.length, seed=_seed_of(result)):
            if self._hooks.stopped():
                raise Cancelled
            end = at + block.shape[1]
            yield block * gain if active is None else block * (gain * fill_gains(active, at, end, tone.sample_rate)[0])
            at = end

    def _room_origin(self, result: SegmentResult, all_results: Sequence[SegmentResult]) -> SegmentResult | None:
        """Return the segment to learn room tone from, None where no segment of the media has enough.

        It is this one, or the nearest of the same media where this one has less than half a second.
        """
        rate, place = self._facts(result).sample_rate, result.segment.range.start_sample
        seconds = {
            id(other): sum(piece.length for piece in self._rooms[id(other)].quiet) / rate
            for other in all_results
            if other.segment.source == result.segment.source
        }
        if seconds[id(result)] >= _ENOUGH_S:
            return result
        enough = [other for other in all_results if seconds.get(id(other), 0.0) >= _ENOUGH_S]
        nearest = min(enough, key=lambda other: abs(other.segment.range.start_sample - place), default=result)
        return nearest if seconds[id(nearest)] >= LEAST_S else None

    def _facts(self, result: SegmentResult) -> MediaFacts:
        return self._prepared.facts[result.segment.source]

    def _add(
        self, result: SegmentResult, name: str, made_from: Mapping[str, object], blocks: Callable[[], Iterator[Block]]
    ) -> None:
        """Find the file that an earlier run wrote of the same parts, or write it."""
        basis = result.files[RESIDUAL]
        further = {REMIX, *map(fill_name, self._settings.replace)}
        of = {part: file.record.audio_sha256 for part, file in result.files.items() if part not in further}
        exact = {field: value for field, value in made_from.items() if field != "file"}  # its name changes no sample
        recipe = {"derived": name, "seed": self._settings.seed, "of": of, **exact}
        fingerprint = digest({**recipe, "format": basis.facts.sample_format})
        facts = self._facts(result)
        path = self._namer(result.segment, facts, name, fingerprint)
        paths, fingerprints = {name: path}, {name: fingerprint}
        finished = find_finished(paths, fingerprints)
        if finished is None or not is_enough(finished, self._settings):
            if not self._settings.overwrite:
                check_free(paths, fingerprints)
            record = replace(
                basis.record,
                stem=name,
                kind="remix" if name == REMIX else "fill",
                prompt=RecordedPrompt(),
                job="",
                key=digest(recipe),
                null=None,
                audio_sha256="",
                file=None,
                signature=None,
                made_by=_MADE_BY.get(str(made_from.get("method", "")), basis.record.made_by),
                extra={**basis.record.extra, "made_from": dict(made_from)},
            )
            place = _Place(path, fingerprint, facts, self._signer, result.segment.source.path)
            with claim(paths, fingerprints, overwrite=self._settings.overwrite):
                finished = {name: _write_file(place, record, basis, blocks)}
        result.files[name] = finished[name]


@dataclass(frozen=True, slots=True)
class _Room:
    """Of one segment, in samples of its files: where the room is undisturbed, and where each replaced stem sounds."""

    quiet: tuple[SampleRange, ...]
    active: Mapping[str, tuple[SampleRange, ...]]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where one derived file goes, the signer of its record, and the media. `path` has no suffix."""

    path: Path
    fingerprint: str
    facts: MediaFacts
    signer: RecordSigner | None
    media: str


def _write_file(
    place: _Place, record: StemRecord, basis: FinishedFile, blocks: Callable[[], Iterator[Block]]
) -> FinishedFile:
    """Write one derived file and its sidecar, in the format of the residual or, beyond full scale, in 32-bit float."""
    with _open(basis) as reader:
        channels, rate, layout = reader.channels, reader.sample_rate, reader.layout
    length = record.source.range.length
    for sample_format in dict.fromkeys((SampleFormat(basis.facts.sample_format), SampleFormat.WAV32F)):
        audio_format = AudioFormat(sample_format, rate, channels, layout)
        path = file_path(place.path, audio_format)
        meter = WaveformMeter(length)
        try:
            tags = stem_tags(record, place.facts, place.fingerprint, place.signer)
            with open_writer(path, audio_format, tags) as writer:
                for block in blocks():
                    exact = block if sample_format.is_float else quantise(block, SampleFormat.WAV24)
                    meter.add(exact)
                    writer.write(exact)
        except BeyondFullScaleError:
            continue
        break
    file = replace(
        basis.facts,
        fingerprint=place.fingerprint,
        name=path.name,
        size_bytes=path.stat().st_size,
        sample_format=str(sample_format),
        found=True,
        warnings=(),
        waveform=meter.columns(),
        mix_waveform=(),
        credentials="",
    )
    finished = replace(record, audio_sha256=writer.audio_sha256, file=file)
    return write_sidecar((path, place.path), finished, place.signer, place.media)


def _seed_of(result: SegmentResult) -> int:
    """Return a seed that depends on the job and the place in the media alone."""
    return int(digest([result.files[RESIDUAL].record.key, result.segment.range.start_sample])[:16], 16)


def _open(file: FinishedFile) -> AudioReader:
    return open_audio(MediaSource(str(file.path)))
