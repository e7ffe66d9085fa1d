"""Forged and damaged records that pass for signed ones, keys that others could use, and signing that changes audio."""

from __future__ import annotations

import base64
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runs.conftest import noise
from stemline.clips import MediaSource
from stemline.errors import InputError, OutputError, StemlineError, UsageError
from stemline.media import AudioFormat, SampleFormat, StemTags, open_audio, open_writer, read_tags
from stemline.media.wave.stem_writer import WavWriter
from stemline.trust import certificates, keys, signatures
from stemline.workflow.sidecars import read_sidecar_json, sidecar_of
from stemline.workflow.verify import verify

Command = Callable[..., tuple[int, dict[str, Any], str]]
FORMATS = ["wav24", "wav32f", "flac"]


def separated(command: Command, media: Path, out: Path, *options: object) -> list[Path]:
    stems = ("--stem", "one=xylophone", "--stem", "two=theremin")
    code, answer, err = command("separate", media, *stems, "--model", "noop", "-o", out, *options)
    assert code == 0, err
    result: dict[str, Any] = answer["results"][0]
    return [Path(path) for path in (*(stem["path"] for stem in result["stems"]), result["residual"])]


def signed_file(path: Path, **more: object) -> Path:
    """Write a signed stem file without a run. `more` goes into its record."""
    record = json.loads((Path(__file__).parents[1] / "core" / "sidecars" / "Hund.json").read_text(encoding="utf-8"))
    record = {name: record[name] for name in list(record)[: list(record).index("null")]} | more
    form = SampleFormat.FLAC if path.suffix == ".flac" else SampleFormat.WAV24
    tags = StemTags(metadata=record, sign=signatures.signer_for("require"))
    with open_writer(path, AudioFormat(form, 48000, 1), tags) as writer:
        writer.write(np.full((1, 500), 0.25, np.float32))
    return path


