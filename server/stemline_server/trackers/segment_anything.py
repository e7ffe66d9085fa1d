"""SAM 2 and EdgeTAM (Ravi et al. 2024; Zhou et al. 2025): trackers from a folder of weights that the user holds.

A folder in the models folder with `config.json` and safetensors of the transformers library is one tracker, named like
the folder. Nothing is downloaded, and no code or pickle of the folder is run.
"""

from __future__ import annotations

import contextlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from stemline import paths
from stemline.errors import Code, UsageError
from stemline.extras import install_command
from stemline.identity import digest
from stemline.media.pictures.picture_track import Picture
from stemline.media.pictures.trackers import TrackerInfo
from stemline.media.pictures.tracking import Marks, Mask, Step, is_cut_between, shot_colours
from stemline.shared_disk import file_facts
from stemline_bridge import read_json_object
from stemline_server._torchaudio import torchaudio_transforms

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_VERSION = 1
_EXAMPLE = "sam2.1-hiera-tiny"
_TITLES = {"sam2_video": "SAM 2", "edgetam_video": "EdgeTAM"}
_CLASSES = {"sam2_video": "Sam2VideoModel", "edgetam_video": "EdgeTamVideoModel"}
_SESSIONS = {"sam2_video": "Sam2VideoInferenceSession", "edgetam_video": "EdgeTamVideoInferenceSession"}
_LICENCE = "Apache-2.0 as published"
_MAX_CONFIG_BYTES = 1 << 20
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_ON, _BESIDE, _CORNER, _OPPOSITE = 1, 0, 2, 3  # labels of points in the prompt encoder
_LEAST_PIXELS = 20


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder of weights."""

    path: Path
    kind: str

    @property
    def info(self) -> TrackerInfo:
        """What `stemline models` lists."""
        note = _missing(self.kind)
        return TrackerInfo(
            self.path.name,
            f"{_TITLES[self.kind]}, from {self.path}",
            available=not note,
            note=note,
            licence=_LICENCE,
            revision="" if note else self._revision(),
        )

    def _revision(self) -> str:
        with contextlib.suppress(OSError):
            files = [file_facts(file) for file in sorted(self.path.glob("*.safetensors"))]
            config = (self.path / "config.json").read_bytes().hex()
            return digest([_VERSION, config, [[one.size_bytes, one.blocks_sha256.hex()] for one in files]])[:16]
        return ""


class SegmentAnythingSource:
    """The trackers in the models folder. A `stemline.media.pictures.trackers.TrackerSource`."""

    def infos(self) -> tuple[TrackerInfo, ...]:
        """Return a tracker for each folder of weights, or one that says how to get them."""
        found = tuple(folder.info for folder in _folders())
        if found:
            return found
        place = paths.models_dir() / _EXAMPLE
        note = f"Download weights of your own: hf download facebook/{_EXAMPLE} --local-dir {place}"
        return (TrackerInfo("sam2", _TITLES["sam2_video"], available=False, note=note, licence=_LICENCE),)

    def create(self, tracker_id: str) -> SegmentAnythingTracker:
        """Load the weights in the folder with that name. Raises UsageError (MODEL_UNAVAILABLE)."""
        for folder in _folders():
            if folder.path.name == tracker_id:
                return SegmentAnythingTracker(*_loaded(folder))
        raise _unusable(tracker_id, "its folder is gone")


def _folders() -> list[_Folder]:
    folder = paths.models_dir()
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    kinds = [(entry, _kind(entry)) for entry in entries]
    return [_Folder(entry, kind) for entry, kind in kinds if kind]


def _kind(folder: Path) -> str:
    """Return the type of model whose weights a folder holds; empty for none that is known here."""
    config = folder / "config.json"
    document = read_json_object(config, _MAX_CONFIG_BYTES)
    try:
        has_weights = next(folder.glob("*.safetensors"), None) is not None
    except OSError:
        return ""
    kind = document.get("model_type") if document is not None and has_weights else None
    return kind if isinstance(kind, str) and kind in _CLASSES else ""


def _missing(kind: str) -> str:
    if any(importlib.util.find_spec(name) is None for name in ("torch", "transformers", "safetensors")):
        return f"Run: {install_command('server')}"
    if kind == "edgetam_video" and importlib.util.find_spec("timm") is None:
        return "EdgeTAM needs the package timm: pip install timm"
    return ""


def _loaded(folder: _Folder) -> tuple[Any, Any]:
    """Return the model and an empty session. Raises UsageError."""
    import torch  # noqa: PLC0415 - takes seconds to import

    torchaudio_transforms()  # transformers imports torchaudio if it is installed
    import transformers  # noqa: PLC0415

    transformers.utils.logging.disable_progress_bar()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model_class = getattr(transformers, _CLASSES[folder.kind])
    try:
        model, report = model_class.from_pretrained(
            folder.path,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except Exception as error:  # the files of the folder are untrusted, and the library raises errors of many classes
        raise _unusable(
            folder.path.name, f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"
        ) from error
    wrong = sorted({*report["missing_keys"], *(key[0] for key in report["mismatched_keys"])})
    if wrong:
        raise _unusable(folder.path.name, f"its weights lack {len(wrong)} tensors, such as {wrong[0]}")
    session_class = getattr(importlib.import_module(model_class.__module__), _SESSIONS[folder.kind])
    model.eval().requires_grad_(False).to(device)
    return model, lambda size: session_class(
        video_height=size[0],
        video_width=size[1],
        inference_device=device,
        inference_state_device=device,
        video_storage_device=device,
        dtype=torch.float32,
    )


class SegmentAnythingTracker:
    """Follows one object with the memory of SAM 2. A `stemline.media.pictures.tracking.Tracker`.

    Memory does not grow with the number of pictures: what the model no longer looks at is dropped.
    """

    def __init__(self, model: Any, new_session: Any) -> None:
        """Take a model, and a function that makes a session for pictures of (height, width)."""
        self._model, self._new_session = model, new_session
        size = model.config.image_size
        self._side = int(size if isinstance(size, int) else size[0])
        self._memory = max(model.config.num_maskmem, model.config.max_object_pointers_in_encoder) + 1

    def start(self, picture: Picture, marks: Marks) -> Mask:
        """See `Tracker`."""
        if marks.is_empty:
            raise _no_object()
        self._session = self._new_session(picture.shape[:2])
        self._index = 0
        self._colours = shot_colours(picture)
        self._session.obj_id_to_idx(1)
        if marks.mask is not None and not (marks.plus or marks.minus):
            if np.count_nonzero(marks.mask) < _LEAST_PIXELS:
                raise _no_object()
            self._session.add_mask_inputs(0, 0, self._model_mask(marks.mask))
        else:
            self._session.add_point_inputs(0, 0, self._points(picture, marks))
        self._session.obj_with_new_inputs = [1]
        mask, _ = self._segment(picture)
        if marks.mask is not None and not (marks.plus or marks.minus):
            return marks.mask
        if np.count_nonzero(mask) < _LEAST_PIXELS:
            raise _no_object()
        return mask

    def step(self, picture: Picture) -> Step:
        """See `Tracker`."""
        colours = shot_colours(picture)
        is_cut = is_cut_between(self._colours, colours)
        self._colours = colours
        if is_cut:
            return Step(np.zeros(picture.shape[:2], bool), 0.0, is_cut)
        self._index += 1
        return Step(*self._segment(picture))

    def _segment(self, picture: Picture) -> tuple[Mask, float]:
        """Return the mask of the present picture, and the model's probability that the object is in it."""
        import torch  # noqa: PLC0415

        with torch.inference_mode():
            found = self._model(self._session, frame_idx=self._index, frame=self._model_picture(picture))
            logits = torch.nn.functional.interpolate(
                found.pred_masks.float().reshape(1, 1, *found.pred_masks.shape[-2:]), picture.shape[:2], mode="bilinear"
            )
        self._forget()
        is_there = float(torch.sigmoid(found.object_score_logits.float().reshape(-1)[0]))
        mask: Mask = (logits[0, 0] > 0).cpu().numpy()
        return (mask if is_there > 1 / 2 else np.zeros_like(mask)), is_there

    def _forget(self) -> None:
        """Drop pictures and outputs that the model does not look at any more."""
        frames = self._session.processed_frames
        for index in [index for index in frames if index < self._index]:
            del frames[index]
        outputs = self._session.output_dict_per_obj[0]["non_cond_frame_outputs"]
        for index in [index for index in outputs if index < self._index - self._memory]:
            del outputs[index]
        for output in (*outputs.values(), *self._session.output_dict_per_obj[0]["cond_frame_outputs"].values()):
            output.pop("high_res_masks", None)

    def _model_picture(self, picture: Picture) -> Tensor:
        """Return a picture as the model takes it, float [1, 3, side, side]."""
        import torch  # noqa: PLC0415

        planes = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float() / 255
        scaled = torch.nn.functional.interpolate(
            planes, (self._side, self._side), mode="bilinear", align_corners=False, antialias=True
        )
        mean, deviation = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (_MEAN, _DEVIATION))
        return ((scaled - mean) / deviation).to(self._device)

    def _model_mask(self, mask: Mask) -> Tensor:
        import torch  # noqa: PLC0415

        planes = torch.from_numpy(mask.astype(np.float32))[None, None]
        scaled = torch.nn.functional.interpolate(
            planes, (self._side, self._side), mode="bilinear", align_corners=False, antialias=True
        )
        return (scaled >= 1 / 2).float().to(self._device)

    def _points(self, picture: Picture, marks: Marks) -> dict[str, Tensor]:
        """Return the marks as points with labels. A drawn mask that points correct is its box."""
        import torch  # noqa: PLC0415

        box = marks.box if marks.mask is None else _box_around(marks.mask)
        points = [(*point, _ON) for point in marks.plus] + [(*point, _BESIDE) for point in marks.minus]
        if box is not None:
            if box[2] <= 0 or box[3] <= 0:
                raise _no_object()
            points = [(box[0], box[1], _CORNER), (box[0] + box[2], box[1] + box[3], _OPPOSITE), *points]
        height, width = picture.shape[:2]
        places = [(x * self._side / width, y * self._side / height) for x, y, _ in points]
        labels = [label for _, _, label in points]
        return {
            "point_coords": torch.tensor(places, dtype=torch.float32, device=self._device)[None, None],
            "point_labels": torch.tensor(labels, dtype=torch.int32, device=self._device)[None, None],
        }

    @property
    def _device(self) -> torch.device:
        device: torch.device = self._model.device
        return device


def _box_around(mask: npt.NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1


def _no_object() -> UsageError:
    return UsageError(
        "The marks show no object in this picture.",
        code=Code.PROMPT_UNSUPPORTED,
        advice="Draw a box around the object, or paint it with the brush.",
    )


def _unusable(name: str, reason: str) -> UsageError:
    return UsageError(
        f"The weights of the tracker {name} cannot be used: {reason}.",
        code=Code.MODEL_UNAVAILABLE,
        advice="Download them again, or choose the tracker corners.",
    )


TRACKERS = SegmentAnythingSource()
"""The object that the entry point names."""
