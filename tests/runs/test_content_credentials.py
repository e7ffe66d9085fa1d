"""Content Credentials that change the sound, hide the source's own, reach for the network, or ruin a file."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from runs.conftest import noise
from stemline.errors import UsageError
from stemline.media import AudioFormat, SampleFormat, open_writer, read_tags
from stemline.media.wave.riff import chunks
from stemline.media.wave.stem_writer import WavWriter
from stemline.trust import c2pa_files, certificates, content_credentials, keys
from stemline.trust.content_credentials import CredentialsError, read_credentials, source_type, write_credentials
from stemline.workflow.verify import verify

Command = Callable[..., tuple[int, dict[str, Any], str]]
RECORD = json.loads((Path(__file__).parents[1] / "core" / "sidecars" / "Hund.json").read_text(encoding="utf-8"))
MANIFEST = content_credentials.stem_manifest({**RECORD, "made_by": "masking", "waveform": []}, "a")
CODECS = {"mp3": "libmp3lame", "m4a": "aac", "mp4": "aac", "mov": "pcm_s16le", "ogg": "libopus", "w64": "pcm_s16le"}
IPTC_TERMS = {
    "algorithmicMedia", "algorithmicallyEnhanced", "composite", "compositeCapture", "compositeSynthetic",
    "compositeWithTrainedAlgorithmicMedia", "computationalCapture", "dataDrivenMedia", "digitalCapture",
    "digitalCreation", "humanEdits", "negativeFilm", "positiveFilm", "print", "screenCapture",
    "trainedAlgorithmicMedia", "virtualRecording",
}  # fmt: skip


def ingredient(media: Path) -> dict[str, Any]:
    return content_credentials.stem_ingredient({"source": {"media": media.name, "audio_sha256": "0" * 64}}, str(media))


def sound_file(path: Path) -> Path:
    """Write two seconds of noise in the format that the suffix names; `float.wav` and `rf64.wav` by their name."""
    if path.suffix in (".wav", ".flac"):
        form = SampleFormat.FLAC if path.suffix == ".flac" else SampleFormat.WAV24
        form = SampleFormat.WAV32F if "float" in path.name else form
        block = np.random.default_rng(1).normal(0, 0.05, (2, 96_000)).astype(np.float32)
        audio = AudioFormat(form, 48_000, 2)
        if "rf64" in path.name:
            from stemline.media import StemTags

            with WavWriter(path, audio, StemTags(), riff_limit=1000) as writer:
                writer.write(block)
            return path
        with open_writer(path, audio) as writer:
            writer.write(block)
        return path
    with av.open(str(noise(path.with_name("plain.wav")))) as given, av.open(str(path), "w") as made:
        stream = made.add_stream(CODECS[path.suffix[1:]], rate=48_000, layout="stereo")
        assert isinstance(stream, av.AudioStream)
        for frame in given.decode(audio=0):
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
    return path


def packets_of(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


@pytest.mark.parametrize("sample_format", ["wav24", "wav32f", "flac"])
def test_stems_get_credentials_and_keep_their_sound(command: Command, tmp_path: Path, sample_format: str) -> None:
    media = noise(tmp_path / "in.wav")
    arguments = ("separate", media, "--stem", "one=xylophone", "--model", "noop", "--format", sample_format,
                 "--remix", "one=-6")  # fmt: skip
    keys.make_key("Studio A")
    results = {}
    for name, choice in (("plain", "never"), ("signed", "auto")):
        code, answer, err = command(*arguments, "-o", tmp_path / name, "--c2pa", choice)
        assert code == 0, err
        result = answer["results"][0]
        results[name] = [*(s["path"] for s in result["stems"]), result["residual"], *result["derived"].values()]
    for plain, signed in zip(results["plain"], results["signed"], strict=True):
        before, after = read_tags(plain), read_tags(signed)
        assert (before.audio_sha256, before.bext) == (after.audio_sha256, after.bext)
        assert {**before.metadata, "job": "", "signature": ""} == {**after.metadata, "job": "", "signature": ""}
        if sample_format != "flac":
            with Path(plain).open("rb") as one, Path(signed).open("rb") as other:
                names = [[chunk.name for chunk in chunks(file)] for file in (one, other)]
            assert names[1] == [*names[0], b"C2PA"]
        verdict = verify(signed, source=media, require="trusted")
        assert verdict.passed and verdict.credentials is not None and verdict.proof is not None
        assert (verdict.credentials.state, verdict.credentials.issuer) == ("trusted", "Studio A")
        assert verdict.credentials.actions == ("c2pa.opened", "c2pa.edited")
        assert verdict.credentials.source_types == (f"{content_credentials.IPTC}algorithmicallyEnhanced",)
        assert verify(plain).credentials is None
    assert verify(results["signed"][0], source=media).proof.proven  # type: ignore[union-attr]
    written = [Path(path).stat().st_mtime_ns for path in results["signed"]]
    assert command(*arguments, "-o", tmp_path / "signed", "--c2pa", "require")[0] == 0
    assert [Path(path).stat().st_mtime_ns for path in results["signed"]] == written, (
        "found again, and not written again"
    )


@pytest.mark.parametrize("name", ["float.wav", "a.wav", "a.flac", "a.mp3", "a.m4a", "a.mp4", "a.mov"])
def test_a_file_of_any_embedding_format_keeps_its_packets_and_shows_one_flipped_bit(tmp_path: Path, name: str) -> None:
    keys.make_key("Studio A")
    file = sound_file(tmp_path / name)
    before = packets_of(file)
    assert write_credentials(file, MANIFEST, [ingredient(tmp_path / "in.wav")]) == "embedded"
    check = read_credentials(file)
    assert check is not None and (check.state, check.embedded) == ("trusted", True)
    assert packets_of(file) == before
    content = bytearray(file.read_bytes())
    place = bytes(content).index(before[len(before) // 2][8:40]) + 5
    content[place] ^= 1
    file.write_bytes(content)
    check = read_credentials(file)
    assert check is not None and check.state == "invalid" and check.failures[0].endswith("Hash.mismatch")


@pytest.mark.parametrize("name", ["rf64.wav", "a.ogg", "a.w64"])
def test_a_file_that_holds_no_manifest_gets_one_beside_it(tmp_path: Path, name: str) -> None:
    keys.make_key("Studio A")
    file = sound_file(tmp_path / name)
    before = file.read_bytes()
    assert write_credentials(file, MANIFEST, [ingredient(tmp_path / "in.wav")]) == "sidecar"
    assert file.read_bytes() == before and file.with_suffix(".c2pa").stat().st_size < 20_000
    check = read_credentials(file)
    assert check is not None and (check.state, check.embedded) == ("trusted", False)
    file.write_bytes(before[:-9] + bytes([before[-9] ^ 1]) + before[-8:])
    check = read_credentials(file)
    assert check is not None and check.state == "invalid"


def test_the_manifest_of_the_source_is_an_ingredient_of_its_stems(command: Command, tmp_path: Path) -> None:
    keys.make_key("Studio A")
    media = noise(tmp_path / "in.wav")
    write_credentials(media, MANIFEST, [ingredient(tmp_path / "camera.mov")])
    separated: dict[str, Any] = {}
    for choice in ("name", "omit"):
        _, answer, _ = command(
            "separate", media, "--stem", "one=xylophone", "--model", "noop", "-o", tmp_path / choice,
            "--record-paths", choice,
        )  # fmt: skip
        separated[choice] = read_credentials(Path(answer["results"][0]["stems"][0]["path"]))
    assert (separated["name"].manifests, separated["name"].ingredients) == (2, ("in.wav",))
    assert (separated["omit"].manifests, separated["omit"].ingredients) == (1, ("source",))
    content = bytearray(media.read_bytes())
    content[5000] ^= 1  # its own manifest no longer fits: the stems name the source alone
    media.write_bytes(content)
    _, answer, err = command("separate", media, "--stem", "one=x", "--model", "noop", "-o", tmp_path / "damaged")
    check = read_credentials(Path(answer["results"][0]["stems"][0]["path"]))
    assert check is not None and (check.state, check.manifests, check.ingredients) == ("trusted", 1, ("in.wav",)), err


def left_out(answer: dict[str, Any]) -> list[str]:
    warnings = [each for result in answer["results"] for each in result["warnings"]]
    return [each["message"] for each in warnings if each["code"] == "CREDENTIALS_NOT_CARRIED"]


def test_a_run_says_which_credentials_of_the_source_its_stems_do_not_hold(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.make_key("Studio A")
    plain = noise(tmp_path / "plain.wav").read_bytes()

    def said(name: str, *options: object) -> list[str]:
        arguments = ("separate", tmp_path / name, "--stem", "one=x", "--model", "noop", "-o", tmp_path / f"out-{name}")
        code, answer, err = command(*arguments, *options)
        assert code == 0, err
        return left_out(answer)

    def source(name: str) -> Path:
        (tmp_path / name).write_bytes(plain)
        write_credentials(tmp_path / name, MANIFEST, [ingredient(tmp_path / "camera.mov")])
        return tmp_path / name

    assert said("plain.wav") == []
    source("good.wav")
    assert said("good.wav") == []
    source("omit.wav")
    (message,) = said("omit.wav", "--record-paths", "omit")
    assert "--record-paths omit" in message and "omit.wav" not in message
    source("never.wav")
    assert "none of their own" in said("never.wav", "--sign", "never")[0]
    damaged = source("damaged.wav")
    content = bytearray(damaged.read_bytes())
    content[5000] ^= 1
    damaged.write_bytes(content)
    assert "damaged.wav has" in said("damaged.wav")[0] and "damaged or do not match" in said("damaged.wav")[0]
    sound_file(tmp_path / "beside.ogg")
    write_credentials(tmp_path / "beside.ogg", MANIFEST, [ingredient(tmp_path / "camera.mov")])
    assert "beside the media" in said("beside.ogg")[0]
    source("large.wav")
    monkeypatch.setattr(content_credentials, "LARGEST_BYTES", 10_000)
    assert "above" in said("large.wav")[0]


def test_credentials_name_no_folder_and_no_word_that_was_withheld(command: Command, tmp_path: Path) -> None:
    keys.make_key("Studio A")
    folder = tmp_path / "client folder"
    folder.mkdir()
    media = noise(folder / "in.wav")
    code, _, err = command(
        "separate", media, "--stem", "one=confidential xylophone", "--model", "noop", "-o", tmp_path / "out",
        "--record-words", "omit", "--record-paths", "omit", "--remix", "one=-3", "--c2pa", "require",
    )  # fmt: skip
    assert code == 0, err
    files = [path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(files) == 6 and any(b"c2pa" in content for content in files)
    for withheld in (b"confidential", b"xylophone", b"client folder", str(tmp_path).encode()):
        assert not any(withheld in content for content in files), withheld


def test_source_types_are_terms_of_the_iptc_list() -> None:
    fill: dict[str, Any] = {"kind": "fill", "made_by": "generative", "made_from": {"method": "words"}}
    records: list[dict[str, Any]] = [{"made_by": made_by} for made_by in ("masking", "generative", "algorithmic")]
    found = [source_type(record).removeprefix(content_credentials.IPTC) for record in [*records, fill]]
    assert found == [
        "algorithmicallyEnhanced", "compositeWithTrainedAlgorithmicMedia", "algorithmicMedia",
        "trainedAlgorithmicMedia",
    ]  # fmt: skip
    assert set(found) <= IPTC_TERMS and source_type({}) == ""


@pytest.fixture
def listener() -> Iterator[tuple[int, list[object]]]:
    """A port of this machine, and the connections that came to it."""
    came: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    connection, address = server.accept()
                except OSError:
                    return
                came.append(address)
                connection.close()

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1], came


_REMOTE = """
import json, sys
import c2pa
from stemline.trust import keys
private, chain = keys.own_key().to_pem()
signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", chain, private, None))
builder = c2pa.Builder(sys.stdin.read())
builder.set_no_embed()
builder.set_remote_url(sys.argv[3])
with open(sys.argv[1], "rb") as source, open(sys.argv[2], "w+b") as target:
    builder.sign(signer, sys.argv[4], source, target)
