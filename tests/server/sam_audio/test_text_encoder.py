"""Risks of loading the text encoder: code in a pickle or beside the weights that runs, use of the network."""

from __future__ import annotations

import json
import os
import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from server.sam_audio.generated import TINY
from stemline.errors import Code, SeparationError
from stemline_server.engines.sam_audio.config import TextConfig
from stemline_server.engines.sam_audio.engine import SamAudioEngine
from stemline_server.engines.sam_audio.settings import Settings
from stemline_server.engines.sam_audio.text_encoder import TextEncoder

CONFIG = TextConfig(dim=TINY["text_encoder"]["dim"])


class Hostile:
    """Creates a folder when it is unpickled."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.made),)


@pytest.fixture
def folder(text_encoder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(text_encoder, tmp_path / "t5"))


def load(folder: Path) -> TextEncoder:
    return TextEncoder(folder, CONFIG, torch.device("cpu"))


def test_weights_that_exist_only_as_a_pickle_are_refused(folder: Path) -> None:
    weights = folder / "model.safetensors"
    torch.save(load_file(weights), folder / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(SeparationError, match="safetensors") as refused:
        load(folder)
    assert refused.value.code is Code.MODEL_UNAVAILABLE


@pytest.mark.parametrize("has_safetensors", [True, False])
def test_a_hostile_pickle_never_runs(folder: Path, tmp_path: Path, has_safetensors: bool) -> None:
    torch.save({"shared.weight": Hostile(tmp_path / "made")}, folder / "pytorch_model.bin")
    if has_safetensors:
        load(folder)
    else:
        (folder / "model.safetensors").unlink()
        with pytest.raises(SeparationError):
            load(folder)
    assert not (tmp_path / "made").exists()


def test_code_in_the_folder_never_runs(folder: Path, tmp_path: Path) -> None:
    (folder / "hostile.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'made')!r})\n")
    for name in ("config.json", "tokenizer_config.json"):
        document = json.loads((folder / name).read_text())
        document["auto_map"] = {"AutoTokenizer": [None, "hostile.Tokenizer"], "AutoConfig": "hostile.Config"}
        (folder / name).write_text(json.dumps(document))
    load(folder)
    assert not (tmp_path / "made").exists()


def test_truncated_weights_are_refused_with_advice(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:200])
    with pytest.raises(SeparationError, match="hf download") as refused:
        load(folder)
    assert refused.value.code is Code.MODEL_UNAVAILABLE


def test_a_text_encoder_named_on_the_hub_is_not_downloaded(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    engine = SamAudioEngine(settings=replace(settings, text_encoder="google-t5/t5-base"))

    attempts: list[object] = []

    def record(*arguments: object, **_: object) -> None:
        attempts.append(arguments)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", record)
    monkeypatch.setattr(socket, "getaddrinfo", record)
    with pytest.raises(SeparationError, match="hf download") as refused:
        engine.load("cpu")
    assert refused.value.code is Code.MODEL_UNAVAILABLE
    assert not attempts
