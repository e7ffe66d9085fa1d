"""Risks: training on evaluation files or reserved packages, wrong labels, targets that do not fit their mixtures."""

from __future__ import annotations

import json
import shutil
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from stemline_server.engines.embedded.array_source import ArraySource
from stemline_server.engines.embedded.evaluate import NullControl
from stemline_server.engines.embedded.net_separator import NetQuery, NetSeparator
from stemline_server.engines.embedded.sound_net import BANDS, SoundNet
from stemline_server.engines.embedded.training import corpus, fetch, mixtures, rendering, train
from stemline_server.engines.embedded.training.corpus import RATE, CorpusWriter, label_of, packages
from stemline_server.engines.embedded.training.train import loss_of, scores

RESERVED = {
    "gcompris-qt-data",
    "fillets-ng-data-nl",
    "unknown-horizons",
    "ufoai-sound",
    "searchandrescue-data",
    "warzone2100-music",
    "drascula-music",
    "lincity-ng-data",
    "fretsonfire-songs-sectoid",
    "asterisk-core-sounds-fr-g722",
}


@pytest.fixture
def small_corpus(tmp_path: Path) -> mixtures.Corpus:
    """Six kinds of synthesised sound."""
    rng, time = np.random.default_rng(0), np.arange(2 * RATE) / RATE
    writer = CorpusWriter(tmp_path)
    for i in range(3):
        writer.add("p", f"speech{i}", "speech", "train", np.sin(2 * np.pi * 150 * time) * (time % 0.4 < 0.3))
        writer.add("p", f"dog{i}", "dog", "train", np.sin(2 * np.pi * 700 * time[:8000]))
        writer.add("p", f"rain{i}", "rain", "train", rng.standard_normal(2 * RATE).astype(np.float32))
        writer.add("p", f"door{i}", "door", "train", rng.standard_normal(3000).astype(np.float32))
        writer.add("p", f"piano{i}", "piano", "train", np.sin(2 * np.pi * 440 * time))
        writer.add("p", f"song{i}", "song", "train", np.sin(2 * np.pi * 300 * time))
    writer.close()
    return mixtures.Corpus([tmp_path], "train")


def test_the_table_holds_no_reserved_package() -> None:
    assert not RESERVED & set(packages())
    assert all(len(p["sha256"]) == 64 and p["licence"] and p["version"] for p in packages().values())


def test_a_reserved_package_in_the_table_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = (corpus.HERE / "packages.toml").read_text()
    (tmp_path / "packages.toml").write_text(table + '\n[[package]]\nname = "gcompris-qt-data"\n')
    monkeypatch.setattr(corpus, "HERE", tmp_path)
    with pytest.raises(ValueError, match="gcompris-qt-data"):
        packages.__wrapped__()


def test_files_of_another_evaluation_set_are_left_out(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps([{"sources": [{"package": "lugaru-data", "path": "a/Bark.ogg"}]}]))
    folder = tmp_path / "lugaru-data" / "a"
    folder.mkdir(parents=True)
    for name in ("Bark.ogg", "BarkGrowl.ogg"):
        (folder / name).write_bytes(bytes(2000))
    refused = corpus.evaluation_sources(manifest)
    found = corpus.wanted_files(packages()["lugaru-data"], tmp_path / "lugaru-data", refused)
    assert [(path.name, label) for path, label, _ in found] == [("BarkGrowl.ogg", "dog")]


def test_files_of_the_evaluation_set_are_always_left_out(shared_data: Path) -> None:
    refused = corpus.evaluation_sources(None)
    clips = json.loads((shared_data / "evalset" / "manifest.json").read_text())
    used = {f"{s['package']}:{s['path']}" for clip in clips for s in clip["sources"] if s["package"] in packages()}
    assert used
    assert used <= refused


def test_longer_mixtures_have_more_frames(small_corpus: mixtures.Corpus) -> None:
    mixer = mixtures.Mixer(small_corpus, seed=3, seconds=1)
    assert mixer.batch(2, longer=2).power.shape[1] > 1.9 * mixer.batch(2).power.shape[1]


@pytest.mark.parametrize(
    ("package", "path", "label"),
    [
        ("brainparty-data", "usr/share/brainparty/electricity.wav", "electricity"),
        ("supertuxkart-data", "data/sfx/rain.ogg", "rain"),
        ("0ad-data", "audio/music/Sands_of_Time.ogg", "song"),
        ("tuxpaint-stamps-default", "stamps/animals/mammals/dogs/dog_desc_de.ogg", "speech"),
        ("tuxpaint-stamps-default", "stamps/animals/mammals/dogs/dog.ogg", "dog"),
        ("bucklespring-data", "wav/16-1.wav", "keyboard typing"),
    ],
)
def test_labels_are_derived_from_file_names(package: str, path: str, label: str) -> None:
    assert label_of(packages()[package], path) == label


def test_held_out_packages_and_takes_of_one_sound_stay_in_one_split() -> None:
    assert corpus.split_of(packages()["supertuxkart-data"], "data/sfx/rain.ogg") == "held"
    takes = {corpus.split_of(packages()["0ad-data"], f"audio/chicken_{i}.ogg") for i in range(9)}
    assert len(takes) == 1


