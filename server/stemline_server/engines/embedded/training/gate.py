"""`python -m stemline_server.engines.embedded.training.gate WEIGHTS CORPUS...`: fit the gate of trained weights.

Asks the net for sounds that are present and for sounds that are absent, by name alone, in mixtures of packages that it
was not trained on, and writes the gate into the header of WEIGHTS. The corpora are folders that the training has made.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..net_separator import Gate, NetSeparator, window_presence
from ..weights import read_net
from .mixtures import Batch, Corpus, Mixer

SPLITS = ("held", "unseen")
MISSED_SHARE = 1 / 500
HIGHEST_ABSENT_BELOW = 0.3
"""Share of the present sounds that may count as absent, and a bound: few mixtures say little about rare cases."""
LEAST_ANSWERS = 20
SHARED_KINDS = ("song", "instrument", "ambience", "absent")
"""Categories whose share of the energy tells whether they are present."""
SECONDS, MIXTURES = 6.0, 10


class TooFewAnswersError(ValueError):
    """The mixtures hold too few present or absent sounds to fit a gate."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Hold answers of a net to queries by name alone.

    Attributes:
        presence: Certainty that the sound occurs, 0..1, [Q].
        share: Share of the energy that the gains pass, 0..1, [Q].
        present: Whether the sound occurs, [Q].
        is_shared: Whether the share tells whether it occurs, [Q].
    """

    presence: Tensor
    share: Tensor
    present: Tensor
    is_shared: Tensor


@torch.no_grad()
def answers_to(net: NetSeparator, batches: Sequence[Batch]) -> Answers:
    """Return the net's answers to all queries without spans."""
    found: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    for batch in batches:
        gain, active = net.network(batch.power, batch.query, batch.heard)
        power = batch.power[batch.query.mixture]
        share = (gain**2 * power).sum((1, 2)) / (power.sum((1, 2)) + 1e-12)
        is_shared = torch.tensor([kind in SHARED_KINDS for kind in batch.kinds])
        by_name = batch.query.spans.sum((1, 2)) == 0
        rows = (window_presence(active), share, batch.present > 0, is_shared)
        found.append((rows[0][by_name], rows[1][by_name], rows[2][by_name], rows[3][by_name]))
    return Answers(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def fitted_gate(answers: Answers) -> Gate:
    """Return the gate for some answers.

    The presence below which a sound counts as absent is exceeded by all present sounds but `MISSED_SHARE`. The
    probability is a logistic regression on the share of the energy, with equal weights of present and absent sounds.

    Raises:
        TooFewAnswersError: There are too few answers of a kind.
    """
    shared = answers.is_shared
    counts = [int((answers.present & shared).sum()), int((~answers.present & shared).sum())]
    if min(counts) < LEAST_ANSWERS:
        raise TooFewAnswersError(
            f"There are {counts[0]} present and {counts[1]} absent sounds to fit to, and {LEAST_ANSWERS} of each are "
            "needed: raise --batches, or add a corpus with music and ambience."
        )
    below = float(torch.quantile(answers.presence[answers.present], MISSED_SHARE))
    place = torch.log10(answers.share[shared].double() + 1e-9)
    present = answers.present[shared].double()
    weight = torch.where(present > 0, 0.5 / counts[0], 0.5 / counts[1])
    fit = torch.tensor([Gate().offset, Gate().slope], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([fit], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        logits = fit[0] + fit[1] * place
        missed = torch.nn.functional.binary_cross_entropy_with_logits(logits, present, weight, reduction="sum")
        missed = missed + 1e-3 * fit.square().sum()  # answers that can be told apart exactly have no best slope
        missed.backward()
        return missed

    optimiser.step(loss)
    offset, slope = (round(float(value), 3) for value in fit.detach())
    return Gate(round(min(below, HIGHEST_ABSENT_BELOW), 4), offset, max(slope, 0.0))


def store_gate(weights: Path, gate: Gate) -> None:
    """Write a gate into the header of a weights file."""
    with safe_open(str(weights), framework="pt") as stored:
        described = stored.metadata()
    values = load_file(weights)
    part = weights.with_name(f"{weights.name}.part")
    save_file(values, part, metadata=described | {"gate": json.dumps(asdict(gate))})
    part.replace(weights)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description="Fits the gate of trained weights to packages held out from training.")
    parser.add_argument("weights", type=Path, help="a weights file by the training; its header is rewritten")
    parser.add_argument("corpora", type=Path, nargs="+", help="corpus folders that the training has made")
    parser.add_argument("--split", choices=SPLITS, default="held", help="sounds to fit to (default held)")
    parser.add_argument("--batches", type=int, default=40, help=f"batches of {MIXTURES} mixtures (default 40)")
    options = parser.parse_args(arguments)
    net = read_net(options.weights)
    mixer = Mixer(Corpus(options.corpora, options.split), 11, SECONDS, net.teachers)
    answers = answers_to(net, [mixer.batch(MIXTURES) for _ in range(options.batches)])
    try:
        gate = fitted_gate(answers)
    except TooFewAnswersError as error:
        parser.error(str(error))
    store_gate(options.weights, gate)
    missed = float((answers.presence[answers.present] < gate.absent_below).float().mean())
    refused = float((answers.presence[~answers.present] < gate.absent_below).float().mean())
    print(json.dumps(asdict(gate) | {"present_refused": round(missed, 4), "absent_refused": round(refused, 4)}))  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
