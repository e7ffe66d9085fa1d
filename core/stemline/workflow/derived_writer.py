"""Write sounds that are made from finished stem files: the remix, and fills in the place of removed stems.

They are further files and tracks. None of them is part of the sum whose null is measured, and the stem files stay as
they are: another amount or another fill computes nothing but itself.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from stemline.clips import RESIDUAL, MediaFacts
from stemline.crash_reports import report_crash
from stemline.errors import Cancelled, OutputError, StemlineError
from stemline.identity import digest
from stemline.media import (
    AudioFormat,
    BeyondFullScaleError,
    SampleFormat,
    open_writer,
    quantise,
)
from stemline.trust import spread_mark
from stemline.trust.privacy import mark_key
from stemline.trust.signatures import RecordSigner, signer_for
from stemline.workflow.derived_tracks import (
    KEPT,
    REMIX,
    derived_names,
    fill_name,
    fill_names,
    gains_json,
    remix_gains,
)
from stemline.workflow.estimate import SOUNDS_AT_ONCE
from stemline.workflow.fileset import Block, WaveformMeter, file_path
from stemline.workflow.fills import ROOM_TONE_VERSION, DerivedSound, Fills, open_file, segment_blocks
from stemline.workflow.outputs import Namer
from stemline.workflow.prepare import Prepared
from stemline.workflow.previous_stems import FinishedFile, check_free, claim, find_finished, is_enough, sweep
from stemline.workflow.progress import Hooks
from stemline.workflow.recipe import stem_tags
from stemline.workflow.record import RecordedPrompt, StemRecord
from stemline.workflow.results import Notice
from stemline.workflow.segment_writer import write_sidecar
from stemline.workflow.separation import STOPS_ALL
from stemline.workflow.settings import RunSettings
from stemline.workflow.work_pools import SegmentResult
from stemline_bridge.files import part_path

_NO_SAMPLE = ("file", "words", "licence", "commercial", "marks", "room_from")
"""Facts of records that change no sample, or that the identity of the sound holds in another form."""

_T = TypeVar("_T")


class Derivation:
    """Write the derived sounds of all segments of a run. Used once.

    Args:
        prepared: The run's plan.
        settings: The run's settings.
        namer: Gives each file its path.
        hooks: Progress, cancel, and the connection to the server.
    """

    def __init__(self, prepared: Prepared, settings: RunSettings, namer: Namer, hooks: Hooks) -> None:
        """Prepare to write the derived sounds of a run."""
        self._prepared = prepared
        self._settings = settings
        self._namer = namer
        self._hooks = hooks
        self._signer = signer_for(settings.sign, settings.c2pa)

    def complete(self, results: Sequence[SegmentResult]) -> list[Notice]:
        """Add the derived files to each segment's files; return a notice for each segment without room tone.

        A segment whose derived files cannot be made gets the error, and the others go on.

        Raises:
            StemlineError: What stops everything, such as a full disk. Cancelled is one of them.
        """
        done = [result for result in results if result.error is None]
        for result in results:
            self._tell(result, 0.0 if result.error is None else 1.0)
        with (
            _temporary_folder(self._settings.output_dir) as folder,
            ThreadPoolExecutor(SOUNDS_AT_ONCE, thread_name_prefix="derived-writer") as writers,
            ExitStack() as undo,
        ):
            undo.callback(writers.shutdown, wait=False, cancel_futures=True)
            undo.callback(self._hooks.stop)  # first: the last callback is called first
            fills = Fills(self._prepared, self._settings, self._hooks, folder)
            if self._settings.replace:
                fills.convert_files(done)
                measured = zip(done, writers.map(self._attempt(fills.measure), done), strict=True)
                rooms = {id(result): room for result, room in measured if room is not None}
                done = [result for result in done if result.error is None]
                fills.set_rooms(rooms, done)
            write = self._attempt(lambda result: self._write_and_tell(result, done, fills))
            notices = [notice for some in writers.map(write, done) for notice in some or ()]
            undo.pop_all()
            return notices

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

    def _tell(self, result: SegmentResult, fraction: float) -> None:
        if self._hooks.meter is not None:
            self._hooks.meter.segment(result.segment, fraction, "mixing")

    def _write_and_tell(
        self, result: SegmentResult, all_results: Sequence[SegmentResult], fills: Fills
    ) -> list[Notice]:
        try:
            return self._write(result, all_results, fills)
        finally:
            self._tell(result, 1.0)

    def _write(self, result: SegmentResult, all_results: Sequence[SegmentResult], fills: Fills) -> list[Notice]:
        sounds, notices = fills.of(result, all_results) if self._settings.replace else ([], [])
        if KEPT in derived_names(self._settings):
            filled = {sound.name for sound in sounds}
            instead = sorted(
                name
                for name, fill in self._settings.replace.items()
                if fill.fades_residual and fill_name(name) in filled
            )
            version = {"room_tone": ROOM_TONE_VERSION}
            kept = DerivedSound(
                KEPT, {"instead": instead}, lambda: self._kept(result, instead, fills), identity=version
            )
            self._add(result, kept)
        for sound in sounds:
            self._add(result, sound)
        if self._settings.remix:
            gains = remix_gains(self._settings)
            made_from = {"gains_db": gains_json(gains)}
            self._add(result, DerivedSound(REMIX, made_from, lambda: self._remix(result, gains)))
        return notices

    def _kept(self, result: SegmentResult, instead: Sequence[str], fills: Fills) -> Iterator[Block]:
        at = 0
        for blocks in segment_blocks(result, [RESIDUAL], self._hooks):
            block = blocks[RESIDUAL]
            end = at + block.shape[1]
            yield block * fills.residual_gain(result, instead, at, end)
            at = end

    def _remix(self, result: SegmentResult, gains_db: Mapping[str, float]) -> Iterator[Block]:
        base = KEPT if KEPT in result.files else RESIDUAL
        names = [*(stem.name for stem in self._prepared.stems), base]
        gains = {name: 10.0 ** (gains_db.get(RESIDUAL if name == KEPT else name, 0.0) / 20) for name in names}
        for blocks in segment_blocks(result, names, self._hooks):
            mixed = np.zeros(blocks[base].shape)
            for name, gain in gains.items():
                mixed += np.multiply(blocks[name], gain, dtype=np.float64)
            yield mixed.astype(np.float32)

    def _add(self, result: SegmentResult, sound: DerivedSound) -> None:
        """Find the file that an earlier run wrote of the same parts, or write it."""
        name, made_from = sound.name, sound.made_from
        basis = result.files[RESIDUAL]
        further = {REMIX, *fill_names(self._settings)}
        of = {part: file.record.audio_sha256 for part, file in result.files.items() if part not in further}
        exact = {key: value for key, value in made_from.items() if key not in _NO_SAMPLE}
        recipe = {"derived": name, "seed": self._settings.seed, "of": of, **exact, **sound.identity}
        if self._marks(made_from):
            recipe["mark"] = spread_mark.NAME
        fingerprint = digest({**recipe, "format": basis.facts.sample_format})
        facts = self._prepared.facts[result.segment.source]
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
                made_by=basis.record.made_by if sound.made_by is None else sound.made_by,
                extra={**basis.record.extra, "made_from": dict(made_from)},
            )
            blocks = sound.blocks
            if self._marks(made_from):
                record, blocks = _marked(record, blocks, facts.sample_rate)
            with claim(paths, fingerprints, overwrite=self._settings.overwrite):
                place = _Place(path, fingerprint, facts, self._signer, result.segment.source.path)
                finished = {name: _write_file(place, record, basis, blocks)}
        result.files[name] = finished[name]

    def _marks(self, made_from: Mapping[str, object]) -> bool:
        """Return whether a sound gets the mark of this installation: only what a model made from words does."""
        return self._settings.mark == "auto" and made_from.get("method") == "words"


def _marked(
    record: StemRecord, blocks: Callable[[], Iterator[Block]], sample_rate: int
) -> tuple[StemRecord, Callable[[], Iterator[Block]]]:
    """Return the blocks of a sound with the mark of this installation, and the record that names its message.

    The message is the first 16 bits of the key in the record.
    """
    key = mark_key(make=True)
    if key is None:
        raise AssertionError("a key is made where there is none")
    marker, message = spread_mark.SpreadMark(key), int(record.key[:4], 16)
    made_from = {**record.extra["made_from"], "mark": {"name": marker.name, "message": f"{message:04x}"}}
    noted = replace(record, extra={**record.extra, "made_from": made_from})
    return noted, lambda: marker.embed(blocks(), message, sample_rate)


@contextlib.contextmanager
def _temporary_folder(output: Path) -> Iterator[Path]:
    """Make a folder for converted files on the disk of the results; those of killed runs go."""
    sweep(output)
    folder = part_path(output / "fills")
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise OutputError(
            f"{output} cannot be written: {error.strerror}.", advice="Choose another folder with -o."
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
    with open_file(basis) as reader:
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
