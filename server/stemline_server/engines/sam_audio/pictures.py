"""Features of the pictures of prompts: which picture belongs to which latent frame, and its encoding.

The vision tower is loaded when a picture is encoded for the first time and freed afterwards. Pictures with equal pixels
are encoded once, and their features are stored for other prompts, seeds and qualities.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # PyTorch's conventional name

from stemline_server.engines.base import PictureSource
from stemline_server.engines.sam_audio.checkpoint import Placement, load_tower
from stemline_server.engines.sam_audio.device import is_out_of_memory, out_of_memory_error, release_memory
from stemline_server.engines.sam_audio.vision_tower import VisionTower

_CACHED_FEATURES = 16384
"""Features to keep in memory: 64 MB with the published tower."""
_CPU_BATCH, _CUDA_BATCH = 8, 32
_LENGTH_TOLERANCE = 0.01

Features = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]


def pictures_of_frames(source: PictureSource, frames: int, frame_s: Fraction) -> npt.NDArray[np.int64]:
    """Return the stored picture that is nearest in time to the start of each latent frame, [frames].

    Of two at the same distance it is the earlier one. As in the model's processor, times and distances are float32.

    Args:
        source: The pictures.
        frames: Number of latent frames.
        frame_s: Length of a frame in seconds.
    """
    times = np.array([float(time) for time in source.times], np.float32)
    wanted = (np.arange(frames) * float(frame_s)).astype(np.float32)
    after = np.clip(np.searchsorted(times, wanted), 0, len(times) - 1)
    before = np.maximum(after - 1, 0)
    entries = np.where(np.abs(times[after] - wanted) < np.abs(times[before] - wanted), after, before)
    return np.asarray(source.picture_of, np.int64)[entries]


def resized(pictures: Tensor, size: int) -> Tensor:
    """Resize uint8 pictures [B, H, W, 3] to [B, size, size, 3] as in the model's training.

    The filter is bicubic with antialiasing; the aspect ratio is not preserved; levels are rounded to whole numbers.
    """
    if pictures.shape[1:3] == (size, size):
        return pictures
    planes = pictures.permute(0, 3, 1, 2).float()
    scaled = F.interpolate(planes, (size, size), mode="bicubic", align_corners=False, antialias=True)
    return scaled.clamp(0, 255).round().to(torch.uint8).permute(0, 2, 3, 1)


class FeatureFile:
    """Store features on disk as they are made, so that a job that was killed does not encode pictures again.

    The file is a sequence of records: the SHA-256 of the pixels, then the features as float32.
    """

    def __init__(self, folder: Path, revision: str, width: int) -> None:
        """Open the file of a revision of the engine in `folder`; features have `width` numbers."""
        name = hashlib.sha256(revision.encode()).hexdigest()[:32]
        self._path = folder / f"sam_audio-pictures-{name}.bin"
        self._record = np.dtype([("digest", "V32"), ("features", "<f4", (width,))])

    def load(self) -> dict[bytes, Features]:
        """Return the stored features by digest; a record that was not written completely is removed."""
        try:
            whole = self._path.stat().st_size // self._record.itemsize
            with self._path.open("r+b") as file:
                file.truncate(whole * self._record.itemsize)
            records = np.fromfile(self._path, self._record)
        except OSError:
            return {}
        valid = np.abs(np.linalg.norm(records["features"], axis=1) - 1) < _LENGTH_TOLERANCE
        return {record["digest"].tobytes(): record["features"].copy() for record in records[valid]}

    def append(self, digests: Sequence[bytes], features: Features) -> None:
        """Store features [B, width]. A full disk is ignored: the file only saves time."""
        records = np.zeros(len(digests), self._record)
        records["digest"] = [np.void(digest) for digest in digests]
        records["features"] = features
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                file.write(records.tobytes())
        except OSError:
            return


@dataclass(frozen=True, slots=True)
class _Batch:
    """Hold pictures [B, size, size, 3] that have not been encoded yet, and their digests."""

    digests: list[bytes]
    pixels: list[Pixels]


class PictureEncoder:
    """Encode pictures with the tower of a checkpoint."""

    def __init__(self, folder: Path, placement: Placement, width: int) -> None:
        """Create the encoder without loading the tower.

        Args:
            folder: Folder of the checkpoint.
            placement: Device and number formats.
            width: Width of the features.
        """
        self._folder, self._placement, self._width = folder, placement, width
        self._batch = _CUDA_BATCH if placement.device.type == "cuda" else _CPU_BATCH
        self._cache: OrderedDict[bytes, Features] = OrderedDict()

    def encode(
        self,
        wanted: Sequence[tuple[PictureSource, Iterable[int]]],
        done: Callable[[], None],
        file: FeatureFile | None = None,
    ) -> list[dict[int, Features]]:
        """Return the features [width] of stored pictures by their index, for each source.

        Args:
            wanted: Sources and the indices of the pictures to encode.
            done: Called for each of these pictures; may raise to stop.
            file: Where features are stored in case the process is killed.

        Raises:
            InputError: The tower cannot be loaded (MODEL_UNAVAILABLE).
            SeparationError: The device has too little memory for one picture (DEVICE_OUT_OF_MEMORY).
        """
        known: dict[bytes, Features] = file.load() if file else {}
        digests: list[dict[int, bytes]] = [{} for _ in wanted]
        tower: VisionTower | None = None
        try:
            for batch in self._batches(wanted, digests, known, done):
                tower = tower or load_tower(self._folder, self._placement)
                features = self._encode(tower, batch)
                known.update(zip(batch.digests, features, strict=True))
                if file:
                    file.append(batch.digests, features)
                for _ in batch.digests:
                    done()
        finally:
            if tower is not None:
                del tower
                release_memory(self._placement.device)
        self._store(known)
        return [{picture: known[digest] for picture, digest in of.items()} for of in digests]

    def _batches(
        self,
        wanted: Sequence[tuple[PictureSource, Iterable[int]]],
        digests: list[dict[int, bytes]],
        known: dict[bytes, Features],
        done: Callable[[], None],
    ) -> Iterator[_Batch]:
        """Yield pictures without features in batches; enter the digest of every picture in `digests`."""
        batch = _Batch([], [])
        for (source, pictures), of in zip(wanted, digests, strict=True):
            for picture in pictures:
                pixels = source.read(int(picture))
                digest = of[int(picture)] = hashlib.sha256(pixels.tobytes()).digest()
                if digest not in known and digest in self._cache:
                    known[digest] = self._cache[digest]
                if digest in known or digest in batch.digests:
                    done()
                    continue
                batch.digests.append(digest)
                batch.pixels.append(pixels)
                if len(batch.digests) >= self._batch:
                    yield batch
                    batch = _Batch([], [])
        if batch.digests:
            yield batch

    @torch.inference_mode()
    def _encode(self, tower: VisionTower, batch: _Batch) -> Features:
        """Return features [B, width]; if memory runs out, the batch is halved permanently."""
        features: list[Tensor] = []
        while len(features) < len(batch.pixels):
            pixels = batch.pixels[len(features) : len(features) + self._batch]
            try:
                given = torch.stack([resized(torch.from_numpy(p)[None], tower.sizes.image_size)[0] for p in pixels])
                features.extend(tower(given.to(self._placement.device)).cpu())
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if self._batch == 1:
                    raise out_of_memory_error("encoding one picture", self._placement.device) from error
                self._batch = max(1, len(pixels) // 2)
                release_memory(self._placement.device)
        encoded: Features = torch.stack(features).numpy()
        return encoded

    def _store(self, known: dict[bytes, Features]) -> None:
        for digest, features in known.items():
            self._cache[digest] = features
            self._cache.move_to_end(digest)
        while len(self._cache) > _CACHED_FEATURES:
            self._cache.popitem(last=False)
