"""The tracker follows a marked object through a shot, and claims nothing where the object is not to be seen."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("cv2")

from core.media.tracked_clips import HEIGHT, WIDTH, TrackedClip, make_clip, overlap, steps
from stemline.errors import UsageError
from stemline.media.pictures.corner_tracker import CornerTracker, first_mask
from stemline.media.pictures.trackers import TrackerInfo, list_trackers
from stemline.media.pictures.tracking import DOUBTFUL, Marks


@cache
def clip_of(kind: str) -> TrackedClip:
    return make_clip(kind, seed=0)


def mean_overlap(clip: TrackedClip) -> float:
    tracker = CornerTracker()
    overlaps = [overlap(tracker.start(clip.pictures[0], Marks(box=clip.box())), clip.masks[0])]
    overlaps += [overlap(tracker.step(picture).mask, mask) for picture, mask in steps(clip)]
    return float(np.mean(overlaps))


@pytest.mark.parametrize(("kind", "least"), [("moving", 0.90), ("fast", 0.90), ("occluded", 0.90), ("nonrigid", 0.85)])
def test_a_box_is_followed_for_five_seconds(kind: str, least: float) -> None:
    assert mean_overlap(clip_of(kind)) >= least


def test_at_a_cut_the_mask_ends_with_the_first_picture_of_the_next_shot() -> None:
    clip = make_clip("cut", seed=0, seconds=2)
    tracker = CornerTracker()
    tracker.start(clip.pictures[0], Marks(box=clip.box()))
    taken = [tracker.step(picture) for picture in clip.pictures[1:]]
    assert [step.is_cut for step in taken].index(True) == len(taken) // 2
    assert all(step.mask.any() == bool(true.any()) for step, true in zip(taken, clip.masks[1:], strict=True))


def test_an_object_that_leaves_the_picture_leaves_no_mask_behind() -> None:
    clip = clip_of("moving")
    tracker = CornerTracker()
    tracker.start(clip.pictures[0], Marks(box=clip.box()))
    away = clip.pictures[1].copy()
    x, y, width, height = clip.box(1)
    away[y : y + height, x : x + width] = np.roll(away, height + 40, axis=0)[y : y + height, x : x + width]
    for _ in range(3):
        step = tracker.step(away)
    assert np.count_nonzero(step.mask) < np.count_nonzero(clip.masks[1]) / 5
    assert step.confidence < DOUBTFUL


def square_at(place: tuple[int, int] | None, side: int = 60) -> np.ndarray:
    """A bright, textured square over a dark, textured ground; None: the ground alone."""
    random = np.random.default_rng(1)
    picture = random.integers(20, 70, (180, 320, 3), dtype=np.uint8)
    texture = np.kron(
        random.integers(120, 255, (10, 10, 3), dtype=np.uint8), np.ones((side // 10,) * 2 + (1,), np.uint8)
    )
    if place is not None:
        x, y = place
        picture[y : y + side, x : x + side] = texture[:, : 320 - x]
    return picture


@pytest.mark.parametrize("back", [(200, 60), (20, 100)])
def test_an_object_that_comes_back_is_claimed_again_and_where_it_is_away_it_is_flagged(back: tuple[int, int]) -> None:
    tracker = CornerTracker()
    tracker.start(square_at((200, 60)), Marks(box=(196, 56, 68, 68)))
    for x in range(208, 312, 8):
        tracker.step(square_at((x, 60)))
    away = [tracker.step(square_at(None)) for _ in range(5)]
    assert all(step.confidence < DOUBTFUL and not step.mask.any() for step in away)
    for shift in range(0, 40, 4):
        x, y = back[0] + shift, back[1]
        step = tracker.step(square_at((x, y)))
        true = np.zeros((180, 320), bool)
        true[y : y + 60, x : x + 60] = True
        assert step.confidence >= DOUBTFUL
        assert overlap(step.mask, true) > 0.9


def test_an_object_that_comes_back_too_changed_to_be_found_is_flagged_in_each_picture() -> None:
    tracker = CornerTracker()
    tracker.start(square_at((100, 60)), Marks(box=(96, 56, 68, 68)))
    tracker.step(square_at(None))
    back = [tracker.step(square_at((20 + 4 * number, 20), side=120)) for number in range(8)]
    assert all(step.confidence < DOUBTFUL and not step.mask.any() for step in back)


def test_the_pictures_may_be_given_backwards() -> None:
    clip = clip_of("moving")
    tracker = CornerTracker()
    tracker.start(clip.pictures[40], Marks(box=clip.box(40)))
    overlaps = [overlap(tracker.step(clip.pictures[number]).mask, clip.masks[number]) for number in range(39, -1, -1)]
    assert float(np.mean(overlaps)) >= 0.90


def test_a_drawn_mask_is_taken_as_drawn_and_points_correct_it() -> None:
    clip = clip_of("moving")
    true, picture = clip.masks[0], clip.pictures[0]
    assert np.array_equal(first_mask(picture, Marks(mask=true)), true)
    too_large = true | np.roll(true, 50, axis=1)
    outside = np.argwhere(too_large & ~true)
    y, x = outside[np.argmax(outside[:, 1])]
    corrected = first_mask(picture, Marks(mask=too_large, minus=((int(x) - 8, int(y)),)))
    assert overlap(corrected, true) > overlap(too_large, true)


def test_a_click_finds_the_object() -> None:
    clip = clip_of("moving")
    y, x = np.argwhere(clip.masks[0]).mean(axis=0).astype(int)
    assert overlap(first_mask(clip.pictures[0], Marks(plus=((int(x), int(y)),))), clip.masks[0]) > 0.7


def test_the_same_clip_gives_the_same_masks() -> None:
    clip = clip_of("fast")
    assert mean_overlap(TrackedClip(clip.pictures[:30], clip.masks[:30])) == mean_overlap(
        TrackedClip(clip.pictures[:30], clip.masks[:30])
    )


@pytest.mark.parametrize("marks", [Marks(), Marks(box=(5, 5, 0, 0)), Marks(mask=np.zeros((HEIGHT, WIDTH), bool))])
def test_marks_that_show_nothing_are_refused_in_one_sentence(marks: Marks) -> None:
    with pytest.raises(UsageError, match="show no object"):
        CornerTracker().start(clip_of("moving").pictures[0], marks)


def test_flat_and_tiny_pictures_lose_the_object_and_raise_nothing() -> None:
    flat = np.full((90, 160, 3), 128, np.uint8)
    mask = np.zeros((90, 160), bool)
    mask[20:60, 20:60] = True
    tracker = CornerTracker()
    tracker.start(flat, Marks(mask=mask))
    assert tracker.step(flat).confidence < DOUBTFUL


class _Raises:
    """A package whose list of trackers raises."""

    def infos(self) -> tuple[TrackerInfo, ...]:
        raise RuntimeError("no licence server")


def test_a_package_that_cannot_list_its_trackers_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = SimpleNamespace(name="theirs", load=_Raises)
    monkeypatch.setattr("stemline.media.pictures.trackers.entry_points", lambda group: [entry])
    first, theirs = list_trackers()
    assert first.id == "corners"
    assert (theirs.id, theirs.available, theirs.note) == ("theirs", False, "RuntimeError: no licence server")
