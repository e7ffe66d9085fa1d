"""The trackers of this installation: `corners`, and those that the entry-point group `stemline.trackers` names."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Protocol, cast

from stemline.errors import Code, UsageError
from stemline.extras import install_command
from stemline.media.pictures.tracking import Tracker

CORNERS = "corners"
"""Id of the tracker that needs no weights."""

_GROUP = "stemline.trackers"


@dataclass(frozen=True, slots=True)
class TrackerInfo:
    """A tracker of this installation.

    Attributes:
        id: By which `--tracker` and `Settings.tracker` choose it.
        title: One line about it.
        available: Whether it can run.
        note: What is missing where it cannot.
        licence: Licence of its weights; empty for none.
        revision: Changes with its weights and its method; empty where it cannot run.
    """

    id: str
    title: str
    available: bool
    note: str = ""
    licence: str = ""
    revision: str = ""


class TrackerSource(Protocol):
    """Trackers of one kind: what an entry point of the group `stemline.trackers` names."""

    def infos(self) -> tuple[TrackerInfo, ...]:
        """Return the trackers of this kind. Imports no model runtime, so that lists are quick."""
        ...

    def create(self, tracker_id: str) -> Tracker:
        """Load a tracker. Raises UsageError (MODEL_UNAVAILABLE) where its weights cannot be used."""
        ...


def list_trackers() -> tuple[TrackerInfo, ...]:
    """Return the trackers of this installation: `corners` first, then those of other packages and of your weights.

    Examples:
        >>> import stemline
        >>> stemline.list_trackers()[0].id
        'corners'
    """
    return (_corners_info(), *(info for _, infos in _sources() for info in infos))


def find_tracker(tracker_id: str) -> TrackerInfo:
    """Return the tracker with an id; empty for `corners`.

    Raises:
        UsageError: There is none (MODEL_UNKNOWN), or it cannot run (PROMPT_UNSUPPORTED, MODEL_UNAVAILABLE).
    """
    known = {info.id: info for info in list_trackers()}
    info = known.get(tracker_id or CORNERS)
    if info is None:
        raise UsageError(
            f"There is no tracker {tracker_id[:80]!r}.",
            code=Code.MODEL_UNKNOWN,
            advice=f"Choose one of: {', '.join(known)}.",
        )
    if not info.available and info.id == CORNERS:
        raise UsageError(
            "Following an object in the picture needs OpenCV.",
            code=Code.PROMPT_UNSUPPORTED,
            advice=f"Run: {install_command('picture')}",
        )
    if not info.available:
        raise UsageError(f"The tracker {info.id} cannot run here.", code=Code.MODEL_UNAVAILABLE, advice=info.note)
    return info


def create_tracker(tracker_id: str) -> Tracker:
    """Return a new tracker with an id; empty for `corners`. Raises UsageError as `find_tracker`."""
    info = find_tracker(tracker_id)
    if info.id == CORNERS:
        from stemline.media.pictures.corner_tracker import CornerTracker  # noqa: PLC0415 - an optional package

        return CornerTracker()
    return next(source.create(info.id) for source, infos in _sources() if info in infos)


def _corners_info() -> TrackerInfo:
    title = "Follows corners inside the object; needs no weights"
    if importlib.util.find_spec("cv2") is None:
        return TrackerInfo(CORNERS, title, available=False, note=f"Run: {install_command('picture')}")
    return TrackerInfo(CORNERS, title, available=True, revision="1")


def _sources() -> Iterator[tuple[TrackerSource, tuple[TrackerInfo, ...]]]:
    """Yield what each entry point names, with its trackers."""
    for entry in sorted(entry_points(group=_GROUP), key=lambda entry: entry.name):
        try:
            source = cast(TrackerSource, entry.load())
            infos = tuple(source.infos())
        except Exception as error:  # noqa: BLE001 - code of other packages may raise anything
            source = _BrokenSource(entry.name, f"{type(error).__name__}: {error}")
            infos = source.infos()
        yield source, infos


@dataclass(frozen=True, slots=True)
class _BrokenSource:
    """A tracker whose package does not load or cannot list what it has."""

    name: str
    reason: str

    def infos(self) -> tuple[TrackerInfo, ...]:
        """See `TrackerSource`."""
        return (TrackerInfo(self.name, "does not load", available=False, note=self.reason),)

    def create(self, tracker_id: str) -> Tracker:
        """See `TrackerSource`."""
        raise UsageError(f"The tracker {tracker_id} does not load.", code=Code.MODEL_UNAVAILABLE, advice=self.reason)
