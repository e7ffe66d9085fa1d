"""Find Stable Audio pipelines on this machine and check their files. Imports no PyTorch, so that listing is fast."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from stemline.paths import models_dir

FOLDER_VARIABLE = "STEMLINE_STABLE_AUDIO"
"""Names another folder than `stable_audio` in the models folder."""

VERSION_3 = ("StableAudio3Pipeline", "StableAudio3InpaintPipeline", "StableAudio3AudioToAudioPipeline")
OPEN = "StableAudioPipeline"

_INDEX = "model_index.json"
_LIBRARIES = {"diffusers", "transformers", "stable_audio", "stable_audio_3"}
_PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle")
_UNFINISHED = (".incomplete", ".part", ".crdownload", ".download", ".aria2")
_WEIGHTS_OF = ("transformer", "vae", "text_encoder")
_BLOCKS, _BLOCK_BYTES = 32, 65536
_MAX_HEADER_BYTES = 100_000_000
_CONVERTER = "scripts/convert_stable_audio_3_to_diffusers.py of the diffusers repository"


def root_folder() -> Path:
    """Return the folder that holds a pipeline, or a folder for each pipeline."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named).expanduser().absolute() if named else models_dir() / "stable_audio"


def pipeline_folders() -> dict[str, Path]:
    """Return the folders of pipelines by variant: the empty variant is the root folder itself."""
    root = root_folder()
    if not root.is_dir():
        return {}
    folders = sorted(entry for entry in root.iterdir() if entry.is_dir() and "." not in entry.name)
    several = any((folder / _INDEX).is_file() for folder in folders) and not (root / _INDEX).is_file()
    return {folder.name: folder for folder in folders} if several else {"": root}


def missing_reason(folder: Path | None) -> str:
    """Return "" if a pipeline can be loaded from the folder, else one sentence on what is wrong and what to do."""
    if folder is None or not folder.is_dir() or not any(folder.iterdir()):
        return (
            "Stable Audio's weights need your own account: accept the licence at https://huggingface.co/stabilityai, "
            f"convert the weights to the layout of diffusers, and put the folder at {folder or root_folder()}."
        )
    unfinished = next(_files(folder, _UNFINISHED), None)
    if unfinished is not None:
        return f"{unfinished} is half a download: finish the download of Stable Audio."
    if not (folder / _INDEX).is_file():
        return _without_index(folder)
    return _wrong_index(folder) or next(filter(None, (_wrong_part(folder / name) for name in _WEIGHTS_OF)), "")


def pipeline_class(folder: Path) -> str:
    """Return the class of the pipeline that the folder's index names, or the empty string."""
    named = _read_json(folder / _INDEX).get("_class_name")
    return named if isinstance(named, str) else ""


def part_config(folder: Path, part: str) -> dict[str, Any]:
    """Return the `config.json` of a part of the pipeline; an empty one where it cannot be read."""
    return _read_json(folder / part / "config.json")


def fingerprint(folder: Path) -> str:
    """Return 16 hexadecimal digits that identify the pipeline's files: configs whole, weights by blocks."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix in (".json", ".safetensors")]
    stats = tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in files)
    return _fingerprint(folder, stats)


@lru_cache(maxsize=16)
def _fingerprint(folder: Path, files: tuple[tuple[Path, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for path, size_bytes, _ in files:
        digest.update(f"{path.relative_to(folder).as_posix()}\0{size_bytes}\0".encode())
        with path.open("rb", buffering=0) as file:
            for block in range(_BLOCKS):
                file.seek(max(0, size_bytes - _BLOCK_BYTES) * block // (_BLOCKS - 1))
                digest.update(file.read(_BLOCK_BYTES))
    return digest.hexdigest()[:16]


def _without_index(folder: Path) -> str:
    """Return what a folder without an index is."""
    pickle = next(_files(folder, _PICKLES), None)
    if (folder / "model_config.json").is_file() or next(folder.glob("*.safetensors"), None) is not None:
        return f"{folder} has Stability's own layout, which Stemline does not read: convert it with {_CONVERTER}."
    if pickle is not None:
        return _pickled(pickle)
    return f"{folder} is not a Stable Audio pipeline: it has no {_INDEX}."


def _wrong_index(folder: Path) -> str:
    named = pipeline_class(folder)
    if named != OPEN and named not in VERSION_3:
        return f"{folder} holds {named or 'no known pipeline'}, not Stable Audio: choose another folder."
    for part, entry in _read_json(folder / _INDEX).items():
        if part.startswith("_") or not isinstance(entry, list):
            continue
        if len(entry) != 2 or entry[0] not in _LIBRARIES:
            return f"{folder / _INDEX} names code outside diffusers and transformers: get the pipeline again."
    return ""


def _wrong_part(part: Path) -> str:
    """Return what is wrong with the weights of one part: pickles, missing or truncated files."""
    weights = sorted(part.glob("*.safetensors")) if part.is_dir() else []
    if not weights:
        pickle = next(_files(part, _PICKLES), None) if part.is_dir() else None
        return _pickled(pickle) if pickle else f"{part} has no weights: download Stable Audio again."
    for index in part.glob("*.safetensors.index.json"):
        shards = _read_json(index).get("weight_map", {})
        missing = sorted(set(shards.values()) - {path.name for path in weights}) if isinstance(shards, dict) else []
        if missing:
            return f"{part / missing[0]} is missing: download Stable Audio again."
    damaged = next((path for path in weights if not _is_whole(path)), None)
    return f"{damaged} is cut short or damaged: download it again." if damaged else ""


def _pickled(path: Path) -> str:
    return f"{path} is a pickle, which can run code when it is read: get Stable Audio as safetensors."


def _is_whole(path: Path) -> bool:
    """Return whether a safetensors file is as long as its header says."""
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        if not 0 < header_bytes <= min(size_bytes - 8, _MAX_HEADER_BYTES):
            return False
        try:
            header = json.loads(file.read(header_bytes))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            return False
    return size_bytes == 8 + header_bytes + max(ends, default=0)


def _files(folder: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix.lower() in suffixes)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
