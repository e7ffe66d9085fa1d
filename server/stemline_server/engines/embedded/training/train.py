"""Training: two processes work on the same weights (Hogwild, Niu et al. 2011) until the clock says stop.

The learning rate follows a cosine over the wall-clock budget, so the run fits any machine. Checkpoints hold the moving
average of the weights; `log.jsonl` holds the losses and the scores on the held-out packages.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, multiprocessing

from ..sound_net import SoundNet
from .mixtures import Batch, Corpus, Mixer, words

CHECKPOINT_S = 300


@dataclass(frozen=True, slots=True)
class Plan:
    """`begin`: weights to go on from, in place of random ones."""

    corpora: tuple[Path, ...]
    out: Path
    budget_s: float
    begin: Path | None = None
    seed: int = 1000
    mixtures: int = 12
    seconds: float = 3.2
    peak_rate: float = 2e-3
    workers: int = 2


def scores(gain: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """SNR and SI-SDR in dB of each query's estimate (gain times mixture), from band sums alone."""
    mixture = batch.power[batch.query.mixture]
    target = batch.target.sum((1, 2))
    inner = (gain * batch.cross).sum((1, 2))
    estimate = (gain**2 * mixture).sum((1, 2))
    error = (target - 2 * inner + estimate).clamp_min(0)
    snr = -10 * torch.log10(error / (target + 1e-9) + 1e-3)
    alike = inner**2 / (target * estimate + 1e-12)
    si_sdr = 10 * torch.log10((alike + 1e-3) / (1 - alike + 1e-3).clamp_min(1e-3))
    return snr, si_sdr


def mixture_si_sdr(batch: Batch) -> Tensor:
    return scores(torch.ones_like(batch.cross), batch)[1]


def loss_of(gain: Tensor, active: Tensor, batch: Batch) -> Tensor:
    """SNR and SI-SDR where the target is there; the level of what leaks where not; and when the target sounds."""
    snr, si_sdr = scores(gain, batch)
    mixture = batch.power[batch.query.mixture].sum((1, 2))
    leak = 10 * torch.log10((gain**2 * batch.power[batch.query.mixture]).sum((1, 2)) / mixture + 1e-2)
    quality = -(0.4 * snr + 0.6 * si_sdr) * batch.present + 0.3 * leak * (1 - batch.present)
    level = batch.target.sum(-1)
    sounding = (level > 10**-3.2 * level.amax(1, keepdim=True)) & (batch.present[:, None] > 0)
    heard = torch.nn.functional.binary_cross_entropy_with_logits(active, sounding.float())
    return quality.mean() / 10 + 0.25 * heard


@torch.no_grad()
def measure(net: SoundNet, batches: Sequence[Batch]) -> dict[str, float]:
    """SI-SDR improvement by category, without and with spans, and how often presence is judged right."""
    found: dict[str, list[float]] = defaultdict(list)
    for batch in batches:
        gain, active = net(batch.power, batch.query)
        gained = scores(gain, batch)[1] - mixture_si_sdr(batch)
        marked = batch.query.spans.sum((1, 2)) > 0
        sure = torch.sigmoid(active).amax(1)
        for i, kind in enumerate(batch.kinds):
            if kind != "absent":
                found[f"{kind}{'+spans' if marked[i] else ''}"].append(float(gained[i]))
                found["harm"].append(float(gained[i] < -1))
            found[f"sure {kind if kind == 'absent' else 'present'}"].append(float(sure[i]))
    return {name: round(sum(v) / len(v), 2) for name, v in sorted(found.items())}


def fixed_batches(corpora: Sequence[Path], split: str, count: int) -> list[Batch]:
    mixer = Mixer(Corpus(corpora, split), seed=7, seconds=6.0)
    return [mixer.batch(10) for _ in range(count)]


class Average:
    """Exponential moving average of the weights, over the steps of one worker."""

    def __init__(self, net: SoundNet, half_life_steps: float = 60) -> None:
        self.values = {k: v.detach().clone() for k, v in net.state_dict().items()}
        self._keep = 0.5 ** (1 / half_life_steps)

    def update(self, net: SoundNet) -> None:
        for name, value in net.state_dict().items():
            self.values[name].lerp_(value, 1 - self._keep)


def work(number: int, net: SoundNet, plan: Plan, started: float, counter: Tensor) -> None:
    """One process: draws its own mixtures and steps the shared weights with its own AdamW moments."""
    os.nice(19)
    torch.set_num_threads(1)
    mixer = Mixer(Corpus(plan.corpora, "train"), seed=plan.seed + number, seconds=plan.seconds)
    optimiser = torch.optim.AdamW(net.parameters(), lr=0, betas=(0.9, 0.98), weight_decay=0.01)
    reporter = Reporter(net, plan, started) if number == 0 else None
    step = 0
    while (spent := time.time() - started) < plan.budget_s:
        warm = min(1.0, (step + 1) / 100)
        rate = plan.peak_rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * spent / plan.budget_s)))
        for group in optimiser.param_groups:
            group["lr"] = rate
        longer = 2 if step % 4 == 3 else 1
        batch = mixer.batch(plan.mixtures // longer, longer=longer)
        gain, active = net(batch.power, batch.query)
        loss = loss_of(gain, active, batch)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        step += 1
        counter[number] += len(batch.power)
        if reporter:
            reporter.after(step, float(loss.detach()), int(counter.sum()))
    if reporter:
        reporter.checkpoint(int(counter.sum()))


class Reporter:
    """Keeps the average, writes checkpoints and the log, measures on held-out packages now and then."""

    def __init__(self, net: SoundNet, plan: Plan, started: float) -> None:
        self._net, self._plan, self._started = net, plan, started
        self._average = Average(net)
        self._losses: list[float] = []
        self._saved = time.time()
        self._sets = {split: fixed_batches(plan.corpora, split, 5) for split in ("held", "unseen")}

    def after(self, step: int, loss: float, mixtures: int) -> None:
        self._average.update(self._net)
        self._losses.append(loss)
        if step % 50 == 0:
            self._log({"step": step, "mixtures": mixtures, "loss": round(sum(self._losses) / len(self._losses), 4)})
            self._losses.clear()
        if time.time() - self._saved > CHECKPOINT_S:
            self.checkpoint(mixtures)

    def checkpoint(self, mixtures: int) -> None:
        self._saved = time.time()
        save_file(self._average.values, self._plan.out / "average.safetensors")
        save_file(self._net.state_dict(), self._plan.out / "last.safetensors")
        judge = SoundNet(len(words()))
        judge.load_state_dict(self._average.values)
        for split, batches in self._sets.items():
            self._log({"split": split, "mixtures": mixtures} | measure(judge, batches))

    def _log(self, entry: dict[str, object]) -> None:
        entry["at_s"] = round(time.time() - self._started)
        with (self._plan.out / "log.jsonl").open("a") as log:
            log.write(json.dumps(entry) + "\n")


def learn(plan: Plan) -> Path:
    """Trains until the budget is spent; returns the averaged weights."""
    plan.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    net = SoundNet(len(words()))
    if plan.begin:
        net.load_state_dict(load_file(plan.begin))
    net.share_memory()
    counter = torch.zeros(plan.workers, dtype=torch.long).share_memory_()
    context = multiprocessing.get_context("spawn")
    started = time.time()
    processes = [context.Process(target=work, args=(i, net, plan, started, counter)) for i in range(plan.workers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return plan.out / "average.safetensors"
