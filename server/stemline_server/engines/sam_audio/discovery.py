"""Search for checkpoints on this machine. This module does not import PyTorch, so that models are listed quickly."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import zipfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from stemline.errors import Code, SeparationError
from stemline.paths import models_dir
from stemline_bridge import read_json_object
from stemline_server.engines.sam_audio.settings import Settings

WEIGHT_FILES = ("model.safetensors", "checkpoint.pt")
TOWER_PREFIX = "vision_encoder.model.visual."
"""Beginning of the keys of the vision tower."""
PUBLISHED = (
    "sam-audio-small",
    "sam-audio-base",
    "sam-audio-large",
    "sam-audio-small-tv",
    "sam-audio-base-tv",
    "sam-audio-large-tv",
)
_FOLDER_PREFIX = "sam-audio-"
_HUB_OWNER = "facebook"
_TEXT_ENCODER_FOLDER, _TEXT_ENCODER_HUB = "t5-base", "google-t5/t5-base"
_DOWNLOADED = ("config.json", *WEIGHT_FILES, "LICENSE*")
_MAX_INDEX_BYTES = 100_000_000
_FINGERPRINT_BLOCKS, _FINGERPRINT_BLOCK_BYTES = 128, 65536


def weights_file(folder: Path) -> Path | None:
    """Return the weights file in a folder, or None."""
    return next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)


def is_checkpoint(folder: Path) -> bool:
    """Return whether a folder holds weights and a `config.json` of this kind of model."""
    if weights_file(folder) is None:
        return False
    document = read_json_object(folder / "config.json")
    return document is not None and "transformer" in document and "audio_codec" in document


def checkpoints() -> dict[str, Path]:
    """Return the folder of every checkpoint by name, from the models folder and the cache of the Hugging Face hub.

    Returns:
        Published models in their order, then others by name. The models folder takes precedence over the cache.
    """
    folder = models_dir()
    local = sorted(p for p in folder.iterdir() if is_checkpoint(p)) if folder.is_dir() else []
    found = {path.name: path for path in local}
    for name in PUBLISHED:
        if name not in found:
            found.update((name, path) for path in _cached(f"{_HUB_OWNER}/{name}"))
    return dict(sorted(found.items(), key=lambda item: (_rank(item[0]), item[0])))


def short_names() -> tuple[str, ...]:
    """Return the short names of the checkpoints: "small", "large-tv", or the name of another folder."""
    return tuple(name.removeprefix(_FOLDER_PREFIX) for name in checkpoints())


def name_of(folder: Path) -> str:
    """Return the short name of a checkpoint's folder."""
    names = dict(zip(checkpoints().values(), short_names(), strict=True))
    return names.get(folder, folder.name)


def find_checkpoint(settings: Settings, variant: str = "") -> Path | None:
    """Return the folder of the checkpoint to use, or None.

    Args:
        settings: The settings.
        variant: Short name of a checkpoint; takes precedence over the settings.
    """
    known = checkpoints()
    wanted = variant or settings.model
    if not wanted:
        return next(iter(known.values()), None)
    for name in (wanted, _FOLDER_PREFIX + wanted):
        if name in known:
            return known[name]
    folder = Path(wanted).expanduser()
    if is_checkpoint(folder):
        return folder
    return next(_cached(wanted), None) if "/" in wanted else None


def missing_reason(settings: Settings, variant: str = "") -> str:
    """Return "" if the model can run, else one sentence that says what is missing and how to get it.

    The model can run with a text encoder on this machine and a checkpoint that is here or named on the hub.

    Args:
        settings: The settings.
        variant: Short name of a checkpoint; takes precedence over the settings.
    """
    return _missing_checkpoint(settings, variant) or missing_text_encoder(settings)


def _missing_checkpoint(settings: Settings, variant: str) -> str:
    if find_checkpoint(settings, variant) is not None:
        return ""
    wanted = variant or settings.model
    if _is_hub_name(wanted) and importlib.util.find_spec("huggingface_hub") is not None:
        return ""
    name = next((n for n in PUBLISHED if wanted in (n, n.removeprefix(_FOLDER_PREFIX))), PUBLISHED[0])
    return (
        f"SAM Audio's weights need your own account: accept the SAM License at "
        f"https://huggingface.co/{_HUB_OWNER}/{name}, then run `hf auth login` and "
        f"`hf download {_HUB_OWNER}/{name} --local-dir {models_dir() / name}`."
    )


def missing_text_encoder(settings: Settings) -> str:
    """Return "" if the text encoder is on this machine, else one sentence on how to get it."""
    if find_text_encoder(settings) is not None:
        return ""
    return f"SAM Audio's text encoder {settings.text_encoder or _TEXT_ENCODER_HUB} is missing: {text_encoder_advice()}"