def move_home(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Go on as another installation."""
    monkeypatch.setenv("STEMLINE_HOME", str(folder))


def rewrite_record(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the record in a WAV file, with the same audio, unsigned by us."""
    metadata: dict[str, Any] = json.loads(json.dumps(read_tags(path).metadata))
    change(metadata)
    with open_audio(MediaSource(str(path))) as reader:
        form = AudioFormat(SampleFormat.WAV24, reader.sample_rate, reader.channels)
        audio = reader.read(0, reader.length_samples)
    with open_writer(path, form, StemTags(metadata=metadata)) as writer:
        writer.write(audio)


@pytest.mark.parametrize("sample_format", FORMATS)
def test_signing_changes_neither_audio_nor_resume(command: Command, tmp_path: Path, sample_format: str) -> None:
    media = noise(tmp_path / "in.wav")
    plain = separated(command, media, tmp_path / "plain", "--format", sample_format)
    keys.make_key("Studio A")
    signed = separated(command, media, tmp_path / "signed", "--format", sample_format)
    for one, other in zip(plain, signed, strict=True):
        before, after = read_tags(one), read_tags(other)
        assert (before.audio_sha256, before.bext) == (after.audio_sha256, after.bext)
        stripped = {name: value for name, value in after.metadata.items() if name != "signature"}
        assert stripped.keys() == before.metadata.keys() and "signature" in after.metadata
        assert {**stripped, "job": ""} == {**before.metadata, "job": ""}
        code, answer, _ = command("verify", other, "--require", "trusted", "--source", media)
        assert (code, answer["results"][0]["status"]) == (0, "trusted")
        assert answer["results"][0]["verdict"] == "Signed by Studio A (this installation), unchanged."
    written = [path.stat().st_mtime_ns for path in plain]
    assert separated(command, media, tmp_path / "plain", "--format", sample_format) == plain
    assert [path.stat().st_mtime_ns for path in plain] == written, "an unsigned set is found again"
    assert verify(plain[0]).status == "unchanged"


def test_require_writes_unsigned_stems_of_an_earlier_run_again(command: Command, tmp_path: Path) -> None:
    media = noise(tmp_path / "in.wav")
    arguments = ("separate", media, "--stem", "one=xylophone", "--model", "noop", "-o", tmp_path / "out")
    assert command(*arguments)[0] == 0
    code, _, err = command(*arguments, "--sign", "require")
    assert code == 2 and "`stemline keys init`" in err
    keys.make_key()
    stem = Path(command(*arguments)[1]["results"][0]["stems"][0]["path"])
    assert verify(stem).status == "unchanged", "found, and not written again"
    code, answer, _ = command(*arguments, "--sign", "require", "--remix", "one=-6")
    assert code == 0
    result = answer["results"][0]
    for path in (result["stems"][0]["path"], result["residual"], *result["derived"].values()):
        assert verify(path, require="trusted").passed
    unsigned = separated(command, media, tmp_path / "unsigned", "--sign", "never")
    assert verify(unsigned[0]).status == "unchanged"


def test_a_remix_and_a_fill_have_signatures_of_their_own(command: Command, tmp_path: Path) -> None:
    keys.make_key()
    media, fill = noise(tmp_path / "in.wav"), noise(tmp_path / "wind.wav", seconds=4)
    code, answer, err = command(
        "separate", media, "--stem", "one=xylophone", "--model", "noop", "-o", tmp_path / "out", "--remix", "one=-6",
        "--replace", f"one=file:{fill}",
    )  # fmt: skip
    assert code == 0, err
    derived = answer["results"][0]["derived"]
    assert len(derived) == 2
    for path in derived.values():
        verdict = verify(path, require="trusted")
        assert verdict.passed and verdict.record is not None and verdict.record.kind != "stem"


def forge(path: Path, *, keep_signature: bool) -> None:
    """Replace the audio by silence and write the new hash into record and sidecar."""
    metadata = {name: value for name, value in read_tags(path).metadata.items() if name != "audio_sha256"}
    beside = json.loads(sidecar_of(path).read_text(encoding="utf-8"))
    if not keep_signature:
        del metadata["signature"], beside["signature"]
    with open_audio(MediaSource(str(path))) as reader:
        form = AudioFormat(SampleFormat.WAV24, reader.sample_rate, reader.channels)
        silence = np.zeros((reader.channels, reader.length_samples), np.float32)
    with open_writer(path, form, StemTags(metadata=metadata)) as writer:
        writer.write(silence)
    beside["audio_sha256"] = writer.audio_sha256
    sidecar_of(path).write_text(json.dumps(beside), encoding="utf-8")


def test_a_forged_stem_never_meets_a_requirement(command: Command, tmp_path: Path) -> None:
    keys.make_key()
    media = noise(tmp_path / "in.wav")
    stripped, kept, _ = separated(command, media, tmp_path / "out")
    forge(stripped, keep_signature=False)
    forge(kept, keep_signature=True)
    code, answer, _ = command("verify", stripped)
    assert (code, answer["results"][0]["status"]) == (0, "unchanged")
    code, answer, _ = command("verify", stripped, "--require", "signed")
    assert code == 1
    assert answer["errors"][0]["message"].endswith("A signature by any key is required.")
    code, answer, _ = command("verify", kept)
    assert (code, answer["results"][0]["status"]) == (1, "changed")
    assert "its signature does not match" in answer["errors"][0]["message"]


def test_a_key_is_unknown_until_its_root_is_trusted(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command("keys", "init", "--name", "Studio A")[0] == 0
    path = signed_file(tmp_path / "a.wav")
    assert command("keys", "export", tmp_path / "a.pem")[0] == 0
    assert b"PRIVATE" not in (tmp_path / "a.pem").read_bytes()
    move_home(monkeypatch, tmp_path / "other")
    assert command("keys", "init", "--name", "Studio A")[0] == 0  # a name proves nothing
    verdict = verify(path)
    assert (verdict.status, verify(path, require="signed").passed) == ("signed", True)
    assert verdict.sentence.startswith("Signed by an unknown key (") and "Studio A" not in verdict.sentence
    assert command("verify", path, "--require", "trusted")[0] == 1
    code, answer, _ = command("keys", "trust", tmp_path / "a.pem")
    assert (code, answer["results"][0]["name"]) == (0, "Studio A")
    assert verify(path).sentence == "Signed by Studio A (a trusted key), unchanged."
    assert command("verify", path, "--require", "trusted")[0] == 0
    code, answer, _ = command("keys", "list")
    assert [(root["name"], root["own"]) for root in answer["results"]] == [("Studio A", True), ("Studio A", False)]
    assert command("keys", "show")[1]["results"][0]["fingerprint"] == answer["results"][0]["fingerprint"]


def test_a_sidecar_that_lost_or_changed_its_signature_disagrees(command: Command, tmp_path: Path) -> None:
    keys.make_key()
    path = separated(command, noise(tmp_path / "in.wav"), tmp_path / "out")[0]
    sidecar = sidecar_of(path)
    whole = json.loads(sidecar.read_text(encoding="utf-8"))
    better = {**whole, "null": {"peak": 0.0, "dbfs": -241.0}}
    without = {name: value for name, value in whole.items() if name != "signature"}
    for forged in (better, without):
        sidecar.write_text(json.dumps(forged), encoding="utf-8")
        verdict = verify(path)
        assert (verdict.status, verdict.disagreements) == ("disagreeing", ("signature",))
        assert not verdict.passed
    sidecar.write_text(json.dumps(whole, indent=4), encoding="utf-8")
    assert verify(path).status == "trusted", "the same values, written otherwise"


def untouched(path: Path, before: tuple[object, ...]) -> bool:
    """Return whether a damaged file still holds the same audio and records, only written otherwise."""
    tags = read_tags(path)
    return (tags.audio_sha256, tags.metadata, read_sidecar_json(sidecar_of(path))) == before


@pytest.mark.parametrize(
    ("sample_format", "tries"),
    [
        ("wav24", 250),
        ("flac", 120),
        pytest.param("wav24", 1000, marks=[pytest.mark.hour, pytest.mark.timeout(3600)]),
    ],
)
def test_every_changed_byte_of_audio_record_or_signature_is_found(
    command: Command, tmp_path: Path, sample_format: str, tries: int
) -> None:
    keys.make_key()
    media = noise(tmp_path / "in.wav", seconds=0.05)
    path = separated(command, media, tmp_path / "out", "--format", sample_format)[0]
    sidecar, draw = sidecar_of(path), random.Random(7)
    tags = read_tags(path)
    before = (tags.audio_sha256, tags.metadata, read_sidecar_json(sidecar))
    places = [(path, *place) for place in covered(path.read_bytes(), sample_format)]
    places.append((sidecar, 0, sidecar.stat().st_size))
    same = 0
    for n in range(tries):
        file, start, end = places[n % len(places)]
        whole = file.read_bytes()
        data = bytearray(whole)
        data[draw.randrange(start, end)] ^= draw.randrange(1, 256)
        file.write_bytes(data)
        try:
            same += untouched(path, before)
            assert not verify(path, require="trusted").passed or untouched(path, before), n
        except StemlineError:
            pass  # the file is damaged, and said to be
        file.write_bytes(whole)
    assert verify(path, require="trusted").passed
    assert same < tries / 20, "white space of the JSON"


def covered(data: bytes, sample_format: str) -> list[tuple[int, int]]:
    """Return where the file holds its record, its signature and its audio."""
    record = data.index(b"<STEMLINE>") + 10, data.index(b"</STEMLINE>")
    signature = data.index(b"certificates"), record[1]
    audio = (data.index(b"data") + 8, record[0] - 4000) if sample_format == "wav24" else (len(data) - 3000, len(data))
    return [record, signature, audio]


def test_hostile_signatures_and_records_get_one_sentence(tmp_path: Path, command: Command) -> None:
    keys.make_key()
    path = signed_file(tmp_path / "a.wav")
    good: dict[str, Any] = json.loads(json.dumps(read_tags(path).metadata["signature"]))
    chain = [base64.b64decode(part) for part in good["certificates"]]
    text = [
        base64.b64encode(der).decode() for der in (chain[0] + b"\0", chain[0][:-9], b"", b"\x30\x84" + b"\xff" * 60)
    ]
    nested: Any = "x"
    for _ in range(400):
        nested = [nested]
    hostile: list[Any] = [
        {**good, "value": "A" * 10_000_000}, {**good, "value": good["value"][:-1]}, {**good, "value": 7},
        *({**good, "value": base64.b64encode(byte * 64).decode()} for byte in (b"\0", b"\xff")),
        {**good, "alg": "none"}, {**good, "more": 1}, {"alg": "ES256"}, {}, {**good, "certificates": []},
        {**good, "certificates": good["certificates"][::-1]}, {**good, "certificates": good["certificates"] * 500},
        {**good, "certificates": [good["certificates"][1]] * 2}, {**good, "certificates": nested},
        *({**good, "certificates": [part, good["certificates"][1]]} for part in text),
        *({**good, "certificates": [good["certificates"][0], part]} for part in text),
        "signed", None, 5, [good], nested,
    ]  # fmt: skip
    for signature in hostile:
        rewrite_record(path, lambda metadata, held=signature: metadata.update(signature=held))  # type: ignore[misc]
        code, answer, err = command("verify", path)
        assert code == 1 and err.count("\n") == 1, str(signature)[:80]
        assert answer["results"][0]["status"] in ("changed", "none")
    rewrite_record(path, lambda metadata: metadata.update(signature=good, note="A" * 10_000_000))
    assert verify(path).status == "changed"
    rewrite_record(path, lambda metadata: metadata.pop("signature"))
    sidecar_of(path).write_bytes(b" " * (65 << 20))
    assert verify(path).sidecar is None


def test_a_chain_of_another_key_is_not_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys.make_key("Studio A")
    path = signed_file(tmp_path / "a.wav")
    victim: dict[str, Any] = json.loads(json.dumps(read_tags(path).metadata["signature"]))
    own = os.environ["STEMLINE_HOME"]
    move_home(monkeypatch, tmp_path / "attacker")
    keys.make_key("Studio A")
    signer = signatures.signer_for("require")
    assert signer is not None

    def with_root_of_the_victim(metadata: dict[str, Any]) -> None:
        metadata["signature"] = signer(metadata)["signature"]
        metadata["signature"]["certificates"][1] = victim["certificates"][1]

    rewrite_record(path, with_root_of_the_victim)
    move_home(monkeypatch, Path(own))
    assert verify(path).status == "changed"


@pytest.mark.parametrize(("days", "word"), [(-3700, "expired on"), (2, "check this machine's clock")])
def test_a_certificate_that_is_not_valid_now_proves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int, word: str
) -> None:
    keys.make_key()
    signing = keys.keys_dir() / "signing.pem"
    signing.write_bytes(certificates.make_signing_key("Old", datetime.now(UTC) + timedelta(days=days)))
    with pytest.raises(UsageError, match="not now"):
        signatures.signer_for("auto")
    monkeypatch.setattr(signatures, "signer_for", lambda sign: signatures.RecordSigner(keys.own_key()))
    path = signed_file(tmp_path / "a.wav")
    verdict = verify(path, require="signed")
    assert (verdict.status, verdict.passed, verify(path).passed) == ("unchanged", False, True)
    assert word in verdict.sentence


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, command: Command) -> None:
    keys.make_key()
    folder = keys.keys_dir()
    assert (folder.stat().st_mode & 0o777, (folder / "signing.pem").stat().st_mode & 0o777) == (0o700, 0o600)
    path = signed_file(tmp_path / "a.wav")
    for place, wrong, right in ((folder, 0o755, 0o700), (folder / "signing.pem", 0o640, 0o600)):
        place.chmod(wrong)
        code, _, err = command("keys", "show")
        assert code == 2 and err.count("\n") == 1 and "Other users of this machine" in err
        code, _, err = command("separate", noise(tmp_path / "in.wav"), "--stem", "a=x", "--model", "noop",
                               "-o", tmp_path / "out")  # fmt: skip
        assert code == 2 and "Other users of this machine" in err
        assert not (tmp_path / "out").exists() or not list((tmp_path / "out").rglob("*.wav"))
        assert command("verify", path)[0] == 2
        place.chmod(right)
    assert verify(path).status == "trusted"


