"""Build a labelled corpus from the files of packages: int16 mono at 32 kHz in `audio.i16`, with an index.

`index.json` is a list of `Recording`s as objects. The split "held" is every recording of a held-out package, "unseen"
is about 6 % of the others, and "train" is the remainder. Takes (files whose names differ only in a number) stay in one
split.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import tomllib
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

Wave = npt.NDArray[np.float32]
RATE = 32_000
AUDIO_SUFFIXES = {".ogg", ".oga", ".wav", ".flac", ".mp3", ".opus", ".g722", ".aif", ".aiff", ".wv"}
MAX_LENGTH_S = {"song": 75, "speech": 15}
MAX_OTHER_LENGTH_S = 40
PACKAGE_LIMIT_S = {"song": 2400, "speech": 1200}
HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Recording:
    """Describe one sound of the corpus.

    Attributes:
        package: Name of the package.
        path: Path of the file in the package.
        label: What sounds.
        split: "train", "unseen" or "held".
        offset: First sample in `audio.i16`.
        length: Length in samples at 32 kHz.
    """

    package: str
    path: str
    label: str
    split: str
    offset: int
    length: int


def package_table() -> dict[str, Any]:
    """Return the content of packages.toml."""
    return tomllib.loads((HERE / "packages.toml").read_text())


@cache
def packages() -> dict[str, dict[str, Any]]:
    """Return the packages of packages.toml by name.

    Raises:
        ValueError: A package is reserved for the evaluation sets.
    """
    read = package_table()
    reserved = set(read["reserved"])
    found = {entry["name"]: entry for entry in read["package"]}
    if reserved & set(found):
        raise ValueError(f"reserved for the evaluation sets: {', '.join(sorted(reserved & set(found)))}")
    return found


@cache
def label_rules() -> tuple[tuple[re.Pattern[str], str], ...]:
    """Return patterns on paths and their labels, in order."""
    rules = tomllib.loads((HERE / "labels.toml").read_text())["rules"]
    return tuple((re.compile(pattern), label) for pattern, label in rules)


@cache
def groups() -> dict[str, tuple[str, ...]]:
    """Return the labels of each group, such as "music" or "animal"."""
    return {name: tuple(v) for name, v in tomllib.loads((HERE / "labels.toml").read_text())["groups"].items()}


def label_of(package: dict[str, Any], path: str) -> str:
    """Return the label of a file of a package, or "" to leave it out."""
    lower = path.lower()
    for pattern, label in package.get("labels", ()):
        if re.search(pattern, lower):
            return str(label)
    tail = "/".join(lower.split("/")[-2:])
    for rule, label in label_rules():
        if rule.search(tail):
            return label
    return str(package.get("otherwise", ""))


def split_of(package: dict[str, Any], path: str) -> str:
    """Return the split of a file: "held", "unseen" or "train"."""
    if package.get("held_out"):
        return "held"
    take = re.sub(r"[\d_\-. ]+$", "", path.rsplit(".", 1)[0].lower())
    return "unseen" if hashlib.sha256(take.encode()).digest()[0] < 15 else "train"


def decode(path: Path, max_length_s: float) -> Wave:
    """Decode a file to mono at 32 kHz. Files longer than `max_length_s` are cut and start at their third second."""
    pieces: list[Wave] = []
    have, limit = 0, int((max_length_s + 3) * RATE)
    with av.open(str(path), format="g722" if path.suffix == ".g722" else None) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
        for frame in container.decode(audio=0):
            frame.pts = None
            for out in resampler.resample(frame):
                pieces.append(out.to_ndarray()[0])
                have += len(pieces[-1])
            if have > limit:
                break
    wave = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    return wave[3 * RATE : int((max_length_s + 3) * RATE)] if len(wave) > max_length_s * RATE else wave


def without_rumble(wave: Wave) -> Wave:
    """Remove everything below 25 Hz: offsets and rumble of real recordings distort levels and scores."""
    n = 1 << max(len(wave) - 1, 1).bit_length()
    spectrum = np.fft.rfft(wave, n)
    spectrum[: round(25 * n / RATE)] = 0
    return np.fft.irfft(spectrum, n)[: len(wave)].astype(np.float32)


def resampled(wave: Wave, rate: int) -> Wave:
    """Resample a wave from 32 kHz to a rate in Hz through its spectrum."""
    length = len(wave) * rate // RATE
    return (np.fft.irfft(np.fft.rfft(wave), length) * (length / len(wave))).astype(np.float32)


def trimmed(wave: Wave) -> Wave:
    """Remove silence at both ends; return an empty array if there is only silence."""
    if len(wave) < 800:
        return wave[:0]
    frames = len(wave) // 160
    level = np.sqrt((wave[: frames * 160].reshape(frames, 160) ** 2).mean(1))
    loud = np.flatnonzero(level > max(level.max() * 0.006, 2e-4))
    return wave[loud[0] * 160 : (loud[-1] + 1) * 160] if len(loud) else wave[:0]


def wanted_files(package: dict[str, Any], folder: Path, refused: frozenset[str]) -> list[tuple[Path, str, str]]:
    """Return (path, label, split) of the files of a package that are used.

    Args:
        package: Entry of packages.toml.
        folder: Folder with the extracted files.
        refused: Files of evaluation sets, as "package:path".
    """
    found: list[tuple[Path, str, str]] = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in AUDIO_SUFFIXES or path.is_symlink() or not path.is_file():
            continue
        inside = str(path.relative_to(folder))
        label = label_of(package, inside)
        if label and f"{package['name']}:{inside}" not in refused and path.stat().st_size > 1000:
            found.append((path, label, split_of(package, inside)))
    random.Random(1).shuffle(found)  # noqa: S311 - decides which files a limit leaves out
    return found


def package_sounds(name: str, folder: Path, refused: frozenset[str]) -> list[tuple[str, str, str, Wave]]:
    """Return (path, label, split, wave) of all labelled sounds of a package; skip files that cannot be decoded."""
    package, sounds = packages()[name], []
    used_s: dict[str, float] = defaultdict(float)
    for path, label, split in wanted_files(package, folder, refused):
        if used_s[label] > PACKAGE_LIMIT_S.get(label, 1e9):
            continue
        try:
            wave = trimmed(without_rumble(decode(path, MAX_LENGTH_S.get(label, MAX_OTHER_LENGTH_S))))
        except (av.FFmpegError, ValueError, IndexError):
            continue
        if len(wave) >= RATE // 20:
            used_s[label] += len(wave) / RATE
            sounds.append((str(path.relative_to(folder)), label, split, wave))
    return sounds


class CorpusWriter:
    """Append recordings to `audio.i16` and write the index at the end."""

    def __init__(self, folder: Path) -> None:
        """Create the folder and open `audio.i16` for writing."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._audio = (folder / "audio.i16").open("wb")
        self._offset = 0
        self._index: list[Recording] = []

    def add(self, package: str, path: str, label: str, split: str, wave: Wave) -> None:
        """Append a wave [samples], scaled to full level."""
        peak = float(np.abs(wave).max()) or 1.0
        self._audio.write((wave * (29000 / peak)).astype("<i2").tobytes())
        self._index.append(Recording(package, path, label, split, self._offset, len(wave)))
        self._offset += len(wave)

    def close(self) -> None:
        """Write the index."""
        self._audio.close()
        (self._folder / "index.json").write_text(json.dumps([asdict(r) for r in self._index]))


