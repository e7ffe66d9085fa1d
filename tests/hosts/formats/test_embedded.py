"""AAF with its sound inside: the samples that were embedded are those that are separated."""

from __future__ import annotations

import wave
from pathlib import Path

import aaf2
import numpy as np
import pytest

from hosts.otio.support import difference, media, separate, source_samples
from stemline.hosts.base import Selection
from stemline.media import media_facts
from stemline_otio import OtioTarget, ReadOptions, open_edit

RATE = 25


def embedding(folder: Path, length_s: int = 8) -> Path:
    """Two uses of one embedded mono take: frames 10 to 60 and 60 to 90."""
    take = media(folder / "take.wav", length_s)
    path = folder / "reel.aaf"
    with aaf2.open(str(path), "w") as file:
        master = file.create.MasterMob("take")
        file.content.mobs.append(master)
        slot = master.import_audio_essence(str(take), 48000)
        composition = file.create.CompositionMob("reel")
        composition.usage = "Usage_TopLevel"
        file.content.mobs.append(composition)
        sound = composition.create_timeline_slot(RATE)
        sound["PhysicalTrackNumber"].value = 1
        sequence = file.create.Sequence(media_kind="sound")
        sound.segment = sequence
        sequence.components.append(file.create.Filler("sound", 10))
        for start, length in ((20, 50), (120, 30)):
            clip = master.create_source_clip(slot.slot_id, media_kind="sound")
            clip["StartTime"].value = start
            clip.length = length
            sequence.components.append(clip)
    return path


def test_embedded_sound_is_copied_out_sample_for_sample(tmp_path: Path) -> None:
    path = embedding(tmp_path)
    before = source_samples(str(tmp_path / "take.wav"))
    (tmp_path / "take.wav").unlink()
    output = tmp_path / "out" / "reel.stems.otio"
    options = ReadOptions(unpack_to=tmp_path / "out" / "reel.media")
    result = separate(open_edit(path, OtioTarget(output), None, options), output)
    assert [clip.record_range.start * RATE for clip in result.read.clips] == [10, 60]
    assert [clip.source_range.start * RATE for clip in result.read.clips] == [20, 120]
    [copied] = (tmp_path / "out" / "reel.media").iterdir()
    assert np.array_equal(source_samples(str(copied)), before)
    worst, loudest = difference(output)
    assert loudest > 0.001
    assert worst == 0


def test_embedded_sound_is_copied_once(tmp_path: Path) -> None:
    path = embedding(tmp_path)
    options = ReadOptions(unpack_to=tmp_path / "media")
    for _ in range(2):
        open_edit(path, OtioTarget(tmp_path / "x.otio"), None, options).read_clips(Selection())
        [copied] = (tmp_path / "media").iterdir()
        with wave.open(str(copied)) as sound:
            assert sound.getnframes() == 8 * 48000
        stamp = copied.stat().st_mtime_ns
    assert copied.stat().st_mtime_ns == stamp


def test_sounds_of_one_name_and_one_session_are_not_confused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Media Composer's ids of one session differ in the middle and end alike."""
    new = aaf2.mobid.MobID.new

    def of_one_session() -> aaf2.mobid.MobID:
        made = new()
        made.bytes_le[28:] = b"\xb2\x62\xcd\x52"
        return made

    monkeypatch.setattr(aaf2.mobid.MobID, "new", staticmethod(of_one_session))
    path = tmp_path / "reel.aaf"
    with aaf2.open(str(path), "w") as file:
        composition = file.create.CompositionMob("reel")
        composition.usage = "Usage_TopLevel"
        file.content.mobs.append(composition)
        for track, length_s in enumerate((6, 8), 1):
            take = media(tmp_path / str(length_s) / "take.wav", length_s)
            master = file.create.MasterMob("take")
            file.content.mobs.append(master)
            slot = master.import_audio_essence(str(take), 48000)
            sound = composition.create_timeline_slot(RATE)
            sound["PhysicalTrackNumber"].value = track
            clip = master.create_source_clip(slot.slot_id, media_kind="sound")
            clip.length = 50
            sequence = file.create.Sequence(media_kind="sound")
            sound.segment = sequence
            sequence.components.append(clip)
    edit = open_edit(path, OtioTarget(tmp_path / "x.otio"), None, ReadOptions(unpack_to=tmp_path / "media"))
    clips = edit.read_clips(Selection()).clips
    assert [media_facts(clip.source).length_samples for clip in clips] == [6 * 48000, 8 * 48000]