def test_files_that_are_no_root_certificate_are_not_trusted(tmp_path: Path, command: Command) -> None:
    root = keys.make_key().root
    private = (keys.keys_dir() / "signing.pem").read_bytes()
    leaf = b"-----BEGIN CERTIFICATE-----" + private.split(b"-----BEGIN CERTIFICATE-----")[1]
    pem = certificates.pem_of(root)
    for content in (b"", b"text", private, leaf, pem + leaf, pem[:200], pem + b"\n" * 70_000, b"\xff" * 1000):
        (tmp_path / "x.pem").write_bytes(content)
        with pytest.raises(InputError):
            keys.trust(tmp_path / "x.pem")
    code, _, err = command("keys", "trust", tmp_path / "missing.pem")
    assert code == 2 and err.count("\n") == 1
    assert keys.trusted_roots() == ()
    keys.export(tmp_path / "own.pem")
    with pytest.raises(OutputError, match="exists"):
        keys.export(tmp_path / "own.pem")
    (keys.keys_dir() / "signing.pem").write_bytes(pem)
    with pytest.raises(InputError):
        keys.own_key()


@pytest.mark.parametrize("arguments", [("show",), ("export",), ("init", "file"), ("list", "--name", "x")])
def test_keys_are_not_made_by_accident(command: Command, arguments: tuple[str, ...]) -> None:
    code, _, err = command("keys", *arguments)
    assert code == 2 and err.count("\n") == 1
    assert not keys.have_key()


