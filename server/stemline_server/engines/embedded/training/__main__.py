"""`python -m stemline_server.engines.embedded.training WORK`: train the net from scratch.

Downloads the packages of packages.toml by name and hash (Debian bookworm; about 7 GB), decodes and labels them, renders
and synthesises other sounds (needs fluidsynth), trains for `--minutes` and writes the weights into the package. Files
that are already in WORK are used again. `--data FOLDER` adds own recordings, and `--resume` goes on after an
interruption. `--trunk` and `--teachers` choose another net, and `--device cuda` trains on a graphics card with all
sounds in its memory. `training.gate` then fits the gate. `--evaluation MANIFEST` leaves out every file that an
evaluation set names.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import torch

from stemline.errors import SeparationError

from ..dual_path_net import TRUNKS
from ..teachers import CHANNELS, Teachers
from . import corpus, fetch, rendering, synthesis
from .train import SHIPPED, TrainingPlan, export, train

SEEDS = (1, 2)
MIXTURES, MIXTURES_ON_CARD = 12, 96
"""Mixtures in a batch."""
PEAK_RATE = 2e-3
GENTLE_RATE = 1e-3
"""Highest learning rates: from random weights, and one that keeps what earlier weights have learned."""


def own_corpus(work: Path, data: Path) -> Path:
    """Build a corpus folder of own sounds, again whenever the files of `data` change; return its path."""
    listed = [f"{path.relative_to(data)} {path.stat().st_size}" for path in sorted(data.rglob("*")) if path.is_file()]
    folder = work / f"own-{hashlib.sha256(chr(10).join(listed).encode()).hexdigest()[:12]}"
    if not (folder / "index.json").is_file():
        corpus.build_from_folder(data, folder)
    return folder


def synthesised_corpus(work: Path) -> Path:
    """Build a corpus folder of synthesised sounds; return its path."""
    folder = work / "synthesised"
    if not (folder / "index.json").is_file():
        writer = corpus.CorpusWriter(folder)
        synthesis.add_synthesised(writer, "train", 1, seed=1)
        synthesis.add_synthesised(writer, "unseen", 0.08, seed=2)
        writer.close()
    return folder


def build_corpora(work: Path, extracted: Path, manifest: Path | None) -> tuple[Path, ...]:
    """Build corpus folders of recordings, renders and synthesised sounds under `work`; return their paths."""
    recordings = work / "recordings"
    if not (recordings / "index.json").is_file():
        corpus.build(extracted, recordings, manifest)
    folders = [recordings, synthesised_corpus(work)]
    for name, package in corpus.packages().items():
        if package.get("kind") == "soundfont" and (extracted / name).is_dir():
            folders.append(render_soundfont(work, extracted / name, name, bool(package.get("held_out"))))
    return tuple(folders)


def render_soundfont(work: Path, extracted: Path, name: str, held_out: bool) -> Path:
    """Build a corpus folder of instruments played with one soundfont; return its path."""
    folder = work / f"rendered-{name}"
    if (folder / "index.json").is_file():
        return folder
    soundfont = next(p for p in sorted(extracted.rglob("*.sf[23]")) if not p.is_symlink())
    writer = corpus.CorpusWriter(folder)
    for seed in (11,) if held_out else SEEDS:
        rendered = rendering.render(soundfont, 82 if held_out else 330, seed, folder)
        rendering.add_renders(writer, name, "held" if held_out else "train", rendered)
        rendered[0][1].unlink()
    writer.close()
    return folder


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Trains the embedded net from scratch.")
    parser.add_argument("work", type=Path, help="folder for downloads, sounds and checkpoints (about 25 GB)")
    parser.add_argument("--minutes", type=float, default=180, help="time to train (default 180)")
    parser.add_argument("--workers", type=int, default=2, help="training processes, one thread each (default 2)")
    parser.add_argument("--begin", type=Path, help="weights to start from (default: random weights)")
    parser.add_argument("--seed", type=int, default=1000, help="seed of the mixtures; use another one with --begin")
    parser.add_argument("--evaluation", type=Path, help="manifest.json of an evaluation set whose files to leave out")
    parser.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint in WORK, at most a minute old"
    )
    parser.add_argument(
        "--data", type=Path, help="own sounds to train on as well: a folder for each label, DATA/dog/*.wav"
    )
    parser.add_argument(
        "--no-packages", action="store_true", help="with --data: train on own and synthesised sounds alone, offline"
    )
    parser.add_argument("--trunk", choices=TRUNKS, default="gru", help="the net to train (default gru, as shipped)")
    parser.add_argument(
        "--teachers", nargs="+", choices=tuple(CHANNELS), default=[], help="other nets whose features are inputs"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to train (default cpu)")
    parser.add_argument("--licences", default="", help="only packages whose licence matches this pattern")
    parser.add_argument("--any-version", action="store_true", help="take packages with other hashes too")
    parser.add_argument("--output", type=Path, default=SHIPPED, help="the weights file to write")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.no_packages and not options.data:
        parser.error("--no-packages needs --data")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda needs an NVIDIA graphics card and a PyTorch with CUDA; leave it out to use the CPU")
    try:
        teachers = Teachers(options.teachers) if options.teachers else None
    except SeparationError as error:
        parser.error(str(error))
    folders: tuple[Path, ...] = (own_corpus(options.work, options.data),) if options.data else ()
    if options.no_packages:
        folders += (synthesised_corpus(options.work),)
    else:
        extracted = fetch.fetch(options.work, options.licences, any_version=options.any_version)
        folders += build_corpora(options.work, extracted, options.evaluation)
    rate = GENTLE_RATE if options.begin else PEAK_RATE
    plan = TrainingPlan(
        folders,
        options.work / "run",
        options.minutes * 60,
        options.begin,
        seed=options.seed,
        peak_rate=rate,
        workers=options.workers,
        resume=options.resume,
        mixtures=MIXTURES_ON_CARD if options.device == "cuda" else MIXTURES,
        trunk=options.trunk,
        teachers=tuple(options.teachers),
        device="cuda" if options.device == "cuda" else None,
    )
    print(export(train(plan), options.output, trunk=options.trunk, teachers=teachers))  # noqa: T201 - the output of a command-line tool
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
