"""What takes the places of the removed stems of a run: room tone, files, and sounds from words."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stemline.clips import RESIDUAL, ClipRange, MediaFacts, MediaSource, SampleRange
from stemline.errors import Cancelled, Code, WarningCode
from stemline.fill import (
    LEAST_S,
    ROOMS,
    ActivityMeter,
    Ducking,
    FillFile,
    FillPlacement,
    RemovedSound,
    ambience_ranges,
    convert_fill_file,
    file_fill,
    fill_gains,
    learn_room_tone,
    room_tone_along,
)
from stemline.identity import digest
from stemline.media import AudioReader, open_audio
from stemline.trust.privacy import recorded_words
from stemline.workflow.derived_tracks import fill_name, fill_options, recorded_fill
from stemline.workflow.fileset import BLOCK_SAMPLES, Block
from stemline.workflow.generated_sound import SoundMaker, SoundWish
from stemline.workflow.prepare import Prepared
from stemline.workflow.previous_stems import FinishedFile
from stemline.workflow.progress import Hooks
from stemline.workflow.replacing import Replace
from stemline.workflow.results import Notice
from stemline.workflow.room_tone_source import ToneSource
from stemline.workflow.settings import RunSettings
from stemline.workflow.work_pools import SegmentResult

FILE_FILL_VERSION = 3
"""Changes whenever the same file would be placed in another way."""

ROOM_TONE_VERSION = 3
"""Changes whenever the same room tone would be made in another way."""

_ENOUGH_S = 0.5  # less room tone than this is looked for in other clips of the same media
_LONGEST_EFFECT_S = 10.0
_SHORTEST_EFFECT_S = 1.0
_SLACK_S = 0.1  # of a generated sound beyond what is used, for the resampler


@dataclass(frozen=True, slots=True)
class DerivedSound:
    """A sound to write beside the stems of a segment.

    Attributes:
        name: Name of its track.
        made_from: What its record says about it.
        blocks: Returns its blocks [channels, samples]; may be called twice.
        made_by: How it arises, as records name it; None as the stems do.
        identity: Further values that change its samples, and that no record names.
    """

    name: str
    made_from: Mapping[str, object]
    blocks: Callable[[], Iterator[Block]]
    made_by: str | None = None
    identity: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Room:
    """Of one segment, in samples of its files: where the room is undisturbed, and where each replaced stem sounds."""

    quiet: tuple[SampleRange, ...]
    active: Mapping[str, tuple[SampleRange, ...]]


class Fills:
    """The fills of a run. `prepare` comes first; then every segment is asked for its fills, from any thread.

    Args:
        prepared: The run's plan.
        settings: The run's settings.
        hooks: Progress, cancel, and the connection to the server.
        folder: Where converted files are put.
    """

    def __init__(self, prepared: Prepared, settings: RunSettings, hooks: Hooks, folder: Path) -> None:
        """Choose the generators of sounds from words. Raises StemlineError where one cannot be used."""
        self._prepared = prepared
        self._settings = settings
        self._hooks = hooks
        self._folder = folder
        self._files: dict[tuple[str, int, int, str], FillFile] = {}
        self._rooms: dict[int, Room] = {}
        self._maker: SoundMaker | None = None
        if any(fill.words for fill in settings.replace.values()):
            assert hooks.client is not None  # noqa: S101 - fills are written while the run is connected
            self._maker = SoundMaker(hooks.client, settings, hooks)

    def convert_files(self, results: Sequence[SegmentResult]) -> None:
        """Convert every file to the rates and channels of the media. Raises MediaError, OutputError."""
        for result in results:
            facts = self._facts(result)
            for fill in self._settings.replace.values():
                asked = (fill.path, facts.sample_rate, facts.channels, fill.room)
                if fill.path and asked not in self._files:
                    self._files[asked] = convert_fill_file(*asked[:3], self._folder, fill.room)

    def measure(self, result: SegmentResult) -> Room:
        """Find where the replaced stems of a segment sound, and where its room is undisturbed."""
        facts = self._facts(result)
        replaced = list(self._settings.replace)
        each = {name: ActivityMeter(facts.sample_rate) for name in replaced}
        together = each[replaced[0]] if len(replaced) == 1 else ActivityMeter(facts.sample_rate)
        for blocks in segment_blocks(result, [*replaced, RESIDUAL], self._hooks):
            for name, meter in each.items():
                meter.feed(blocks[name], blocks[RESIDUAL])
            if len(replaced) > 1:
                together.feed(np.sum([blocks[name] for name in replaced], axis=0, dtype=np.float32), blocks[RESIDUAL])
        return Room(
            quiet=together.quiet_pieces(),
            active={name: meter.active_spans() for name, meter in each.items()},
        )

    def set_rooms(self, rooms: Mapping[int, Room], results: Sequence[SegmentResult]) -> None:
        """Take the measured rooms by `id` of the result, and count the sounds to make from words."""
        self._rooms = dict(rooms)
        for result in results:
            for stem, fill in self._settings.replace.items():
                if self._maker is not None and fill.words and self._active(result, stem):
                    for _ in range(fill.takes):
                        self._maker.expect(self._wanted_s(result, stem, fill))

    def of(
        self, result: SegmentResult, all_results: Sequence[SegmentResult]
    ) -> tuple[list[DerivedSound], list[Notice]]:
        """Return the fills of a segment, and a notice for each place without room tone."""
        sounds: list[DerivedSound] = []
        notices: list[Notice] = []
        for stem, fill in self._settings.replace.items():
            if fill.path:
                sounds.append(self._own_file(result, stem, fill))
            elif fill.words:
                sounds += [self._from_words(result, stem, fill, take) for take in range(1, fill.takes + 1)]
            elif (marked := self._prepared.rooms.get((stem, result.segment.source))) is not None:
                sounds.append(self._room_tone(result, stem, fill, marked))
            elif not self._active(result, stem):  # silent: there is nothing to replace, and no room tone is missing
                sounds.append(self._room_tone(result, stem, fill, self._tone_of(result)))
            elif (origin := self._room_origin(result, all_results)) is not None:
                sounds.append(self._room_tone(result, stem, fill, self._tone_of(origin, own=origin is result)))
                if origin is not result:
                    message = f"{fill_name(stem)}: room tone from clip {self._clips(origin)[0].name} of the same media."
                    notices += self._notices(result, stem, WarningCode.ROOM_TONE_SHARED, message)
            else:
                notices += self._no_room(result, stem)
        return sounds, notices

    def residual_gain(self, result: SegmentResult, stems: Sequence[str], start: int, end: int) -> Block:
        """Return the gains [samples] of the residual under fills that replace it, for samples [start, end)."""
        gain = np.ones(end - start, np.float32)
        for stem in stems:
            gain *= fill_gains(self._active(result, stem), start, end, self._facts(result).sample_rate)[1]
        return gain

    def _own_file(self, result: SegmentResult, stem: str, fill: Replace) -> DerivedSound:
        facts = self._facts(result)
        file = self._files[fill.path, facts.sample_rate, facts.channels, fill.room]
        made_from = {
            "method": "file",
            **self._common(fill),
            "file": recorded_fill(fill, self._settings),
            "file_sha256": file.sha256,
        }
        return DerivedSound(
            fill_name(stem),
            made_from,
            lambda: self._placed(result, stem, fill, file),
            made_by="",
            identity=_identity(fill),
        )

    def _from_words(self, result: SegmentResult, stem: str, fill: Replace, take: int) -> DerivedSound:
        assert self._maker is not None  # noqa: S101 - there are words
        generator = self._maker.generator(fill)
        made_from = {
            "method": "words",
            **self._common(fill),
            "words": recorded_words(fill.words, self._settings.record_words),
            "take": take,
            "generator": generator.id,
            "revision": generator.revision,
            "licence": generator.licence,
            "commercial": generator.commercial,
            **({"marks": generator.marks} if generator.marks else {}),
        }
        return DerivedSound(
            fill_name(stem, take),
            made_from,
            lambda: self._generated(result, stem, fill, take),
            made_by="generative",
            identity={**_identity(fill), "words": fill.words, "quality": self._settings.quality},
        )

    def _room_tone(self, result: SegmentResult, stem: str, fill: Replace, tone: ToneSource) -> DerivedSound:
        made_from = {
            "method": "room",
            **self._common(fill),
            "room": tone.sha256,
            **({"room_from": [str(time) for time in fill.room_from]} if fill.room_from else {}),
        }
        replaced = sorted(self._settings.replace)
        more = {"replaced": replaced} if len(replaced) > 1 else {}  # the room is where none of them sounds
        return DerivedSound(
            fill_name(stem),
            made_from,
            lambda: self._toned(result, stem, fill, tone),
            made_by="algorithmic",
            identity={"room_tone": ROOM_TONE_VERSION, **more},
        )

    def _tone_of(self, origin: SegmentResult, *, own: bool = True) -> ToneSource:
        """Return the residual of a segment as a source of room tone, for its own fill or that of a neighbour."""
        residual = origin.files[RESIDUAL]
        quiet = self._rooms[id(origin)].quiet
        return ToneSource(MediaSource(str(residual.path)), quiet, residual.record.audio_sha256, follows_place=own)

    def _common(self, fill: Replace) -> dict[str, object]:
        options = fill_options(fill, self._settings)
        options.pop("room_from", None)  # the sound that is heard there identifies the fill, also after a re-conform
        more = {"options": options} if options else {}
        return {"gain_db": fill.gain_db, "instead": fill.fades_residual, **more}

    def _placed(self, result: SegmentResult, stem: str, fill: Replace, file: FillFile) -> Iterator[Block]:
        """Yield a file in the place of a stem, lowered under another one where that was asked for."""
        length, at = result.segment.range.length, 0
        place = "span" if fill.words and fill.at == "auto" else fill.at
        placement = FillPlacement(place, fill.gain_db, fill.nudge_s, fill.match_eq)
        with ExitStack() as stack:
            removed = RemovedSound(
                stack.enter_context(open_file(result.files[stem])),
                stack.enter_context(open_file(result.files[RESIDUAL])),
                self._active(result, stem),
                length,
            )
            ducking = self._ducking(result, fill, stack)
            for block in file_fill(file, removed, placement, seed=seed_of(result)):
                self._check_cancelled()
                end = at + block.shape[1]
                yield block if ducking is None else block * ducking.gains(at, end)
                at = end

    def _generated(self, result: SegmentResult, stem: str, fill: Replace, take: int) -> Iterator[Block]:
        """Yield a sound from words in the place of a stem. Its converted sound goes when the fill is written."""
        assert self._maker is not None  # noqa: S101 - there are words
        facts = self._facts(result)
        if not self._active(result, stem):  # the stem is silent: there is nothing to replace
            yield from _silence(facts.channels, result.segment.range.length)
            return
        key = digest([result.files[stem].record.audio_sha256, stem, take, fill.words, fill.generator, seed_of(result)])
        path = self._folder / f"{key[:32]}.wav"
        reference = None
        if fill.vary is not None:
            reference = (MediaSource(str(result.files[stem].path)), SampleRange(0, result.segment.range.length))
        seed = int(digest([seed_of(result), self._settings.seed, stem, take])[:16], 16)
        wish = SoundWish(fill, self._wanted_s(result, stem, fill), seed, reference)
        aligned = fill.vary is not None
        empty = FillFile("", path, facts.sample_rate, facts.channels, aligned=aligned)
        try:
            yield from self._placed(result, stem, fill, self._maker.make(wish, empty))
        finally:
            path.unlink(missing_ok=True)

    def _toned(self, result: SegmentResult, stem: str, fill: Replace, tone: ToneSource) -> Iterator[Block]:
        active, length = self._active(result, stem), result.segment.range.length
        if not active:  # the stem is silent: there is nothing to replace
            yield from _silence(self._facts(result).channels, length)
            return
        rate = self._facts(result).sample_rate
        gain, at = np.float32(10.0 ** (fill.gain_db / 20)), 0
        with ExitStack() as stack:
            reader = stack.enter_context(open_audio(tone.sound))
            if tone.follows_place:
                blocks = room_tone_along(reader, tone.pieces, length, seed=seed_of(result))
            else:
                blocks = learn_room_tone(reader, tone.pieces).blocks(length, seed=seed_of(result))
            ducking = self._ducking(result, fill, stack)
            for block in blocks:
                self._check_cancelled()
                end = at + block.shape[1]
                sound = block * gain
                if fill.fades_residual:
                    sound *= fill_gains(active, at, end, rate)[0]
                yield sound if ducking is None else sound * ducking.gains(at, end)
                at = end

    def _ducking(self, result: SegmentResult, fill: Replace, stack: ExitStack) -> Ducking | None:
        if not fill.duck:
            return None
        reader = stack.enter_context(open_file(result.files[fill.duck]))
        return Ducking(reader, result.segment.range.length, fill.duck_db)

    def _wanted_s(self, result: SegmentResult, stem: str, fill: Replace) -> float:
        """Return how long a generated sound must be for the place of a stem."""
        rate, spans = self._facts(result).sample_rate, self._active(result, stem)
        length = result.segment.range.length
        if fill.vary is not None:
            return length / rate
        if fill.at == "onset":
            longest_s = max(span.length for span in spans) / rate
            return min(max(longest_s, _SHORTEST_EFFECT_S), _LONGEST_EFFECT_S)
        ranges = ambience_ranges(spans, length, fill.at, rate)
        return sum(covered.length for covered in ranges) / rate + _SLACK_S

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

    def _no_room(self, result: SegmentResult, stem: str) -> list[Notice]:
        message = (
            "No room tone was found, here or in other clips of this media, so the place is not filled. "
            "Where is the room heard alone? Mark it with --room-from, use a longer range, or put a file in its place."
        )
        return self._notices(result, stem, Code.ROOM_TONE_MISSING, message)

    def _notices(self, result: SegmentResult, stem: str, code: str, message: str) -> list[Notice]:
        return [Notice(clip.name, fill_name(stem), code, message, clip.clip_id) for clip in self._clips(result)]

    def _clips(self, result: SegmentResult) -> list[ClipRange]:
        return [clip for clip in self._prepared.clips if clip.clip_id in result.segment.clip_ids]

    def _active(self, result: SegmentResult, stem: str) -> tuple[SampleRange, ...]:
        return self._rooms[id(result)].active[stem]

    def _facts(self, result: SegmentResult) -> MediaFacts:
        return self._prepared.facts[result.segment.source]

    def _check_cancelled(self) -> None:
        if self._hooks.stopped():
            raise Cancelled


def segment_blocks(result: SegmentResult, names: Sequence[str], hooks: Hooks) -> Iterator[dict[str, Block]]:
    """Yield the files of a segment block by block, by name. Raises Cancelled when the hooks say so."""
    length = result.segment.range.length
    with ExitStack() as stack:
        readers = {name: stack.enter_context(open_file(result.files[name])) for name in names}
        for start in range(0, length, BLOCK_SAMPLES):
            if hooks.stopped():
                raise Cancelled
            end = min(start + BLOCK_SAMPLES, length)
            yield {name: reader.read(start, end) for name, reader in readers.items()}


def seed_of(result: SegmentResult) -> int:
    """Return a seed that depends on the job and the place in the media alone."""
    return int(digest([result.files[RESIDUAL].record.key, result.segment.range.start_sample])[:16], 16)


def open_file(file: FinishedFile) -> AudioReader:
    """Open a finished file."""
    return open_audio(MediaSource(str(file.path)))


def _identity(fill: Replace) -> dict[str, object]:
    """Return what changes the samples of a placed sound beside the facts of its record."""
    if not fill.room or fill.room in ROOMS:
        return {"placed": FILE_FILL_VERSION}
    with Path(fill.room).open("rb") as file:
        return {"placed": FILE_FILL_VERSION, "impulse": hashlib.file_digest(file, "sha256").hexdigest()}


def _silence(channels: int, length_samples: int) -> Iterator[Block]:
    for start in range(0, length_samples, BLOCK_SAMPLES):
        yield np.zeros((channels, min(BLOCK_SAMPLES, length_samples - start)), np.float32)
