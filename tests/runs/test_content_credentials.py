"""Content Credentials that change the sound, hide the source's own, or are left out unseen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runs.conftest import noise
from runs.signed_files import IPTC_TERMS, MANIFEST, Command, ingredient, packets_of, sound_file
from stemline.errors import UsageError
from stemline.media import read_tags
from stemline.media.wave.riff import chunks
from stemline.trust import certificates, content_credentials, keys
from stemline.trust.content_credentials import CredentialsError, read_credentials, source_type, write_credentials
from stemline.workflow.verify import verify


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