"""
_READ_WITH_DEFAULTS = """
import sys
import c2pa
try:
    with open(sys.argv[1], "rb") as stream:
        c2pa.Reader(sys.argv[2], stream)
except c2pa.C2paError:
    pass
"""


@pytest.mark.parametrize("name", ["a.wav", "a.mp3"])
def test_a_manifest_on_the_network_is_never_fetched(
    command: Command, tmp_path: Path, listener: tuple[int, list[object]], name: str
) -> None:
    keys.make_key()
    port, came = listener
    plain, file = sound_file(tmp_path / f"plain-{name}"), tmp_path / name
    created = {"action": "c2pa.created", "digitalSourceType": f"{content_credentials.IPTC}digitalCapture"}
    manifest = {**MANIFEST, "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [created]}}]}
    kind, address = c2pa_files.media_type(file.with_name(plain.name)), f"http://127.0.0.1:{port}/a.c2pa"
    subprocess.run([sys.executable, "-c", _REMOTE, plain, file, address, kind], input=json.dumps(manifest).encode(),
                   check=True)  # fmt: skip
    check = read_credentials(file)
    assert check is not None and check.state == "remote" and "does not read" in check.sentence
    if name == "a.wav":
        assert command("verify", file)[0] == 1, "it has no record"
    code, answer, err = command("separate", file, "--stem", "one=x", "--model", "noop", "-o", tmp_path / "out")
    assert code == 0, err
    stem = read_credentials(Path(answer["results"][0]["stems"][0]["path"]))
    assert stem is not None and stem.state == "trusted"
    assert came == []
    subprocess.run([sys.executable, "-c", _READ_WITH_DEFAULTS, file, kind], check=True, capture_output=True)
    deadline = time.monotonic() + 10
    while not came and time.monotonic() < deadline:
        time.sleep(0.05)
    assert came, "the library's own settings do connect, so the port would have seen it"


def test_hostile_manifests_and_sidecars_get_one_sentence(command: Command, tmp_path: Path) -> None:
    keys.make_key()
    file = sound_file(tmp_path / "a.wav")
    write_credentials(file, MANIFEST, [ingredient(tmp_path / "x.wav")])
    signed = file.read_bytes()
    with file.open("rb") as stream:
        chunk = next(chunk for chunk in chunks(stream) if chunk.name == b"C2PA")
    generator = np.random.default_rng(0)
    for number in range(30):
        content = bytearray(signed)
        if number % 3 == 0:
            content = content[: chunk.offset + int(generator.integers(0, chunk.size))]
        elif number % 3 == 1:
            content[chunk.offset + int(generator.integers(0, chunk.size // 2))] ^= 1 << int(generator.integers(0, 8))
        else:
            content[chunk.offset : chunk.offset + chunk.size] = generator.bytes(chunk.size)
        file.write_bytes(content)
        check = read_credentials(file)
        assert check is None or check.state in ("invalid", "unreadable"), number
        assert check is None or check.sentence.count("\n") == 0
    other = sound_file(tmp_path / "b.ogg")
    for beside in (b"", b"\0" * 100, generator.bytes(5000), signed[chunk.offset : chunk.offset + 500]):
        other.with_suffix(".c2pa").write_bytes(beside)
        check = read_credentials(other)
        assert check is not None and check.state in ("invalid", "unreadable")
    with other.with_suffix(".c2pa").open("wb") as stream:
        stream.truncate(c2pa_files.SIDECAR_BYTES + 1)
    check = read_credentials(other)
    assert check is not None and "larger than any manifest" in check.sentence
    file.write_bytes(signed)
    check = read_credentials(file)
    assert check is not None and check.state == "trusted", "the process goes on after all of them"


def test_a_large_file_and_a_broken_library_leave_the_stem_as_it_is(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.make_key()
    media = noise(tmp_path / "in.wav")
    arguments = ("separate", media, "--stem", "one=xylophone", "--model", "noop", "-o", tmp_path / "out")
    monkeypatch.setattr(content_credentials, "LARGEST_BYTES", 1000)
    code, answer, _ = command(*arguments)
    assert code == 0
    stem, warnings = answer["results"][0]["stems"][0], answer["results"][0]["warnings"]
    assert {warning["code"] for warning in warnings} == {"CREDENTIALS_MISSING"}
    assert verify(stem["path"]).status == "trusted" and verify(stem["path"]).credentials is None
    code, _, err = command(*arguments, "--c2pa", "require")
    assert code != 0 and "larger than" in err
    monkeypatch.undo()


@pytest.mark.parametrize("offset_days", [-4000, 10])
def test_a_certificate_that_is_not_valid_now_is_refused_before_the_work(
    command: Command, tmp_path: Path, offset_days: int
) -> None:
    keys.make_key()
    pem = keys.keys_dir() / "signing.pem"
    file = sound_file(tmp_path / "a.wav")
    before = file.read_bytes()
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(days=offset_days)
    pem.write_bytes(certificates.make_signing_key("Studio A", start))
    with pytest.raises(CredentialsError, match="not valid at time of signing"):
        write_credentials(file, MANIFEST, [ingredient(tmp_path / "x.wav")])
    assert file.read_bytes() == before and list(tmp_path.iterdir()) == [file]
    code, _, err = command("separate", file, "--stem", "a=x", "--model", "noop", "-o", tmp_path / "out")
    assert code == 2 and "The certificate of this installation is valid from" in err


def test_credentials_can_be_required_and_left_out(command: Command, tmp_path: Path) -> None:
    media = noise(tmp_path / "in.wav")
    arguments = ("separate", media, "--stem", "one=x", "--model", "noop", "-o", tmp_path / "out")
    code, _, err = command(*arguments, "--c2pa", "require")
    assert code == 2 and "`stemline keys init`" in err
    keys.make_key()
    code, _, err = command(*arguments, "--c2pa", "require", "--sign", "never")
    assert code == 2 and "need signed records" in err
    with pytest.raises(UsageError):
        import stemline

        stemline.Settings(c2pa="always")


_SIGN = """
import json, sys
from pathlib import Path
from stemline.trust.content_credentials import write_credentials
sys.stdout.write("go\\n"); sys.stdout.flush()
for line in sys.stdin:
    write_credentials(Path(sys.argv[1]), json.loads(sys.argv[2]), [json.loads(sys.argv[3])])