def test_a_package_with_another_hash_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "lugaru-data_1_all.deb").write_bytes(b"not the package")
    table = {"lugaru-data": packages()["lugaru-data"]}
    monkeypatch.setattr(fetch, "packages", lambda: table)
    monkeypatch.setattr(shutil, "which", lambda tool: f"/usr/bin/{tool}")
    with pytest.raises(fetch.ChangedPackageError, match="another hash"):
        fetch.fetch(tmp_path)


def test_scores_from_band_sums_rank_estimates_correctly(small_corpus: mixtures.Corpus) -> None:
    """An ideal mask scores high, the mixture scores its own level, and silence has an SNR of zero."""
    batch = mixtures.Mixer(small_corpus, seed=3, seconds=1.5).batch(6)
    there = batch.present > 0
    ideal = (batch.cross / (batch.power[batch.query.mixture] + 1e-9)).clamp(0, 1)
    _snr, si_sdr = scores(ideal, batch)
    mixed = scores(torch.ones_like(ideal), batch)[1]
    assert (si_sdr[there] >= mixed[there] - 1e-3).all()
    assert float((si_sdr - mixed)[there].mean()) > 3
    assert scores(torch.zeros_like(ideal), batch)[0][there].abs().max() < 0.01


def test_absent_queries_have_no_target_and_no_spans(small_corpus: mixtures.Corpus) -> None:
    batch = mixtures.Mixer(small_corpus, seed=4, seconds=1.0).batch(12)
    absent = batch.present == 0
    assert absent.any() and not batch.target[absent].any() and not batch.query.spans[absent].any()


def test_the_loss_falls_within_a_few_steps(small_corpus: mixtures.Corpus) -> None:
    torch.manual_seed(0)
    batch = mixtures.Mixer(small_corpus, seed=5, seconds=1.0).batch(4)
    net = SoundNet(len(mixtures.class_names()), trunk=16, query=16)
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        gain, active = net(batch.power, batch.query)
        assert gain.shape == batch.target.shape and gain.shape[-1] == BANDS
        loss = loss_of(gain, active, batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.1


def test_composed_music_is_a_valid_midi_file() -> None:
    segments = rendering.compose(len(rendering.INSTRUMENTS) * 4, seed=1)
    assert {label for label, _, _ in segments} == set(rendering.INSTRUMENTS)
    assert all(0 <= n.pitch <= 127 and n.start_s < rendering.SEGMENT_S for _, _, notes in segments for n in notes)
    data = rendering.midi_file(segments)
    assert data[:4] == b"MThd" and int.from_bytes(data[18:22]) == len(data) - 22


def tone(path: Path, hertz: float, seconds: float = 1.5) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    at = np.arange(int(seconds * 32_000)) / 32_000
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(32_000)
        file.writeframes((8_000 * np.sin(2 * np.pi * hertz * at) * (np.sin(9 * at) > 0)).astype("<i2").tobytes())


def test_own_sounds_in_folders_named_otherwise_are_refused_with_the_labels(tmp_path: Path) -> None:
    tone(tmp_path / "data" / "doggy" / "one.wav", 400)
    with pytest.raises(corpus.UnknownLabelError, match=r"doggy.*dog"):
        corpus.build_from_folder(tmp_path / "data", tmp_path / "corpus")


def test_a_short_training_on_own_sounds_learns_resumes_and_separates(tmp_path: Path) -> None:
    """Two hundred steps on a few recordings: the loss falls, an interrupted run goes on, and the result separates."""
    for take in range(3):
        tone(tmp_path / "data" / "dog" / f"bark {take}.wav", 300 + 40 * take)
        tone(tmp_path / "data" / "violin" / f"note {take}.wav", 1_500 + 90 * take)
    (tmp_path / "data" / "dog" / "broken.wav").write_bytes(b"no sound")
    corpus.build_from_folder(tmp_path / "data", tmp_path / "corpus")
    plan = train.TrainingPlan(
        (tmp_path / "corpus",), tmp_path / "run", 600, mixtures=2, seconds=0.8, workers=1, steps=150
    )
    train.train(plan)
    train.train(replace(plan, resume=True, steps=50))
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    losses = [entry["loss"] for entry in log if "loss" in entry]
    assert len(losses) == 4
    assert losses[-1] < losses[0] - 0.1
    assert log[-1]["at_s"] > 0
    weights = train.export(tmp_path / "run" / train.AVERAGE, tmp_path / "weights.safetensors")
    net = SoundNet(len(mixtures.class_names()))
    net.load_state_dict({name: value.float() for name, value in load_file(weights).items()})
    separator = NetSeparator(net.eval(), tuple(mixtures.class_names()))
    mix = np.random.default_rng(0).standard_normal((1, 48_000)).astype(np.float32)
    blocks = list(separator.separate(ArraySource(mix), [NetQuery("dog")], NullControl()))
    assert np.concatenate(blocks, axis=1).shape == mix.shape
