"""`stemline separate`: files of the right length that add up; bad input is reported and loses nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import stemline
from conftest import ROOT
from runs.conftest import noise, record_in
from stemline.api.voices import VoiceStems
from stemline.media import AudioFormat, SampleFormat, open_writer
from stemline.workflow import fileset, run
from stemline.workflow.results import Null
from stemline.workflow.verify import verify
from stemline_app.cli import main

Command = Callable[..., tuple[int, dict[str, Any], str]]


def samples(path: Path | str) -> np.ndarray:
    """Return all samples as float64 [channels, samples], decoded with PyAV alone."""
    blocks = []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            data = frame.to_ndarray()
            if not frame.format.is_planar:
                data = data.reshape(-1, frame.layout.nb_channels).T
            blocks.append(data / (2.0 ** (8 * data.dtype.itemsize - 1) if data.dtype.kind == "i" else 1.0))
    return np.concatenate(blocks, axis=1)


def summed(result: dict[str, Any]) -> np.ndarray:
    return sum(samples(stem["path"]) for stem in result["stems"]) + samples(result["residual"])


@pytest.mark.parametrize("sample_format", ["wav24", "wav32f", "flac"])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_stems_and_residual_add_up_to_the_mix(
    command: Command, tmp_path: Path, channels: int, sample_format: str
) -> None:
    media = noise(tmp_path / "in.wav", channels=channels)
    code, answer, _ = command(
        "separate",
        media,
        "--stem",
        "a=x",
        "--stem",
        "b=y",
        "--model",
        "noop",
        "--format",
        sample_format,
        "-o",
        tmp_path,
    )
    assert code == 0
    (result,) = answer["results"]
    assert result["null"] == {"peak": 0.0, "dbfs": -240.0}
    assert np.array_equal(summed(result), samples(media))
    assert result["length_samples"] == 96000
    assert result["channels"] == channels


@pytest.mark.parametrize(("sample_rate", "seconds"), [(44100, 1.0), (11025, 0.777), (96000, 0.5), (192000, 0.1)])
def test_sample_rate_and_length_are_preserved(
    command: Command, tmp_path: Path, sample_rate: int, seconds: float
) -> None:
    media = noise(tmp_path / "in.wav", sample_rate=sample_rate, seconds=seconds)
    _, answer, _ = command("separate", media, "--prompt", "x", "--model", "noop", "-o", tmp_path)
    assert np.array_equal(summed(answer["results"][0]), samples(media))
    assert answer["results"][0]["sample_rate"] == sample_rate


def test_files_have_the_documented_names(command: Command, tmp_path: Path) -> None:
    media = noise(tmp_path / "my clip.wav", seconds=4)
    code, answer, _ = command(
        "separate",
        media,
        "--prompt",
        "Dog Barking",
        "--in",
        "0.5",
        "--out",
        "2.25",
        "--model",
        "noop",
        "-o",
        tmp_path / "o",
    )
    assert code == 0
    (result,) = answer["results"]
    assert result["stems"][0]["name"] == "Dog Barking"
    assert Path(result["stems"][0]["path"]).name == "my clip.0.5-2.25.Dog Barking.wav"
    assert Path(result["residual"]).name == "my clip.0.5-2.25.residual.wav"
    assert np.array_equal(summed(result), samples(media)[:, 24000:108000])


def test_inputs_of_the_same_name_get_different_files(command: Command, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    media = [noise(tmp_path / "one" / "a.wav"), noise(tmp_path / "two" / "a.wav", seconds=1)]
    _, answer, _ = command("separate", *media, "--prompt", "x", "--model", "noop", "-o", tmp_path / "o")
    paths = [result["residual"] for result in answer["results"]]
    assert len(set(paths)) == 2
    assert [result["length_samples"] for result in answer["results"]] == [96000, 48000]


@pytest.mark.parametrize("tag", ["²", "9" * 23, "-5", "18446744073709551615"])
def test_an_invalid_time_reference_is_ignored(command: Command, tmp_path: Path, tag: str) -> None:
    media = tmp_path / "in.flac"
    with av.open(str(media), "w") as container:
        container.metadata["time_reference"] = tag
        stream = container.add_stream("flac", rate=48000, layout="mono", format="s16")
        frame = av.AudioFrame.from_ndarray(np.full((1, 4096), 77, np.int16), "s16", "mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    code, answer, _ = command("separate", media, "--prompt", "x", "--model", "noop", "-o", tmp_path / "o")
    assert code == 0
    assert np.array_equal(summed(answer["results"][0]), samples(media))


def test_every_prompt_gives_a_stem(command: Command, tmp_path: Path) -> None:
    media = noise(tmp_path / "in.wav")
    asked = ("--prompt", "remove the Rain", "--prompt", "please isolate a dog", "--prompt", "the")
    _, answer, _ = command("separate", media, *asked, "--model", "noop", "-o", tmp_path / "o")
    (result,) = answer["results"]
    assert [stem["name"] for stem in result["stems"]] == ["Rain", "dog", "the"]


@pytest.mark.parametrize(
    ("part", "length"),
    [(("--in", "0.500015"), 71_999), (("--in", "0.5", "--out", "1.00001"), 24_000), (("--out", "1.00002"), 48_001)],
)
def test_a_range_that_splits_samples_is_rounded_at_both_ends(
    command: Command, tmp_path: Path, part: tuple[str, ...], length: int
) -> None:
    media = noise(tmp_path / "in.wav", seconds=2)
    code, answer, _ = command("separate", media, "--prompt", "x", "--model", "noop", "-o", tmp_path / "o", *part)
    assert code == 0
    assert answer["results"][0]["length_samples"] == length


def test_sound_far_beyond_full_scale_adds_up_within_float_precision(command: Command, tmp_path: Path) -> None:
    media = noise(tmp_path / "in.wav", bits=32)
    with open_writer(media, AudioFormat(SampleFormat.WAV32F, 48000, 2)) as writer:
        writer.write(samples(media).astype(np.float32) * np.float32(2e3))
    code, answer, _ = command("separate", media, "--prompt", "x", "--model", "noop", "-o", tmp_path / "o")
    assert code == 0
    assert np.abs(summed(answer["results"][0]) - samples(media)).max() < 2e3 * 2.0**-20


def test_files_that_do_not_add_up_are_removed_with_their_sidecars(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fileset, "measure_null", lambda *_: Null.of(0.5))
    media = noise(tmp_path / "in.wav")
    code, answer, _ = command("separate", media, "--prompt", "x", "--model", "noop", "-o", tmp_path / "o")
    assert code == 1
    assert answer["errors"][0]["code"] == "OUTPUT_DAMAGED"
    assert list((tmp_path / "o").iterdir()) == []


def test_two_runs_at_once_never_mix_their_files(command: Command, tmp_path: Path) -> None:
    media = noise(tmp_path / "in.wav")
    argv = [sys.executable, "-m", "stemline", "separate", str(media), "--model", "noop", "-o", str(tmp_path / "o")]
    both = [
        subprocess.Popen([*argv, "--stem", f"{name}=sleep:{seconds}", "--json"], stdout=subprocess.PIPE)
        for name, seconds in (("one", 1), ("other", 1.1))
    ]
    answers = [json.loads(process.communicate(timeout=120)[0]) for process in both]
    assert sorted(process.returncode for process in both) == [0, 1]
    (done,) = [answer["results"][0] for answer in answers if answer["results"]]
    (refused,) = [answer["errors"][0] for answer in answers if answer["errors"]]
    assert refused["code"] == "OUTPUT_EXISTS"
    assert np.array_equal(summed(done), samples(media))


def test_a_truncated_file_is_separated_to_its_end_with_a_warning(command: Command, tmp_path: Path) -> None:
    media = noise(tmp_path / "in.wav", seconds=4)
    media.write_bytes(media.read_bytes()[: media.stat().st_size // 2])
    whole = ("separate", media, "--prompt", "x", "--model", "noop", "-o", tmp_path / "o")
    code, answer, _ = command(*whole)
    (result,) = answer["results"]
    assert code == 0
    assert np.array_equal(summed(result), samples(media))
    assert [warning["code"] for warning in result["warnings"]] == ["MEDIA_CUT_SHORT"]
    assert "ends after 2.00 s" in result["warnings"][0]["message"]
    _, answer, _ = command(*whole, "--in", "0", "--out", "1")
    assert answer["results"][0]["warnings"] == []


def test_sound_beyond_full_scale_is_written_as_float(command: Command, tmp_path: Path) -> None:
    media = noise(tmp_path / "in.wav", bits=32)
    loud = samples(media) * 6
    with open_writer(media, AudioFormat(SampleFormat.WAV32F, 48000, 2)) as writer:
        writer.write(np.rint(loud * 2**20).astype(np.float32) / 2**20)
    code, answer, _ = command(
        "separate", media, "--prompt", "x", "--model", "noop", "--format", "wav24", "-o", tmp_path
    )
    assert code == 0
    with av.open(answer["results"][0]["residual"]) as container:
        assert container.streams.audio[0].codec_context.name == "pcm_f32le"
    assert answer["results"][0]["null"]["dbfs"] == -240.0


def test_mono_separates_the_fold_down(command: Command, tmp_path: Path) -> None:
    media = noise(tmp_path / "in.wav")
    _, answer, _ = command("separate", media, "--prompt", "x", "--model", "noop", "--channels", "mono", "-o", tmp_path)
    (result,) = answer["results"]
    assert result["channels"] == 1
    assert result["null"]["dbfs"] == -240.0
    assert np.abs(summed(result) - samples(media).mean(axis=0)).max() <= 2.0**-24
    assert record_in(result["residual"]).source.channels == (0, 1)


def test_a_chain_separates_each_stem_from_the_rest(command: Command, tmp_path: Path) -> None:
    media = noise(tmp_path / "in.wav")
    _, answer, _ = command(
        "separate", media, "--stem", "a=x", "--stem", "b=y", "--chain", "--model", "noop", "-o", tmp_path
    )
    (result,) = answer["results"]
    mix, first, second = samples(media), *(samples(stem["path"]) for stem in result["stems"])
    assert np.abs(first - mix / 2).max() <= 2.0**-23
    assert np.abs(second - mix / 4).max() <= 2.0**-23
    assert np.array_equal(summed(result), mix)


def test_overlapping_stems_give_a_warning(command: Command, tmp_path: Path) -> None:
    media = noise(tmp_path / "in.wav")
    asked = [word for name in "abcd" for word in ("--stem", f"{name}={name}")]
    _, answer, _ = command("separate", media, *asked, "--model", "noop", "-o", tmp_path)
    assert [warning["code"] for warning in answer["results"][0]["warnings"]] == ["STEMS_OVERLAP"]


def test_the_estimated_time_covers_all_stems(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remembered: list[tuple[float, float]] = []
    monkeypatch.setattr(run, "remember_speed", lambda _, *speed: remembered.append(speed))
    how = ("separate", noise(tmp_path / "in.wav"), "--model", "noop", "-o", tmp_path)
    two = ("--stem", "a=sleep:0.2", "--stem", "b=sleep:0.3")
    command(*how, *two)
    command(*how, *two)
    (audio_s, engine_s), again = remembered
    assert audio_s == 2 * 2.0
    assert engine_s >= 0.5
    assert again == (0, 0)


def test_verify_finds_a_changed_sample(command: Command, tmp_path: Path) -> None:
    media = noise(tmp_path / "in.wav")
    _, answer, _ = command("separate", media, "--prompt", "dog", "--seed", "7", "--model", "noop", "-o", tmp_path)
    path = Path(answer["results"][0]["stems"][0]["path"])
    checked = verify(path)
    assert checked.intact, checked.sentence
    assert checked.record and checked.record.prompt.text == "dog"
    assert checked.record.seed == 7
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    code, told, _ = command("verify", path)
    assert code == 1
    assert not told["results"][0]["intact"]


@pytest.mark.parametrize("channels", [1, 8])
def test_one_sample_is_enough(command: Command, tmp_path: Path, channels: int) -> None:
    media = noise(tmp_path / "in.wav", seconds=1 / 48000, channels=channels)
    code, answer, _ = command("separate", media, "--prompt", "x", "--model", "noop", "-o", tmp_path)
    assert code == 0
    assert answer["results"][0]["length_samples"] == 1


def test_help_imports_no_heavy_package() -> None:
    script = "import sys; from stemline_app.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    script += "heavy = {'numpy', 'av', 'grpc', 'torch', 'opentimelineio', 'rich'} & set(sys.modules)\n"
    script += "sys.exit(str(heavy) if heavy else 0)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "separate" in done.stdout


def test_results_are_printed_as_a_table(
    shared_server: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    media = noise(tmp_path / "in [bold]x.wav")
    assert main(["separate", str(media), "--prompt", "dog", "--model", "noop", "-o", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "in [bold]x.dog.wav" in out
    assert "-240" in out


def test_time_and_disk_are_told_before_a_long_run_and_alone_with_dry_run(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("stemline.workflow.estimate.known_speed", {"noop": 0.05}.get)
    media = noise(tmp_path / "in.wav")
    arguments = ["separate", str(media), "--stem", "a=x", "--model", "noop", "-o", str(tmp_path / "out")]
    code, answer, _ = command(*arguments, "--dry-run")
    (planned,) = answer["results"]
    assert code == 0 and planned["dry_run"] and planned["estimated_engine_s"] == 40
    assert planned["files"] == 2 and planned["output_bytes"] == 2 * 96_000 * 2 * 3
    assert not (tmp_path / "out").exists()
    capsys.readouterr()
    assert main(arguments) == 0
    said = capsys.readouterr().err.splitlines()[0]
    assert said.startswith("in.wav: 2 s of sound to separate (about 40 s") and said.endswith("2 files of 1 MB.")


def test_where_two_voices_speak_at_once_is_part_of_the_answer(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = VoiceStems([stemline.Stem("guest", stemline.Prompt("speech", [stemline.Span(0, 1)]))])
    found.overlaps = (stemline.Span("0.5", "0.75"),)
    monkeypatch.setattr(stemline, "find_voices", lambda *_, **__: found)
    media = noise(tmp_path / "in.wav")
    options = ("--voice", "guest=0..1", "--model", "noop", "-o", tmp_path / "out")
    code, answer, said = command("separate", media, *options)
    assert code == 0, said
    assert answer["results"][0]["overlaps"] == [[0.5, 0.75]]
    code, answer, said = command("batch", ROOT / "examples" / "interview" / "edit.otio", *options, "--no-previews")
    assert code == 0, said
    assert answer["results"][0]["overlaps"] == [[0.5, 0.75]]
    code, answer, said = command("separate", media, *options, "--dry-run")
    assert (code, answer["results"][0]["files"]) == (0, 2), said