def text_encoder_advice() -> str:
    """Return the sentence that tells how to get the text encoder."""
    return f"run `hf download {_TEXT_ENCODER_HUB} --local-dir {models_dir() / _TEXT_ENCODER_FOLDER}`."


def fetch_checkpoint(settings: Settings, variant: str = "") -> Path:
    """Return the checkpoint's folder; download it first if the settings name it on the hub and it is not here yet.

    Args:
        settings: The settings.
        variant: Short name of a checkpoint; takes precedence over the settings.

    Raises:
        SeparationError: There is no checkpoint, or it cannot be downloaded (MODEL_UNAVAILABLE).
    """
    local = find_checkpoint(settings, variant)
    if local is not None:
        return local
    problem = _missing_checkpoint(settings, variant)
    if problem:
        raise SeparationError(problem, code=Code.MODEL_UNAVAILABLE)
    name = variant or settings.model
    import huggingface_hub  # noqa: PLC0415 - optional
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

    try:
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=list(_DOWNLOADED)))
    except (OSError, HfHubHTTPError) as error:
        raise SeparationError(
            f"{name} cannot be downloaded: {str(error).partition(chr(10))[0]}.",
            code=Code.MODEL_UNAVAILABLE,
            advice=f"Accept the licence at https://huggingface.co/{name} and run `hf auth login`.",
        ) from error


def find_text_encoder(settings: Settings) -> Path | None:
    """Return the folder of the T5 encoder, in the models folder or in the cache of the hub, or None."""
    folder = Path(settings.text_encoder).expanduser() if settings.text_encoder else models_dir() / _TEXT_ENCODER_FOLDER
    return folder if folder.is_dir() else _cached_folder(settings.text_encoder or _TEXT_ENCODER_HUB)


def fingerprint(folder: Path) -> str:
    """Return 16 hexadecimal digits that identify a checkpoint, or "" if there are no weights.

    The SHA-256 covers the config, the size of the weights file and blocks spread over it. Not every byte is read, so
    that models are listed quickly.
    """
    path = weights_file(folder)
    if path is None:
        return ""
    stat = path.stat()
    return _fingerprint(folder / "config.json", path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)
def _fingerprint(config: Path, weights: Path, size_bytes: int, _changed_ns: int) -> str:
    digest = hashlib.sha256(config.read_bytes())
    digest.update(str(size_bytes).encode())
    with weights.open("rb", buffering=0) as file:
        for block in range(_FINGERPRINT_BLOCKS):
            file.seek(max(0, size_bytes - _FINGERPRINT_BLOCK_BYTES) * block // (_FINGERPRINT_BLOCKS - 1))
            digest.update(file.read(_FINGERPRINT_BLOCK_BYTES))
    return digest.hexdigest()[:16]


def missing_tower(folder: Path) -> str:
    """Return "" if a checkpoint holds a vision tower, else one sentence that says what is missing.

    Only the list of tensors is read.
    """
    path = weights_file(folder)
    if path is not None:
        stat = path.stat()
        if _has_tower(path, stat.st_size, stat.st_mtime_ns):
            return ""
    return f"The SAM Audio checkpoint {folder.name} has no vision tower, so that it cannot take pictures."


@lru_cache(maxsize=64)
def _has_tower(weights: Path, _size_bytes: int, _changed_ns: int) -> bool:
    key = f"{TOWER_PREFIX}conv1.weight".encode()
    try:
        if weights.suffix == ".safetensors":
            with weights.open("rb") as file:
                length = min(int.from_bytes(file.read(8), "little"), _MAX_INDEX_BYTES)
                return key in file.read(length)
        with zipfile.ZipFile(weights) as archive:
            indices = [item for item in archive.infolist() if item.filename.endswith("/data.pkl")]
            return any(item.file_size <= _MAX_INDEX_BYTES and key in archive.read(item) for item in indices)
    except (OSError, zipfile.BadZipFile):
        return False


def _rank(name: str) -> int:
    return PUBLISHED.index(name) if name in PUBLISHED else len(PUBLISHED)


def _is_hub_name(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith((".", "/", "~")) and not Path(name).exists()


def _cached(name: str) -> Iterator[Path]:
    """Yield the checkpoint folder `name` in the hub's cache, if it is there."""
    folder = _cached_folder(name)
    if folder is not None and is_checkpoint(folder):
        yield folder


def _cached_folder(name: str) -> Path | None:
    """Return the folder in the hub's cache that holds `name`, or None. Does not use the network."""
    if not _is_hub_name(name) or not (_hub_cache() / f"models--{name.replace('/', '--')}").is_dir():
        return None
    if importlib.util.find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - optional, and slow to import

    config = try_to_load_from_cache(name, "config.json")
    return Path(config).parent if isinstance(config, str) else None


def _hub_cache() -> Path:
    """Return the cache folder of the hub's client."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    return Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
