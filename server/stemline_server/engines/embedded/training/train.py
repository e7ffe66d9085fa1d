"""Train the net in several processes on shared weights until a time budget is spent, and export the weights.

The processes update the weights without locks (Niu et al., "Hogwild!", 2011); on a CUDA device, one process trains
with all sounds on the device (`resident`). The learning rate follows a cosine over
the time budget, so a run fits any machine. Checkpoints hold the moving average of the weights; `log.jsonl` holds the
losses and the scores on held-out packages.
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

from stemline.files import write_json

from ..dual_path_net import build_net
from ..sound_net import QueriedNet
from ..teachers import Teachers
from .mixtures import Batch, Corpus, Mixer, class_names
from .resident import ResidentMixer

CHECKPOINT_S = 60
AVERAGE, LAST, STATE = "average.safetensors", "last.safetensors", "state.json"
SHIPPED = Path(__file__).parent.parent / "sound_net.safetensors"


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """Hold the settings of a training run.

    Attributes:
        corpora: Corpus folders.
        out: Folder for checkpoints and the log.
        budget_s: Time to train.
        begin: Weights to start from; None for random weights.
        seed: Seed of the mixtures.
        mixtures: Mixtures in a batch.
        seconds: Usual length of a mixture.
        peak_rate: Highest learning rate.
        workers: Number of processes.
        steps: Steps of each process after which it ends; 0 for no limit.
        resume: Go on from the checkpoint in `out`: the time spent counts, and the moments of the optimiser restart.
        trunk: One of `dual_path_net.TRUNKS`.
        teachers: Names of the nets whose features are inputs; see `teachers.CHANNELS`.
        device: Torch device that holds sounds and net in one process; None for processes on the CPU.
    """

    corpora: tuple[Path, ...]
    out: Path
    budget_s: float
    begin: Path | None = None
    seed: int = 1000
    mixtures: int = 12
    seconds: float = 3.2
    peak_rate: float = 2e-3
    workers: int = 2
    steps: int = 0
    resume: bool = False
    trunk: str = "gru"
    teachers: tuple[str, ...] = ()
    device: str | None = None

    def load_teachers(self) -> Teachers | None:
        """Return the teachers, or None if there are none. Raises what `Teachers` raises."""
        return Teachers(self.teachers) if self.teachers else None

    def new_net(self) -> QueriedNet:
        """Return a net with random weights on the CPU."""
        teachers = self.load_teachers()
        return build_net(self.trunk, len(class_names()), teachers.channels if teachers else 0)


def scores(gain: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return SNR and SI-SDR in dB of each query's estimate (gain times mixture), computed from band sums.

    Args:
        gain: Gains [Q, T, BANDS].
        batch: The batch.

    Returns:
        Two tensors [Q].
    """
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
    """Return the SI-SDR in dB of the unprocessed mixture for each query, [Q]."""
    return scores(torch.ones_like(batch.cross), batch)[1]


def loss_of(gain: Tensor, active: Tensor, batch: Batch) -> Tensor:
    """Return the loss: SNR and SI-SDR of present targets, leakage of absent ones, and activity in each frame."""
    snr, si_sdr = scores(gain, batch)
    mixture = batch.power[batch.query.mixture].sum((1, 2)) + 1e-9  # own recordings may pause for a whole mixture
    leak = 10 * torch.log10((gain**2 * batch.power[batch.query.mixture]).sum((1, 2)) / mixture + 1e-2)
    quality = -(0.4 * snr + 0.6 * si_sdr) * batch.present + 0.3 * leak * (1 - batch.present)
    level = batch.target.sum(-1)
    sounding = (level > 10**-3.2 * level.amax(1, keepdim=True)) & (batch.present[:, None] > 0)
    activity = torch.nn.functional.binary_cross_entropy_with_logits(active, sounding.float())
    return quality.mean() / 10 + 0.25 * activity


