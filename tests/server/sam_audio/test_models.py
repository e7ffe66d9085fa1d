"""Risks: a checkpoint that is not found or gets the wrong name, missing weights without advice, invalid settings."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from server.sam_audio.generated import TINY, write_checkpoint
from stemline.errors import Code, SeparationError, UsageError
from stemline.paths import models_dir
from stemline_server.engines import registry
from stemline_server.engines.sam_audio.engine import SamAudioEngine
from stemline_server.engines.sam_audio.settings import Settings

pytestmark = pytest.mark.smoke


@pytest.fixture(autouse=True)
def no_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))


def test_missing_weights_are_reported_with_how_to_get_them() -> None:
    engine = registry.create("sam_audio")
    sentence = engine.availability()
    for part in ("licen", "account", "huggingface.co/facebook/sam-audio-small", str(models_dir())):
        assert part in sentence.replace("License", "license")
    assert engine.info.id == "sam_audio"
    with pytest.raises(SeparationError) as caught:
        engine.load("cpu")
    assert caught.value.code is Code.MODEL_UNAVAILABLE


def test_listing_engines_does_not_import_torch() -> None:
    code = (
        "import sys; from stemline_server.engines import registry;"
        "e = registry.create('sam_audio'); e.info, e.availability(), registry.engine_ids();"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("rate", [24000, 44100])
def test_the_engine_has_the_sample_rate_of_its_codec(settings: Settings, tmp_path: Path, rate: int) -> None:
    document = TINY | {"audio_codec": TINY["audio_codec"] | {"sample_rate": rate}}
    settings = replace(settings, model=str(write_checkpoint(tmp_path / "tuned", document)))
    assert SamAudioEngine(settings=settings).info.sample_rate == rate


def test_several_checkpoints_are_separate_models(checkpoint: Path) -> None:
    (models_dir() / "t5-base").mkdir(parents=True)
    for name in ("sam-audio-large", "sam-audio-small", "my-tuned"):
        shutil.copytree(checkpoint, models_dir() / name)
    with (models_dir() / "sam-audio-large" / "checkpoint.pt").open("ab") as file:
        file.write(b"another")
    ids = registry.engine_ids()
    assert {"sam_audio", "sam_audio.small", "sam_audio.large", "sam_audio.my-tuned"} <= set(ids)
    default, large = registry.create("sam_audio"), registry.create("sam_audio.large")
    assert default.info.title == "SAM Audio (small)"
    assert large.info.id == "sam_audio.large"
    assert large.info.revision != default.info.revision
    assert default.availability() == large.availability() == ""
    with pytest.raises(UsageError):
        registry.create("sam_audio.huge")


def test_a_single_checkpoint_has_no_variant(checkpoint: Path) -> None:
    shutil.copytree(checkpoint, models_dir() / "sam-audio-base")
    assert [name for name in registry.engine_ids() if name.startswith("sam_audio")] == ["sam_audio"]


def test_a_name_on_the_hub_counts_as_available(text_encoder: Path) -> None:
    settings = Settings(model="facebook/sam-audio-base", text_encoder=str(text_encoder))
    assert SamAudioEngine(settings=settings).availability() == ""


def test_a_missing_text_encoder_is_reported_before_any_job(settings: Settings) -> None:
    reason = SamAudioEngine(settings=replace(settings, text_encoder="")).availability()
    assert f"hf download google-t5/t5-base --local-dir {models_dir() / 't5-base'}" in reason
    assert SamAudioEngine(settings=settings).availability() == ""


def test_invalid_settings_are_refused() -> None:
    assert Settings.from_environment({"STEMLINE_SAM_AUDIO_WATERMARK": "off"}).watermark is False
    assert Settings.from_environment({}).watermark is True
    for name, value in (("WATERMARK", "of"), ("PRECISION", "fp8"), ("BATCH", "-1"), ("COMPILE", "yes")):
        with pytest.raises(UsageError):
            Settings.from_environment({f"STEMLINE_SAM_AUDIO_{name}": value})


def test_settings_that_change_the_result_change_the_revision(settings: Settings) -> None:
    variants = (settings, replace(settings, watermark=False), replace(settings, precision="bf16"))
    assert len({SamAudioEngine(settings=chosen).info.revision for chosen in variants}) == 3