"""


@pytest.mark.parametrize("kills", [8, pytest.param(100, marks=pytest.mark.hour)])
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_kill_leaves_the_unsigned_or_the_signed_file(tmp_path: Path, kills: int) -> None:
    keys.make_key()
    plain = sound_file(tmp_path / "plain.wav").read_bytes()
    file = tmp_path / "a.wav"
    described = json.dumps(ingredient(tmp_path / "x.wav"))
    signed = 0
    for number in range(kills):
        file.write_bytes(plain)
        with subprocess.Popen(
            [sys.executable, "-c", _SIGN, file, json.dumps(MANIFEST), described],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        ) as process:  # fmt: skip
            assert process.stdin is not None and process.stdout is not None
            process.stdout.readline()
            process.stdin.write(b"\n" * 3)
            process.stdin.flush()
            time.sleep(0.9 * number / kills)
            process.send_signal(signal.SIGKILL)
            process.stdin.close()
        content = file.read_bytes()
        assert content == plain or (len(content) > len(plain) and content[12:2000] == plain[12:2000])
        if content != plain:
            check = read_credentials(file)
            assert check is not None and check.state == "trusted"
            signed += 1
    assert kills < 100 or 0 < signed < kills


def test_the_child_has_a_memory_limit(tmp_path: Path) -> None:
    keys.make_key()
    file = sound_file(tmp_path / "a.wav")
    write_credentials(file, MANIFEST, [ingredient(tmp_path / "x.wav")])
    process = content_credentials._worker._process
    assert process is not None
    limits = Path(f"/proc/{process.pid}/limits")
    if not limits.exists():
        pytest.skip("no /proc here")
    (limit,) = re.findall(r"Max address space +(\d+)", limits.read_text())
    assert int(limit) == 3 << 30


@pytest.mark.parametrize("name", ["mix.mp4", "mix.wav", "mix.ogg"])
def test_a_bounce_is_signed_with_the_manifests_of_its_stems(command: Command, tmp_path: Path, name: str) -> None:
    mix = sound_file(tmp_path / name)
    before = mix.read_bytes()
    code, _, err = command("sign", mix, "-o", tmp_path / "signed")
    assert code == 2 and "`stemline keys init`" in err
    keys.make_key("Studio A")
    _, answer, _ = command("separate", noise(tmp_path / "in.wav"), "--stem", "a=x", "--model", "noop", "-o", tmp_path)
    stems = [answer["results"][0]["stems"][0]["path"], answer["results"][0]["residual"]]
    plain = noise(tmp_path / "effect.wav")
    code, answer, err = command("sign", mix, "-o", tmp_path / "signed", "--made-from", *stems, plain)
    assert code == 0, err
    signed = Path(answer["results"][0]["signed"])
    check = read_credentials(signed)
    assert check is not None and (check.state, check.manifests) == ("trusted", 3)
    assert set(check.ingredients) == {"in.a.wav", "in.residual.wav", "effect.wav"}
    assert check.actions == ("c2pa.created", *["c2pa.placed"] * 3)
    assert packets_of(signed) == packets_of(mix) and mix.read_bytes() == before
    code, _, err = command("sign", mix, "-o", tmp_path / "signed")
    assert code != 0 and "already exists" in err
    if name == "mix.ogg":  # its manifest is mix.c2pa, which signing mix.wav there would delete
        code, _, err = command("sign", noise(tmp_path / "mix.wav"), "-o", tmp_path / "signed")
        assert code != 0 and "mix.c2pa already exists" in err and read_credentials(signed) == check
    code, _, err = command("sign", tmp_path / "none.mp4", "-o", tmp_path / "other")
    assert code == 2 and not (tmp_path / "other").exists()


def test_a_signed_mix_passes_by_its_credentials_alone_until_it_is_changed(command: Command, tmp_path: Path) -> None:
    keys.make_key("Studio A")
    code, answer, err = command("sign", noise(tmp_path / "mix.wav"), "-o", tmp_path / "signed")
    assert code == 0, err
    signed = Path(answer["results"][0]["signed"])
    code, answer, _ = command("verify", signed, "--require", "trusted")
    assert (code, answer["results"][0]["status"]) == (0, "none")
    assert "Content Credentials match" in answer["results"][0]["verdict"]
    changed = bytearray(signed.read_bytes())
    changed[len(changed) // 2] ^= 1
    signed.write_bytes(changed)
    assert command("verify", signed)[0] == 1