@torch.no_grad()
def measure(net: QueriedNet, batches: Sequence[Batch]) -> dict[str, float]:
    """Return mean SI-SDR improvements by category, with and without spans, the harmed share and mean presences."""
    found: dict[str, list[float]] = defaultdict(list)
    for batch in batches:
        gain, active = net(batch.power, batch.query, batch.heard)
        gained = scores(gain, batch)[1] - mixture_si_sdr(batch)
        marked = batch.query.spans.sum((1, 2)) > 0
        sure = torch.sigmoid(active).amax(1)
        for i, kind in enumerate(batch.kinds):
            if kind != "absent":
                found[f"{kind}{'+spans' if marked[i] else ''}"].append(float(gained[i]))
                found["harm"].append(float(gained[i] < -1))
            found[f"sure {kind if kind == 'absent' else 'present'}"].append(float(sure[i]))
    return {name: round(sum(v) / len(v), 2) for name, v in sorted(found.items())}


def fixed_batches(corpora: Sequence[Path], split: str, count: int, teachers: Teachers | None = None) -> list[Batch]:
    """Return batches that are the same in every run."""
    mixer = Mixer(Corpus(corpora, split), seed=7, seconds=6.0, teachers=teachers)
    return [mixer.batch(10) for _ in range(count)]


class WeightAverage:
    """Hold the exponential moving average of the weights over the steps of one worker."""

    def __init__(self, net: QueriedNet, half_life_steps: float = 60) -> None:
        """Start with the weights of a net."""
        self.values = {k: v.detach().clone() for k, v in net.state_dict().items()}
        self._keep = 0.5 ** (1 / half_life_steps)

    def update(self, net: QueriedNet) -> None:
        """Include the weights after a step."""
        for name, value in net.state_dict().items():
            self.values[name].lerp_(value, 1 - self._keep)


def train_worker(number: int, net: QueriedNet, plan: TrainingPlan, started: float, counter: Tensor) -> None:
    """Train in one process with its own mixtures and AdamW moments on shared weights.

    Args:
        number: Number of the process; process 0 reports.
        net: The shared net.
        plan: The settings.
        started: Time at which the run started.
        counter: Shared counter of mixtures, one for each process.
    """
    os.nice(19)
    torch.set_num_threads(1)
    corpus, seed = Corpus(plan.corpora, "train"), plan.seed + number
    run_steps(net, Mixer(corpus, seed, plan.seconds, plan.load_teachers()), plan, started, counter[number:])


