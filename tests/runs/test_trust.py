"""Records that give away folders or words, verdicts that say more than is proven, and sums that prove the source."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import ROOT
from runs.conftest import noise, record_in
from stemline.clips import MediaSource
from stemline.media import AudioFormat, SampleFormat, StemTags, open_audio, open_writer
from stemline.workflow.verify import verify

Command = Callable[..., tuple[int, dict[str, Any], str]]
INTERVIEW = ROOT / "examples" / "interview"


def separated(command: Command, media: Path, out: Path, *options: object) -> dict[str, Any]:
    stems = ("--stem", "one=xylophone", "--stem", "two=theremin")
    code, answer, _ = command("separate", media, *stems, "--model", "noop", "-o", out, *options)
    assert code == 0
    result: dict[str, Any] = answer["results"][0]
    return result


def contents(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.parametrize("sample_format", ["wav24", "flac"])
def test_no_delivered_file_names_the_folder_of_the_media(command: Command, tmp_path: Path, sample_format: str) -> None:
    (tmp_path / "private" / "client").mkdir(parents=True)
    media = noise(tmp_path / "private" / "client" / "in.wav")
    result = separated(command, media, tmp_path / "out", "--format", sample_format)
    assert b"private/client" not in contents(tmp_path / "out")
    assert record_in(result["stems"][0]["path"]).source.media == "in.wav"
    full = separated(command, media, tmp_path / "full", "--format", sample_format, "--record-paths", "full")
    assert record_in(full["stems"][0]["path"]).source.media == media.as_uri()
    none = separated(command, media, tmp_path / "none", "--format", sample_format, "--record-paths", "omit")
    assert record_in(none["stems"][0]["path"]).source.media == ""


def test_an_edit_and_its_report_name_no_folder_and_no_word_when_told_so(command: Command, tmp_path: Path) -> None:
    code, _, _ = command(
        "batch", INTERVIEW / "edit.otio", "--stem", "a=xylophone", "--model", "noop", "-o", tmp_path,
        "--record-words", "omit",
    )  # fmt: skip
    assert code == 0
    written = contents(tmp_path)
    assert b"xylophone" not in written
    reports = (tmp_path / "report.json").read_bytes() + (tmp_path / "report.html").read_bytes()
    stems = contents(tmp_path / "stems")
    assert str(INTERVIEW).encode() not in reports + stems
    assert str(tmp_path).encode() not in reports + stems


def test_hashed_words_tell_equal_prompts_and_nothing_else(command: Command, tmp_path: Path) -> None:
    media = noise(tmp_path / "in.wav")
    first = separated(command, media, tmp_path / "one", "--record-words", "hash")
    again = separated(command, media, tmp_path / "two", "--record-words", "hash")
    texts = [record_in(stem["path"]).prompt.text for stem in (*first["stems"], *again["stems"])]
    assert b"xylophone" not in contents(tmp_path / "one")
    assert texts[0].startswith("hmac-sha256:")
    assert (texts[0] == texts[2], texts[0] == texts[1]) == (True, False)


def test_privacy_settings_do_not_separate_again(command: Command, tmp_path: Path) -> None:
    media = noise(tmp_path / "in.wav")
    separated(command, media, tmp_path / "out")
    again = separated(command, media, tmp_path / "out", "--record-words", "omit", "--record-paths", "omit")
    assert again["engine_s"] == 0


def forge(path: Path) -> None:
    """Replace the audio of a stem by silence, with a record whose checksum fits."""
    verdict = verify(path)
    assert verdict.record is not None
    metadata = {name: value for name, value in verdict.record.to_json().items() if name != "audio_sha256"}
    with open_audio(MediaSource(str(path))) as reader:
        form = AudioFormat(SampleFormat.WAV24, reader.sample_rate, reader.channels)
        silence = np.zeros((reader.channels, reader.length_samples), np.float32)
    with open_writer(path, form, StemTags(metadata=metadata)) as writer:
        writer.write(silence)
    sidecar = path.with_suffix(".json")
    record = json.loads(sidecar.read_text(encoding="utf-8"))
    sidecar.write_text(json.dumps({**record, "audio_sha256": writer.audio_sha256}), encoding="utf-8")


def test_a_forged_stem_is_never_called_more_than_unchanged(command: Command, tmp_path: Path) -> None:
    media = noise(tmp_path / "in.wav")
    stem = Path(separated(command, media, tmp_path / "out")["stems"][0]["path"])
    forge(stem)
    code, answer, _ = command("verify", stem)
    assert (code, answer["results"][0]["status"]) == (0, "unchanged")
    assert "anybody could have written both" in answer["results"][0]["verdict"]
    code, answer, _ = command("verify", stem, "--source", media)
    assert code == 1
    assert "do not add up to in.wav" in answer["errors"][0]["message"]


@pytest.mark.parametrize("sample_format", ["wav24", "wav32f", "flac"])
def test_a_set_is_proven_against_its_source(command: Command, tmp_path: Path, sample_format: str) -> None:
    media = noise(tmp_path / "in.wav")
    result = separated(command, media, tmp_path / "out", "--format", sample_format)
    for path in (result["stems"][0]["path"], result["residual"]):
        code, answer, _ = command("verify", path, "--source", media)
        proof = answer["results"][0]["proof"]
        assert code == 0
        assert proof["same_sound"] and proof["proven"] and len(proof["files"]) == 3
        assert proof["sentence"] == "These 3 files add up to in.wav, sample for sample."


def test_one_changed_sample_of_another_stem_is_found(command: Command, tmp_path: Path) -> None:
    media = noise(tmp_path / "in.wav")
    result = separated(command, media, tmp_path / "out")
    other = Path(result["stems"][1]["path"])
    data = bytearray(other.read_bytes())
    data[data.index(b"data") + 8 + 3000] ^= 1
    other.write_bytes(data)
    proof = verify(result["stems"][0]["path"], source=media).proof
    assert proof is not None and not proof.proven
    assert verify(other).status == "changed"


def test_another_recording_is_told_from_the_source(command: Command, tmp_path: Path) -> None:
    media, other = noise(tmp_path / "in.wav"), noise(tmp_path / "another.wav")
    stem = Path(separated(command, media, tmp_path / "out")["stems"][0]["path"])
    stem.with_name("in.residual.json").unlink()
    proof = verify(stem, source=other).proof
    assert proof is not None
    assert (proof.same_sound, proof.files) == (False, ())
    assert verify(stem, source=media).proof.same_sound  # type: ignore[union-attr]


def test_sets_beside_each_other_are_told_apart(command: Command, tmp_path: Path) -> None:
    code, _, _ = command(
        "batch", INTERVIEW / "edit.otio", "--stem", "a=x", "--stem", "b=y", "--model", "noop", "-o", tmp_path
    )
    assert code == 0
    command("batch", INTERVIEW / "edit.otio", "--stem", "a=other", "--model", "noop", "-o", tmp_path)
    stem = next((tmp_path / "stems").glob("a_recorder_*.wav"))
    proof = verify(stem, source=INTERVIEW / "recorder.wav").proof
    assert proof is not None and proof.proven
    assert len(proof.files) == (3 if record_in(str(stem)).prompt.text == "x" else 2)


def test_a_set_of_many_stems_beside_those_of_another_seed_is_proven(command: Command, tmp_path: Path) -> None:
    media, out = noise(tmp_path / "in.wav"), tmp_path / "out"
    stems = [part for number in range(7) for part in ("--stem", f"s{number}=x")]
    command("separate", media, "--stem", "other=y", "--seed", "5", "--model", "noop", "-o", out)
    code, answer, _ = command("separate", media, *stems, "--model", "noop", "--overwrite", "-o", out)
    assert code == 0
    code, answer, _ = command("verify", out / "in.s3.wav", "--source", media)
    assert code == 0
    assert answer["results"][0]["proof"]["proven"] is True
    assert len(answer["results"][0]["proof"]["files"]) == 8


def test_records_say_how_their_sound_arose(command: Command, tmp_path: Path) -> None:
    media, fill = ROOT / "examples" / "interview" / "recorder.wav", noise(tmp_path / "wind.wav", seconds=4)
    made_by: dict[str, str] = {}
    for kind, replaced in (("room", "room"), ("file", f"file:{fill}")):
        code, answer, err = command(
            "separate", media, "--stem", "one=speech", "--model", "embedded", "--out", "8", "-o", tmp_path / "out",
            "--remix", "one=-6", "--replace", f"one={replaced}", "--overwrite",
        )  # fmt: skip
        assert code == 0, err
        result = answer["results"][0]
        paths = {"one": result["stems"][0]["path"], "residual": result["residual"], **result["derived"]}
        for name, path in paths.items():
            made_by[f"{name} {kind}"] = record_in(path).made_by
            beside = json.loads(Path(path).with_suffix(".json").read_text(encoding="utf-8"))
            assert beside.get("made_by", "") == record_in(path).made_by
    assert {made_by.pop(f"{name} {kind}") for name in ("one", "residual", "remix") for kind in ("room", "file")} == {
        "masking"
    }
    assert (made_by["fill one room"], made_by["fill one file"]) == ("algorithmic", "")


def test_a_record_of_ten_megabytes_and_a_gigantic_sidecar_get_one_sentence(command: Command, tmp_path: Path) -> None:
    result = separated(command, noise(tmp_path / "in.wav"), tmp_path / "out")
    stem = Path(result["stems"][0]["path"])
    record = json.loads(json.dumps(verify(stem).record.to_json()))  # type: ignore[union-attr]
    record["prompt"]["text"] = record["model"] = "x" * 10_000_000
    for name, change in (("long.wav", record), ("deep.wav", {**record, "more": json.loads("[" * 900 + "]" * 900)})):
        with open_writer(tmp_path / name, AudioFormat(SampleFormat.WAV24, 48000, 1), StemTags(metadata=change)) as file:
            file.write(np.zeros((1, 100), np.float32))
        code, answer, err = command("verify", tmp_path / name)
        assert (code, err.count("\n")) in ((0, 0), (1, 1)), err[:200]
        assert len(str(answer["errors"])) < 1000
    assert len("\n".join(verify(tmp_path / "long.wav").as_lines())) < 3000
    with stem.with_suffix(".json").open("wb") as sidecar:
        sidecar.truncate(65 << 20)
    code, answer, err = command("verify", stem)
    assert code == 0 and answer["results"][0]["status"] == "unchanged", err


def test_one_stem_and_the_residual_of_compressed_media_are_proven_by_the_source(
    command: Command, tmp_path: Path
) -> None:
    """Subtracted in float32 and then rounded, the residual was off by up to 9/16 of a step."""
    media = INTERVIEW / "camera.mp4"
    code, answer, _ = command("separate", media, "--stem", "one=speech", "--model", "embedded", "-o", tmp_path)
    assert code == 0
    proof = verify(answer["results"][0]["stems"][0]["path"], source=media).proof
    assert proof is not None and proof.proven, proof
