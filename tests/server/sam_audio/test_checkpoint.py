"""Risks: file formats that load differently, a damaged checkpoint that loads, a pickle that runs code."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from server.sam_audio.generated import TINY, published_shapes, write_checkpoint
from stemline.errors import Code, InputError
from stemline_server.engines.sam_audio.checkpoint import Placement, load_model, read_index
from stemline_server.engines.sam_audio.config import SamAudioConfig, parse_config

CPU = Placement(torch.device("cpu"))


def published_state(checkpoint: Path) -> dict[str, Any]:
    return torch.load(checkpoint / "checkpoint.pt", weights_only=True)  # type: ignore[no-any-return]  # a dict was saved


def rewrite(folder: Path, state: dict[str, Any], document: dict[str, Any] = TINY) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(document))
    torch.save(state, folder / "checkpoint.pt")
    return folder


def test_pickle_and_safetensors_give_the_same_model(checkpoint: Path, tmp_path: Path) -> None:
    other, plain = write_checkpoint(tmp_path / "other", TINY, kind="model.safetensors"), replace(CPU, packed=False)
    pickled, stored = load_model(checkpoint, plain).state_dict(), load_model(other, plain).state_dict()
    assert pickled.keys() == stored.keys()
    for name, tensor in pickled.items():
        assert torch.equal(tensor, stored[name]), name


def test_tensors_of_vision_tower_and_rankers_are_ignored(checkpoint: Path, tmp_path: Path) -> None:
    state = published_state(checkpoint)
    for key in ("vision_encoder.model.visual.proj", "text_ranker.x", "span_predictor.y", "text_encoder.z"):
        state[key] = torch.zeros(3, 3)
    load_model(rewrite(tmp_path / "full", state), CPU)


def test_a_missing_key_is_named(checkpoint: Path, tmp_path: Path) -> None:
    state = published_state(checkpoint)
    del state["transformer.layers.1.attention.wk.weight"]
    check_refused(rewrite(tmp_path / "m", state), "transformer.layers.1.attention.wk.weight")


def test_an_unknown_key_is_named(checkpoint: Path, tmp_path: Path) -> None:
    state = published_state(checkpoint) | {"transformer.layers.7.extra": torch.zeros(1)}
    check_refused(rewrite(tmp_path / "m", state), "transformer.layers.7.extra")


def test_a_wrong_shape_is_named(checkpoint: Path, tmp_path: Path) -> None:
    state = published_state(checkpoint)
    state["transformer.layers.0.feed_forward.w2.weight"] = torch.zeros(5, 5)
    check_refused(rewrite(tmp_path / "m", state), "transformer.layers.0.feed_forward.w2.weight [5, 5]")


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "cut", TINY, kind="model.safetensors")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    check_refused(folder, "ends within")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\xff" * 64])
@pytest.mark.parametrize("name", ["checkpoint.pt", "model.safetensors"])
def test_a_file_that_is_not_a_checkpoint_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    (tmp_path / name).write_bytes(content)
    check_refused(tmp_path, name)


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "touched",))

    torch.save({"proj.weight": Evil()}, tmp_path / "checkpoint.pt")
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    check_refused(tmp_path, "checkpoint.pt")
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"transformer": {"n_heads": 5}},
        {"audio_codec": {"encoder_rates": [2, 8, 10, 11]}},
        {"audio_codec": {"decoder_rates": [12, 10]}},
        {"transformer": {"out_channels": 17}},
        {"transformer": {"qk_norm": False}},
        {"transformer": {"dim": "wide"}},
    ],
)
def test_an_inconsistent_config_is_refused(checkpoint: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    document = {key: value | change.get(key, {}) if isinstance(value, dict) else value for key, value in TINY.items()}
    check_refused(rewrite(tmp_path / "m", published_state(checkpoint), document), "config.json")


def check_refused(folder: Path, words: str) -> None:
    with pytest.raises(InputError) as caught:
        load_model(folder, CPU)
    assert caught.value.code is Code.MODEL_UNAVAILABLE
    assert words in str(caught.value)


def test_half_precision_files_load_in_the_chosen_formats(checkpoint: Path, tmp_path: Path) -> None:
    state = {key: tensor.half() for key, tensor in published_state(checkpoint).items()}
    save_file(state, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    model = load_model(tmp_path, Placement(torch.device("cpu"), torch.float32, torch.bfloat16))
    assert model.dit.output.weight.dtype == torch.bfloat16
    assert model.decoder.head.weight.dtype == torch.float32


def test_generated_checkpoints_have_the_published_keys(shared_data: Path) -> None:
    expected = json.loads((shared_data / "parity" / "small_keys.json").read_text())
    keys = expected.get("keys", expected)
    small = {"transformer": {"dim": 1536, "n_heads": 12, "n_layers": 12, "context_dim": 1536}}
    shapes = published_shapes(parse_config(small))
    assert shapes == {k: tuple(shape) for k, shape in keys.items() if not k.startswith("vision_encoder.")}


def test_an_empty_config_has_the_published_defaults() -> None:
    config = parse_config({})
    assert config == SamAudioConfig()
    assert (config.transformer.dim, config.transformer.ffn_hidden, config.audio_codec.hop_samples) == (2048, 5504, 1920)


def test_tensors_that_share_a_storage_have_their_own_offsets(tmp_path: Path) -> None:
    whole = torch.arange(12.0)
    torch.save({"a": whole[:4], "b": whole[4:]}, tmp_path / "checkpoint.pt")
    index = read_index(tmp_path / "checkpoint.pt")
    assert index["b"].offset_bytes - index["a"].offset_bytes == 16