def run_steps(
    net: QueriedNet, mixer: Mixer | ResidentMixer, plan: TrainingPlan, started: float, counter: Tensor
) -> None:
    """Train on the batches of a mixer until the time or the steps are spent.

    Args:
        net: The net, on the device of the batches.
        mixer: Draws the batches.
        plan: The settings.
        started: Time at which the run started.
        counter: Counters of mixtures; the first is that of this process. The process that sees all of them reports.
    """
    optimiser = torch.optim.AdamW(net.parameters(), lr=0, betas=(0.9, 0.98), weight_decay=0.01)
    reporter = Reporter(net, plan, started) if len(counter) == (1 if plan.device else plan.workers) else None
    step = 0
    while (spent := time.time() - started) < plan.budget_s and not 0 < plan.steps <= step:
        warm = min(1.0, (step + 1) / 100)
        rate = plan.peak_rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * spent / plan.budget_s)))
        for group in optimiser.param_groups:
            group["lr"] = rate
        longer = 2 if step % 4 == 3 else 1
        batch = mixer.batch(plan.mixtures // longer, longer=longer)
        gain, active = net(batch.power, batch.query, batch.heard)
        loss = loss_of(gain, active, batch)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        step += 1
        counter[0] += len(batch.power)
        if reporter:
            reporter.record_step(step, float(loss.detach()), int(counter.sum()))
    if reporter:
        reporter.checkpoint(int(counter.sum()))


class Reporter:
    """Average the weights, write checkpoints and the log, and measure on held-out packages."""

    def __init__(self, net: QueriedNet, plan: TrainingPlan, started: float) -> None:
        """Draw the batches to measure on, of the splits that the corpora have."""
        self._net, self._plan, self._started = net, plan, started
        self._device = next(net.parameters()).device
        self._average = WeightAverage(net)
        if plan.resume:
            self._average.values = {k: v.to(self._device) for k, v in load_file(plan.out / AVERAGE).items()}
        self._losses: list[float] = []
        self._saved = time.time()
        splits = [split for split in ("held", "unseen") if Corpus(plan.corpora, split).categories]
        teachers = plan.load_teachers()
        self._sets = {
            split: [batch.to(self._device) for batch in fixed_batches(plan.corpora, split, 5, teachers)]
            for split in splits
        }

    def record_step(self, step: int, loss: float, mixtures: int) -> None:
        """Average the weights, log every 50 steps and write a checkpoint every minute."""
        self._average.update(self._net)
        self._losses.append(loss)
        if step % 50 == 0:
            self._log({"step": step, "mixtures": mixtures, "loss": round(sum(self._losses) / len(self._losses), 4)})
            self._losses.clear()
        if time.time() - self._saved > CHECKPOINT_S:
            self.checkpoint(mixtures)

    def checkpoint(self, mixtures: int) -> None:
        """Write the average and the latest weights and the time spent, and log scores."""
        self._saved = time.time()
        out = self._plan.out
        for name, values in ((AVERAGE, self._average.values), (LAST, self._net.state_dict())):
            save_file({k: v.cpu().contiguous() for k, v in values.items()}, out / f"{name}.part")
            (out / f"{name}.part").replace(out / name)  # a run that is killed here keeps the checkpoint before
        state = {"spent_s": round(self._saved - self._started), "mixtures": mixtures}
        write_json(out / STATE, state)
        averaged = self._plan.new_net().to(self._device)
        averaged.load_state_dict(self._average.values)
        for split, batches in self._sets.items():
            self._log({"split": split, "mixtures": mixtures} | measure(averaged, batches))

    def _log(self, entry: dict[str, object]) -> None:
        entry["at_s"] = round(time.time() - self._started)
        with (self._plan.out / "log.jsonl").open("a") as log:
            log.write(json.dumps(entry) + "\n")


def train(plan: TrainingPlan) -> Path:
    """Train until the time budget is spent; return the path of the averaged weights.

    Raises:
        FileNotFoundError: There is no checkpoint to resume from.
        ValueError: The weights to start from belong to another trunk or other teachers.
        SeparationError: A teacher is not installed (MODEL_UNAVAILABLE).
    """
    plan.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.manual_seed(plan.seed)
    net = plan.new_net()
    begin = plan.out / LAST if plan.resume else plan.begin
    if begin:
        load_beginning(net, begin)
    counter = torch.zeros(1 if plan.device else plan.workers, dtype=torch.long).share_memory_()
    started = time.time()
    if plan.resume:
        state = json.loads((plan.out / STATE).read_text())
        started -= state["spent_s"]
        counter[0] = state["mixtures"]
    if plan.device:
        net = net.to(plan.device)
        torch.set_float32_matmul_precision("high")
        corpus = Corpus(plan.corpora, "train")
        mixer = ResidentMixer(corpus, plan.seed, plan.seconds, plan.load_teachers(), torch.device(plan.device))
        run_steps(net, mixer, plan, started, counter)
        return plan.out / AVERAGE
    net.share_memory()
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=train_worker, args=(i, net, plan, started, counter)) for i in range(plan.workers)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return plan.out / AVERAGE


def load_beginning(net: QueriedNet, begin: Path) -> None:
    """Load weights to start from. Layers of teachers that they lack start at zero, so nothing that was learned is lost.

    Raises:
        ValueError: The weights belong to another trunk or other teachers.
    """
    values = {name: value.float() for name, value in load_file(begin).items()}
    try:
        missing, unknown = net.load_state_dict(values, strict=False)
    except RuntimeError as error:  # a layer has another size
        raise ValueError(f"{begin} belongs to a net with another trunk or other teachers.") from error
    if unknown or any(not name.startswith("teachers.") for name in missing):
        raise ValueError(f"{begin} belongs to a net with another trunk or other teachers.")


def export(weights: Path, target: Path = SHIPPED, *, trunk: str = "gru", teachers: Teachers | None = None) -> Path:
    """Convert trained weights to half precision, with what is needed to load them in the header.

    Args:
        weights: Trained weights.
        target: The file to write.
        trunk: The trunk of the net.
        teachers: The nets whose features are inputs.

    Returns:
        `target`.
    """
    values = {name: value.to(torch.float16).contiguous() for name, value in load_file(weights).items()}
    described = {"classes": json.dumps(class_names()), "format": "stemline-sound-net-1"}
    if trunk != "gru" or teachers:
        digests = json.dumps(teachers.digests() if teachers else {})
        described |= {"format": "stemline-sound-net-2", "trunk": trunk, "teachers": digests}
    save_file(values, target, metadata=described)
    return target