def test_a_second_key_and_an_unusable_name_are_refused() -> None:
    for name in ("", " ", "x" * 65, "a\nb"):
        with pytest.raises(UsageError, match="name"):
            keys.make_key(name)
    keys.make_key("Büro 日本")
    assert keys.own_key().root.name == "Büro 日本"
    with pytest.raises(UsageError, match="already"):
        keys.make_key()


def test_without_cryptography_a_signature_is_not_checked(tmp_path: Path) -> None:
    keys.make_key()
    path = signed_file(tmp_path / "a.wav")
    program = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from stemline_app.cli import main\n"
        f"sys.exit(main(['verify', {str(path)!r}]) + 10 * main(['verify', {str(path)!r}, '--require', 'signed'])"
        " + 100 * main(['keys', 'show']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 210, done.stderr
    assert "Signed; not checked, install stemline[trust]." in done.stdout
    assert "The package cryptography is not installed." in done.stderr


def test_a_file_beyond_four_gigabytes_is_signed(tmp_path: Path) -> None:
    keys.make_key()
    signed = read_tags(signed_file(tmp_path / "a.wav")).metadata
    tags = StemTags(metadata=signed, sign=signatures.signer_for("auto"))
    form = AudioFormat(SampleFormat.WAV32F, 48000, 1)
    with WavWriter(tmp_path / "big.wav", form, tags, riff_limit=1000) as writer:
        writer.write(np.full((1, 500), 0.25, np.float32))
    assert (tmp_path / "big.wav").read_bytes().startswith(b"RF64")
    assert verify(tmp_path / "big.wav").status == "trusted"


def test_names_and_paths_of_any_kind_are_signed(tmp_path: Path) -> None:
    keys.make_key()
    for n, text in enumerate(["日本語", "\U0001f600", "\udce4", '<&>"\\', "\u2028"]):
        for suffix in (".wav", ".flac"):
            path = signed_file(tmp_path / f"{n}{suffix}", note={text: [text, 0.1, -240.0, 1e-20, True, None]})
            assert verify(path).status == "trusted", (text, suffix)
