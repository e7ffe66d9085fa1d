"""Risks: training options that change the shipped net, do not train, or give weights that load as another net."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from stemline.errors import Code, SeparationError
from stemline_server.engines.base import Waveform
from stemline_server.engines.embedded import deepfilter, voice_activity, yamnet
from stemline_server.engines.embedded.array_source import ArraySource
from stemline_server.engines.embedded.dual_path_net import DualPathNet, build_net
from stemline_server.engines.embedded.evaluate import NullControl
from stemline_server.engines.embedded.net_separator import HOP, Gate, NetQuery, NetSeparator
from stemline_server.engines.embedded.sound_net import BANDS, Query, SoundNet
from stemline_server.engines.embedded.spooled_source import ScoredBlock
from stemline_server.engines.embedded.teachers import CHANNELS, Teachers
from stemline_server.engines.embedded.training import __main__ as command
from stemline_server.engines.embedded.training import gate, mixtures, train
from stemline_server.engines.embedded.training.corpus import RATE, CorpusWriter
from stemline_server.engines.embedded.training.resident import ResidentMixer
from stemline_server.engines.embedded.weights import read_net

CPU = torch.device("cpu")


def write_corpus(folder: Path, *splits: str) -> Path:
    """Write a corpus of synthesised sounds with music and ambience."""
    rng, time = np.random.default_rng(0), np.arange(2 * RATE) / RATE
    writer = CorpusWriter(folder)
    for split in splits:
        for i in range(2):
            writer.add("p", f"dog{i}", "dog", split, np.sin(2 * np.pi * (300 + 40 * i) * time[:8000]))
            writer.add("p", f"rain{i}", "rain", split, rng.standard_normal(2 * RATE).astype(np.float32))
            writer.add("p", f"piano{i}", "piano", split, np.sin(2 * np.pi * (1500 + 90 * i) * time))
    writer.close()
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus", "train")


def separated(separator: NetSeparator, mix: Waveform) -> Waveform:
    return np.concatenate(list(separator.separate(ArraySource(mix), [NetQuery("dog")], NullControl())), axis=1)


def power_and_query(seed: int = 0) -> tuple[torch.Tensor, Query]:
    random = torch.Generator().manual_seed(seed)
    power = torch.rand((2, 9, BANDS), generator=random)
    return power, Query(torch.tensor([0, 1, 1]), torch.tensor([3, 5, 7]), torch.zeros(3, 9, 4))


def test_the_shipped_weights_give_the_answers_of_the_first_version() -> None:
    """The figures were computed by the code before trunks and teachers could be chosen."""
    separator = read_net(train.SHIPPED)
    assert isinstance(separator.network, SoundNet) and separator.teachers is None and separator.gate == Gate()
    with torch.inference_mode():
        gain, active = separator.network(*power_and_query())
    np.testing.assert_allclose(gain.mean((1, 2)).numpy(), SHIPPED_GAINS, rtol=1e-5)
    np.testing.assert_allclose(active.mean(1).numpy(), SHIPPED_LOGITS, rtol=1e-5)


SHIPPED_GAINS = (0.3789011, 0.6861733, 0.5738502)
SHIPPED_LOGITS = (1.1356984, 1.4461594, 3.6410112)


def test_exported_weights_without_options_have_the_header_of_the_shipped_ones(tmp_path: Path) -> None:
    exported = train.export(train.SHIPPED, tmp_path / "again.safetensors")
    headers = []
    for path in (exported, train.SHIPPED):
        with safe_open(str(path), framework="pt") as stored:
            headers.append(stored.metadata())
    assert headers[0] == headers[1]
    before, after = load_file(train.SHIPPED), load_file(exported)
    assert all(torch.equal(before[name], after[name]) for name in before | after)


def test_a_net_with_teachers_begins_with_the_answers_of_the_weights_before() -> None:
    net = build_net("gru", len(mixtures.class_names()), 25)
    train.load_beginning(net, train.SHIPPED)
    power, query = power_and_query()
    with torch.inference_mode():
        gain, _ = net.eval()(power, query, torch.rand(2, 9, 25))
        before, _ = read_net(train.SHIPPED).network(power, query)
    torch.testing.assert_close(gain, before)


def test_weights_of_another_trunk_are_refused() -> None:
    with pytest.raises(ValueError, match="another trunk"):
        train.load_beginning(build_net("dual-path", len(mixtures.class_names())), train.SHIPPED)


def test_every_query_of_the_dual_path_net_has_its_own_word_marks_and_mixture() -> None:
    torch.manual_seed(0)
    net = DualPathNet(9, time_hidden=8, band_hidden=8).eval()
    power, query = power_and_query()
    with torch.inference_mode():
        gain, active = net(power, query)
        assert gain.shape == (3, 9, BANDS) and active.shape == (3, 9)
        torch.testing.assert_close(
            net(power[1:], Query(torch.tensor([0]), torch.tensor([7]), torch.zeros(1, 9, 4)))[0], gain[2:]
        )
        assert not torch.allclose(gain[1], gain[2])
        marked = replace(query, spans=torch.ones(3, 9, 4))
        assert not torch.allclose(net(power, marked)[0], gain)


def test_features_of_teachers_are_those_of_the_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """A voice in the second half is heard from its first frame on, and the detector's frames are interpolated."""
    wave = np.random.default_rng(0).standard_normal(201 * HOP).astype(np.float32)
    speech = np.where(np.arange(len(wave)) < len(wave) // 2, 0, 1)

    class Detector:
        def probabilities(self, heard: Waveform) -> Waveform:
            return np.arange(-(-heard.shape[1] // 1_536), dtype=np.float32)

    def blocks(audio: ArraySource) -> list[ScoredBlock]:
        return [ScoredBlock(audio.samples * speech, np.zeros(1, np.float32))]

    monkeypatch.setattr(voice_activity, "load_detector", Detector)
    monkeypatch.setattr(deepfilter, "speech_blocks", blocks)
    teachers = Teachers(["voice", "speech"])
    assert teachers.names == ("speech", "voice")
    heard = teachers.features(wave)
    assert heard.shape == (200, CHANNELS["speech"] + CHANNELS["voice"])
    assert not heard[:99, :-1].any() and (heard[101:, :-1] > 0.99).all()
    np.testing.assert_allclose(heard[:100, -1], (np.arange(1, 101) * HOP - 768) / 1_536, rtol=1e-5)
    assert not teachers.features(np.zeros_like(wave))[:, :-1].any()


def test_a_missing_teacher_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamnet, "availability", lambda: "The AudioSet tagger needs the extra `suggest`.")
    with pytest.raises(SeparationError, match="suggest") as refused:
        Teachers(["tags"])
    assert refused.value.code is Code.MODEL_UNAVAILABLE


def test_the_dual_path_net_with_teachers_learns_resumes_loads_and_separates(folder: Path, tmp_path: Path) -> None:
    teachers = ("voice",)
    plan = train.TrainingPlan(
        (folder,),
        tmp_path / "run",
        600,
        mixtures=2,
        seconds=0.5,
        device="cpu",
        steps=50,
        peak_rate=4e-3,
        trunk="dual-path",
        teachers=teachers,
    )
    train.train(plan)
    train.train(replace(plan, resume=True, steps=50))
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    losses = [entry["loss"] for entry in log if "loss" in entry]
    assert len(losses) == 2 and losses[1] < losses[0] - 0.05
    weights = train.export(
        tmp_path / "run" / train.AVERAGE, tmp_path / "w.safetensors", trunk="dual-path", teachers=Teachers(teachers)
    )
    separator = read_net(weights)
    assert isinstance(separator.network, DualPathNet) and separator.teachers is not None
    mix = np.random.default_rng(0).standard_normal((1, 48_000)).astype(np.float32)
    assert np.shape(separated(separator, mix)) == mix.shape


def test_weights_trained_on_another_teacher_are_refused(tmp_path: Path) -> None:
    net = build_net("gru", len(mixtures.class_names()), 1)
    save_file(net.state_dict(), tmp_path / "net")
    weights = train.export(tmp_path / "net", tmp_path / "w.safetensors", teachers=Teachers(["voice"]))
    described = {"classes": json.dumps(mixtures.class_names()), "trunk": "gru", "teachers": '{"voice": "000000000000"}'}
    save_file(load_file(weights), weights, metadata=described)
    with pytest.raises(SeparationError, match="other weights of voice"):
        read_net(weights)


@pytest.mark.parametrize(
    "header", [{"trunk": "wavenet"}, {"teachers": '{"dog": "1"}'}, {"gate": '{"width": 1}'}, {"trunk": "dual-path"}]
)
def test_weights_with_a_header_that_does_not_fit_are_refused_in_a_sentence(
    tmp_path: Path, header: dict[str, str]
) -> None:
    described = {"classes": json.dumps(mixtures.class_names())} | header
    save_file(load_file(train.SHIPPED), tmp_path / "w.safetensors", metadata=described)
    with pytest.raises(SeparationError, match="cannot be used"):
        read_net(tmp_path / "w.safetensors")


def test_mixtures_made_on_the_device_hold_their_targets(folder: Path) -> None:
    """An ideal mask scores above the mixture, and absent queries have neither target nor spans."""
    mixer = ResidentMixer(mixtures.Corpus([folder], "train"), 3, 1.0, None, CPU)
    batch = mixer.batch(12)
    there = batch.present > 0
    assert there.any() and not there.all()
    assert not batch.target[~there].any() and not batch.query.spans[~there].any()
    ideal = (batch.cross / (batch.power[batch.query.mixture] + 1e-9)).clamp(0, 1)
    gained = train.scores(ideal, batch)[1] - train.mixture_si_sdr(batch)
    assert (gained[there] > -1e-3).all() and float(gained[there].mean()) > 3
    assert mixer.batch(2, longer=2).power.shape[1] > 1.9 * batch.power.shape[1]


def test_a_recording_on_the_device_sounds_at_its_pitch(folder: Path) -> None:
    """The dog's tones are at 300 and 340 Hz and change by four semitones at most; the piano's are above 1100 Hz."""
    mixer = ResidentMixer(mixtures.Corpus([folder], "train"), 5, 1.0, None, CPU)
    for _ in range(5):
        batch = mixer.batch(6)
        for row, kind in enumerate(batch.kinds):
            loudest = int(batch.target[row].sum(0).argmax())  # bands below 1600 Hz are 25 Hz wide
            if kind == "animal":
                assert 9 <= loudest <= 18
            if kind == "instrument":
                assert loudest > 40


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a graphics card with CUDA; runs on the CPU above")
def test_training_on_a_graphics_card_learns(folder: Path, tmp_path: Path) -> None:
    plan = train.TrainingPlan((folder,), tmp_path / "run", 600, mixtures=16, seconds=1, device="cuda", steps=100)
    for trunk in ("gru", "dual-path"):
        log = train.train(replace(plan, trunk=trunk, out=tmp_path / trunk)).with_name("log.jsonl")
        losses = [entry["loss"] for entry in map(json.loads, log.read_text().splitlines()) if "loss" in entry]
        assert losses[-1] < losses[0]


def test_a_card_that_is_missing_is_refused_before_anything_is_downloaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as left:
        command.main([str(tmp_path / "work"), "--device", "cuda"])
    assert left.value.code == 2 and "graphics card" in capsys.readouterr().err
    assert not (tmp_path / "work").exists()


def test_the_gate_is_fitted_and_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_corpus(tmp_path / "corpus", "held")
    weights = train.export(train.SHIPPED, tmp_path / "w.safetensors")
    assert gate.main([str(weights), str(folder), "--batches", "6"]) == 0
    printed = json.loads(capsys.readouterr().out)
    found = read_net(weights).gate
    assert found != Gate() and found.slope > 0
    assert printed["absent_below"] == found.absent_below <= gate.HIGHEST_ABSENT_BELOW
    assert found.probability(0.5) > found.probability(0.001)


def test_a_gate_ranks_present_sounds_above_absent_ones() -> None:
    present = torch.arange(1000) % 2 == 0
    share = torch.where(present, 0.3, 0.01) * torch.logspace(-0.5, 0.5, 1000)
    answers = gate.Answers(torch.where(present, 0.9, 0.05), share, present, torch.ones(1000, dtype=torch.bool))
    fitted = gate.fitted_gate(answers)
    assert fitted.absent_below == gate.HIGHEST_ABSENT_BELOW
    assert fitted.probability(0.3) > 0.9 and fitted.probability(0.01) < 0.1
    few = gate.Answers(*(part[:10] for part in (answers.presence, share, present, answers.is_shared)))
    with pytest.raises(gate.TooFewAnswersError, match="5 present and 5 absent"):
        gate.fitted_gate(few)


def test_the_options_of_the_command_reach_the_training_and_the_header(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[train.TrainingPlan] = []

    def save(plan: train.TrainingPlan) -> Path:
        plans.append(plan)
        save_file(plan.new_net().state_dict(), tmp_path / "average")
        return tmp_path / "average"

    monkeypatch.setattr(command, "own_corpus", lambda _work, _data: folder)
    monkeypatch.setattr(command, "synthesised_corpus", lambda _work: folder)
    monkeypatch.setattr(command, "train", save)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    options = ["--trunk", "dual-path", "--teachers", "voice", "speech", "--device", "cuda"]
    own = ["--data", str(tmp_path), "--no-packages", "--output", str(tmp_path / "w.safetensors")]
    assert command.main([str(tmp_path / "work"), *own, *options]) == 0
    assert plans[0].device == "cuda" and plans[0].mixtures == command.MIXTURES_ON_CARD
    separator = read_net(tmp_path / "w.safetensors")
    assert isinstance(separator.network, DualPathNet)
    assert separator.teachers is not None and separator.teachers.names == ("speech", "voice")