class UnknownLabelError(ValueError):
    """A folder of own sounds is named by a label that the net does not have."""


def known_labels() -> frozenset[str]:
    """Return the labels of sounds that the net can be trained on."""
    return frozenset(label for members in groups().values() for label in members) | {"speech"}


def build_from_folder(data: Path, corpus: Path) -> None:
    """Decode own recordings, DATA/LABEL/FILE, into a corpus folder.

    Takes (files whose names differ only in a number) stay in one split; about 6 % of them are "unseen".

    Args:
        data: Folder with one folder of sound files for each label.
        corpus: Folder to write.

    Raises:
        UnknownLabelError: A folder is not named by a known label, or there is no folder with sounds.
    """
    folders = sorted(path for path in data.iterdir() if path.is_dir())
    unknown = [path.name for path in folders if path.name not in known_labels()]
    if unknown or not folders:
        raise UnknownLabelError(
            f"{data} must hold folders named by labels; unknown: {', '.join(unknown) or 'there is no folder'}. "
            f"Labels: {', '.join(sorted(known_labels()))}."
        )
    writer = CorpusWriter(corpus)
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() not in AUDIO_SUFFIXES or not path.is_file():
                continue
            try:
                wave = trimmed(without_rumble(decode(path, MAX_LENGTH_S.get(folder.name, MAX_OTHER_LENGTH_S))))
            except (av.FFmpegError, ValueError, IndexError):
                continue
            if len(wave) >= RATE // 20:
                inside = str(path.relative_to(data))
                writer.add("own sounds", inside, folder.name, split_of({}, inside), wave)
    writer.close()


def read_index(folder: Path) -> list[Recording]:
    """Return the recordings of a corpus folder."""
    return [Recording(**entry) for entry in json.loads((folder / "index.json").read_text())]


def evaluation_sources(manifest: Path | None) -> frozenset[str]:
    """Return "package:path" of every file in an evaluation set.

    Args:
        manifest: `manifest.json` of another evaluation set. None for the set named in packages.toml alone.
    """
    known = frozenset(package_table()["evaluated"])
    if manifest is None:
        return known
    items = json.loads(manifest.read_text())
    return known | frozenset(f"{s['package']}:{s['path']}" for item in items for s in item["sources"])


def build(extracted: Path, corpus: Path, manifest: Path | None, workers: int = 2) -> None:
    """Decode every extracted package into a corpus folder; see also `rendering` and `synthesis`.

    Args:
        extracted: Folder with one folder for each package.
        corpus: Folder to write.
        manifest: `manifest.json` of an evaluation set whose files are left out.
        workers: Number of processes.
    """
    refused = evaluation_sources(manifest)
    names = [n for n, p in packages().items() if p.get("kind", "audio") == "audio" and (extracted / n).is_dir()]
    writer = CorpusWriter(corpus)
    with ProcessPoolExecutor(workers) as pool:
        jobs = [pool.submit(package_sounds, name, extracted / name, refused) for name in names]
        for name, job in zip(names, jobs, strict=True):
            for path, label, split, wave in job.result():
                writer.add(name, path, label, split, wave)
            print(name, flush=True)  # noqa: T201 - the progress of a command-line tool
    writer.close()
