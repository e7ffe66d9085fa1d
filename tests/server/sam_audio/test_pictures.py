"""Risks of picture prompts: wrong pictures for a frame, pictures encoded twice, a tower that stays loaded."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

import stemline
from server.harness import write_noise
from server.sam_audio.generated import SIGHTED, TOWER, ArraySource, Recorder, sounds, write_checkpoint
from stemline.client.values import JobRequest
from stemline.clips import MediaSource, SampleRange
from stemline.errors import Cancelled, Code, InputError, UsageError
from stemline.media.pictures.picture_track import PictureTrackWriter
from stemline.prompts import SamplePrompt
from stemline_server.engines.base import EnginePrompt, EngineRequest, Waveform
from stemline_server.engines.sam_audio import pictures
from stemline_server.engines.sam_audio.checkpoint import Placement, load_tower
from stemline_server.engines.sam_audio.engine import SamAudioEngine
from stemline_server.engines.sam_audio.pictures import pictures_of_frames, resized
from stemline_server.engines.sam_audio.settings import Settings
from stemline_server.engines.sam_audio.tower_sizes import TOWERS
from stemline_server.engines.sam_audio.vision_tower import VisionTower
from stemline_server.engines.sam_audio.weight_conversion import tower_conversion
from stemline_server.testing import serve_engines

Pixels = npt.NDArray[np.uint8]
CPU = Placement(torch.device("cpu"))
SIZE = 28
FRAME_S = Fraction(1, 25)


@dataclass(frozen=True)
class Pictures:
    """A `PictureSource` in memory that counts reads."""

    stored: Sequence[Pixels]
    times: Sequence[Fraction]
    shown: Sequence[int] = ()

    @property
    def size(self) -> int:
        return int(self.stored[0].shape[0])

    @property
    def pictures(self) -> int:
        return len(self.stored)

    @property
    def picture_of(self) -> npt.NDArray[np.uint32]:
        return np.array(self.shown or range(len(self.stored)), np.uint32)

    def entry_at(self, time: Fraction) -> int:
        return min(range(len(self.times)), key=lambda entry: (abs(self.times[entry] - time), entry))

    def read(self, picture: int) -> Pixels:
        return self.stored[picture]


def noise(number: int, size: int = SIZE) -> Pixels:
    return np.random.default_rng(number).integers(0, 256, (size, size, 3), dtype=np.uint8)


def every(count: int, rate: int = 25, seed: int = 0, size: int = SIZE) -> Pictures:
    """Different pictures at an even rate."""
    return Pictures([noise(seed + n, size) for n in range(count)], [Fraction(n, rate) for n in range(count)])


BLACK = Pictures([np.zeros((SIZE, SIZE, 3), np.uint8)], [Fraction(0)])


def separate(engine: SamAudioEngine, request: EngineRequest, control: Recorder | None = None) -> Waveform:
    return np.concatenate(list(engine.separate(request, control or Recorder())), axis=2)


def targets(engine: SamAudioEngine, *prompts: EnginePrompt) -> Waveform:
    return separate(engine, EngineRequest(ArraySource(sounds(1)), prompts))[:, 0]


@pytest.fixture
def towers(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[VisionTower]]:
    """References to the towers that are loaded from now on."""
    loaded: list[weakref.ref[VisionTower]] = []

    def load(folder: Path, placement: Placement) -> VisionTower:
        tower = load_tower(folder, placement)
        loaded.append(weakref.ref(tower))
        return tower

    monkeypatch.setattr(pictures, "load_tower", load)
    return loaded


@pytest.fixture
def encoded() -> Iterator[list[int]]:
    """Numbers of pictures that towers encode together from now on."""
    batches: list[int] = []

    def count(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if isinstance(module, VisionTower):
            batches.append(len(inputs[0]))

    hook = torch.nn.modules.module.register_module_forward_pre_hook(count)
    yield batches
    hook.remove()


def test_each_frame_gets_the_picture_nearest_in_time_and_the_earlier_of_two() -> None:
    stored = [noise(n) for n in range(4)]
    uneven = Pictures(stored, [Fraction(0), Fraction(2, 25), Fraction(3, 25), Fraction(1)], [3, 1, 2, 0])
    assert pictures_of_frames(uneven, 27, FRAME_S).tolist() == [3, 3, 1, *[2] * 12, *[0] * 12]
    assert pictures_of_frames(every(100, rate=100), 5, FRAME_S).tolist() == [0, 4, 8, 12, 16]
    assert pictures_of_frames(every(1), 3, FRAME_S).tolist() == [0, 0, 0]
    late = Pictures(stored[:2], [Fraction(3600), Fraction(3601)])
    assert pictures_of_frames(late, 2, FRAME_S).tolist() == [0, 0]


def test_pictures_change_the_target_and_a_black_picture_is_not_no_picture(sighted: SamAudioEngine) -> None:
    prompts = (
        EnginePrompt("dog barking"),
        EnginePrompt("dog barking", pictures=BLACK),
        EnginePrompt("dog barking", pictures=every(25)),
        EnginePrompt("dog barking", pictures=every(25, seed=50)),
        EnginePrompt("", pictures=every(25)),
        EnginePrompt("dog barking", plus=(SampleRange(9600, 24000),), pictures=every(25)),
    )
    got = targets(sighted, *prompts)
    for one in range(len(prompts)):
        for other in range(one):
            assert np.abs(got[one] - got[other]).max() > 1e-4, (one, other)


def test_a_target_does_not_depend_on_the_other_prompts_of_its_batch(sighted: SamAudioEngine) -> None:
    still = Pictures([noise(9)], [Fraction(1, 3)])
    prompts = (
        EnginePrompt("rain"),
        EnginePrompt("dog barking", pictures=every(12, rate=12)),
        EnginePrompt("", pictures=still),
        EnginePrompt("", visual=np.eye(2, 12, dtype=np.float32)),
    )
    together = targets(sighted, *prompts)
    for number, prompt in enumerate(prompts):
        np.testing.assert_allclose(together[number], targets(sighted, prompt)[0], atol=1e-4)


def test_features_made_by_the_tower_equal_given_features(sighted: SamAudioEngine, sighted_checkpoint: Path) -> None:
    source = every(25)
    with torch.inference_mode():
        features = load_tower(sighted_checkpoint, CPU)(torch.from_numpy(np.stack(source.stored))).numpy()
    sighted._loaded = replace(sighted._loaded, watermark=False)  # type: ignore[type-var]  # it is loaded
    by_pictures, by_features = targets(sighted, EnginePrompt("", pictures=source), EnginePrompt("", visual=features))
    np.testing.assert_allclose(by_pictures, by_features, atol=1e-4)


def test_equal_pictures_are_encoded_once_in_batches_and_again_by_no_later_request(
    sighted: SamAudioEngine, encoded: list[int], towers: list[weakref.ref[VisionTower]]
) -> None:
    source = every(20)
    repeated = Pictures([*source.stored, source.stored[0].copy()], [Fraction(n, 25) for n in range(21)])
    targets(sighted, EnginePrompt("", pictures=repeated), EnginePrompt("rain", pictures=source))
    assert encoded == [8, 8, 4]
    targets(sighted, EnginePrompt("thunder", pictures=source))
    assert sum(encoded) == 20
    assert len(towers) == 1


def test_the_tower_is_loaded_only_for_pictures_and_freed_afterwards(
    sighted: SamAudioEngine, towers: list[weakref.ref[VisionTower]]
) -> None:
    targets(sighted, EnginePrompt("rain"))
    assert towers == []
    targets(sighted, EnginePrompt("", pictures=every(3)))
    gc.collect()
    assert [reference() for reference in towers] == [None]


def test_the_note_says_how_many_pictures_the_model_was_shown(sighted: SamAudioEngine) -> None:
    several, still, dense = Recorder(), Recorder(), Recorder()
    for control, source in ((several, every(5, rate=4)), (still, BLACK), (dense, every(60, rate=60))):
        prompts = (EnginePrompt("dog", pictures=source),)
        separate(sighted, EngineRequest(ArraySource(sounds(1)), prompts, quality="fast"), control)
    notes = [dict(control.findings[0].notes)["pictures"] for control in (several, still, dense)]
    assert notes == ["4 per second, 5 different", "one", "25 per second, 25 different"]


def test_a_cancel_during_the_pictures_stops_and_frees_the_tower(
    sighted: SamAudioEngine, towers: list[weakref.ref[VisionTower]]
) -> None:
    request = EngineRequest(ArraySource(sounds(1)), (EnginePrompt("", pictures=every(25)),))
    control = Recorder(10, Cancelled)
    with pytest.raises(Cancelled):
        separate(sighted, request, control)
    assert control.steps[-1][0] == 10
    del request
    gc.collect()
    assert [reference() for reference in towers] == [None]


def test_progress_counts_pictures_up_to_the_total(sighted: SamAudioEngine) -> None:
    control = Recorder()
    separate(sighted, EngineRequest(ArraySource(sounds(1)), (EnginePrompt("", pictures=every(25)),)), control)
    assert control.steps[-1][0] == control.steps[-1][1] == 2 + 32 + 25
    assert dict(control.findings[0].notes)["pictures"] == "25 per second, 25 different"


class Killed(BaseException):
    """The process of the server ends."""


def test_a_killed_job_does_not_encode_its_pictures_again(
    sighted_settings: Settings, tmp_path: Path, encoded: list[int]
) -> None:
    request = EngineRequest(ArraySource(sounds(1)), (EnginePrompt("", pictures=every(25)),), scratch=tmp_path)
    first, second, undisturbed = (SamAudioEngine(settings=sighted_settings) for _ in range(3))
    with pytest.raises(Killed):
        separate(first, request, Recorder(20, Killed))  # type: ignore[arg-type]  # not an Exception, like a kill
    before = sum(encoded)
    assert 8 <= before < 25
    (stored,) = tmp_path.glob("sam_audio-pictures-*.bin")
    stored.write_bytes(stored.read_bytes() + b"half a record")
    resumed = separate(second, request)
    assert sum(encoded) == 25
    assert np.array_equal(resumed, separate(undisturbed, replace(request, scratch=None)))


def test_damaged_stored_features_are_made_again(sighted: SamAudioEngine, tmp_path: Path, encoded: list[int]) -> None:
    file = pictures.FeatureFile(tmp_path, "revision", 12)
    unit = np.eye(2, 12, dtype=np.float32)
    file.append([b"a" * 32, b"b" * 32], unit)
    file.append([b"c" * 32], np.full((1, 12), np.nan, np.float32))
    loaded = file.load()
    assert loaded.keys() == {b"a" * 32, b"b" * 32}
    assert np.array_equal(loaded[b"b" * 32], unit[1])
    assert pictures.FeatureFile(tmp_path, "other revision", 12).load() == {}


def test_out_of_memory_halves_the_batch_of_pictures(sighted: SamAudioEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = targets(sighted, EnginePrompt("", pictures=every(11)))
    forward, sizes = VisionTower.forward, []

    def small(tower: VisionTower, given: torch.Tensor) -> torch.Tensor:
        sizes.append(len(given))
        if len(given) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(tower, given)

    monkeypatch.setattr(VisionTower, "forward", small)
    sighted._loaded = None
    np.testing.assert_allclose(targets(sighted, EnginePrompt("", pictures=every(11))), expected, atol=1e-4)
    assert sizes[:3] == [8, 4, 2]


def test_pictures_of_another_size_are_resized(sighted_checkpoint: Path) -> None:
    large = every(3, size=70)
    small = replace(large, stored=[resized(torch.from_numpy(p)[None], SIZE)[0].numpy() for p in large.stored])
    encoder = pictures.PictureEncoder(sighted_checkpoint, CPU, 12)
    got = encoder.encode([(large, range(3)), (small, range(3))], lambda: None)
    assert small.size == SIZE
    for picture in range(3):
        np.testing.assert_allclose(got[0][picture], got[1][picture], atol=1e-6)


@pytest.mark.parametrize("kind", ["checkpoint.pt", "model.safetensors"])
def test_both_file_formats_give_the_same_tower_and_say_when_there_is_none(tmp_path: Path, kind: str) -> None:
    folder = write_checkpoint(tmp_path / "with", SIGHTED, kind=kind, tower=TOWER)
    features = load_tower(folder, CPU)(torch.from_numpy(noise(1))[None])
    assert features.norm().item() == pytest.approx(1)
    without = write_checkpoint(tmp_path / "lite", SIGHTED, kind=kind)
    (without / "tower.json").write_bytes((folder / "tower.json").read_bytes())
    with pytest.raises(InputError, match="checkpoint lite has no vision tower"):
        load_tower(without, CPU)


def test_a_checkpoint_without_tower_refuses_pictures_in_one_sentence(engine: SamAudioEngine) -> None:
    assert not engine.info.pictures
    with pytest.raises(UsageError) as caught:
        engine.check(EnginePrompt("dog", pictures=BLACK))
    assert caught.value.code is Code.PROMPT_UNSUPPORTED
    assert caught.value.message == engine.info.pictures_obstacle
    engine.check(EnginePrompt("dog"))


def test_an_unknown_tower_and_missing_or_surplus_tensors_are_named(tmp_path: Path, sighted_checkpoint: Path) -> None:
    state = torch.load(sighted_checkpoint / "checkpoint.pt", weights_only=True)
    folder = write_checkpoint(tmp_path / "m", SIGHTED, tower=TOWER)
    prefix = "vision_encoder.model.visual."
    damaged = {
        "transformer.resblocks.1.mlp.c_fc.bias": {k: v for k, v in state.items() if not k.endswith("1.mlp.c_fc.bias")},
        "transformer.resblocks.2.ln_1.bias": {**state, f"{prefix}transformer.resblocks.2.ln_1.bias": torch.zeros(32)},
        "proj": {**state, f"{prefix}proj": torch.zeros(32, 13)},
    }
    for key, tensors in damaged.items():
        torch.save(tensors, folder / "checkpoint.pt")
        with pytest.raises(InputError, match=prefix + key):
            load_tower(folder, CPU)
    (folder / "tower.json").unlink()
    with pytest.raises(InputError, match="PE-Tiny; this engine supports PE-Core-L14-336 only"):
        load_tower(folder, CPU)
    obstacle = SamAudioEngine(settings=Settings(model=str(folder))).info.pictures_obstacle
    assert "PE-Tiny" in obstacle


def test_the_published_tower_has_the_published_tensors(shared_data: Path) -> None:
    keys = json.loads((shared_data / "parity" / "small_keys.json").read_text())
    with torch.device("meta"):
        tower = VisionTower(TOWERS["PE-Core-L14-336"])
    used = set()
    for name, parameter in tower.named_parameters():
        rule = tower_conversion(name, tower.sizes)
        used |= set(rule.sources)
        assert rule.build([torch.empty(keys[key], device="meta") for key in rule.sources]).shape == parameter.shape
    assert used == {key for key in keys if key.startswith("vision_encoder.model.visual.")}
    assert sum(parameter.numel() for parameter in tower.parameters()) == 317_151_232


def track(path: Path, *, seed: int, rate: int) -> Path:
    with PictureTrackWriter(path, size=SIZE, ticks_per_second=rate) as writer:
        for tick in range(rate):
            writer.add(tick, noise(seed + tick))
    return path


def test_a_real_server_separates_by_pictures_and_finds_the_stem_again(
    sighted_settings: Settings, tmp_path: Path
) -> None:
    engine = SamAudioEngine(settings=sighted_settings)
    clip = write_noise(tmp_path / "clip.wav", 48_000)
    with (
        serve_engines(engine, state=tmp_path / "state") as server,
        stemline.connect(server.address, token=server.token) as client,
    ):
        media = client.ensure_media(MediaSource(str(clip)), SampleRange(0, 48_000)).name
        masks = [client.ensure_pictures(track(tmp_path / f"{seed}", seed=seed, rate=5)).name for seed in (0, 90)]
        (model,) = client.models()
        assert (model.takes_pictures, model.pictures_per_second) == (True, 4)
        prompts = [SamplePrompt("dog barking"), SamplePrompt("dog barking", mask=masks[0]), SamplePrompt(mask=masks[1])]
        jobs = client.create_jobs([JobRequest(media=media, prompt=prompt) for prompt in prompts])
        done = {job.name: job for job in client.watch([job.name for job in jobs])}
        stems = [done[job.name].stem for job in jobs]
        assert all(stems), [done[job.name].error for job in jobs]
        assert len({stem.media for stem in stems if stem}) == 3
        notes = [dict(stem.notes) for stem in stems if stem]
        assert notes[1]["pictures"] == "5 per second, 5 different"
        assert "pictures" not in notes[0]
        (again,) = client.create_jobs([JobRequest(media=media, prompt=prompts[1])])
        assert again.key == done[jobs[1].name].key
        assert again.stem == stems[1]


PEAK = """
import resource, sys
from fractions import Fraction
from pathlib import Path
import numpy as np, torch
torch.set_num_threads(1)
from stemline_server.engines.sam_audio.checkpoint import Placement
from stemline_server.engines.sam_audio.pictures import PictureEncoder

class Film:
    size = 700
    def read(self, picture):
        return np.full((self.size, self.size, 3), picture, np.uint8)

encoder = PictureEncoder(Path(sys.argv[1]), Placement(torch.device("cpu")), 12)
for count in (16, 160):
    (features,) = encoder.encode([(Film(), range(count))], lambda: None)
    assert len(features) == count
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def test_memory_does_not_grow_with_the_number_of_pictures(sighted_checkpoint: Path) -> None:
    command = [sys.executable, "-c", PEAK, str(sighted_checkpoint)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    few, many = map(int, printed.split())
    assert many - few < 40 * 700 * 700 * 3, f"{few / 1e6:.0f} MB for 16 pictures, {many / 1e6:.0f} MB for 160"
