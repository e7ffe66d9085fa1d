"""Builds a Resolve from plain values, and says afterwards what is there."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

from .item import Item
from .pool import PoolItem
from .project import Project, ProjectManager, Resolve
from .signatures import signatures_of
from .strict import Handle, Referee
from .timeline import Timeline, Track


class Fake:
    """A running Resolve. `resolve()` gives the object that a script starts from."""

    def __init__(self, stubs: Path, product: str, version: tuple[int, ...]) -> None:
        self.product, self.version = product, version
        self.referee = Referee(signatures_of(stubs, version), product == "DaVinci Resolve")
        self.page = "edit"
        self.manager = ProjectManager(self)
        self.project: Project | None = None
        self._root = Resolve(self)

    def resolve(self) -> Handle:
        return Handle(self.referee, self._root)

    def reconnect(self) -> Handle:
        """A new connection, as `scriptapp` gives it."""
        self.referee.session += 1
        return self.resolve()

    @property
    def timeline(self) -> Timeline:
        assert self.project is not None
        return self.project.timelines[0]

    def happens(self, event: str) -> Any:
        """Something outside the script's hands."""
        actions = {
            "quit": lambda: setattr(self.referee, "has_quit", True),
            "hang": self.referee.hang,
            "dialog": lambda: setattr(self.referee, "dialog_is_open", True),
            "close project": lambda: setattr(self, "project", None),
            "switch timeline": self._switch,
            "delete first track": lambda: self.timeline.DeleteTrack("audio", 1),
            "append in error": self._append_in_error,
        }
        return actions[event]()

    def _switch(self) -> None:
        assert self.project is not None
        self.project.current = self.project.timelines[-1]

    def _append_in_error(self) -> None:
        assert self.project is not None
        self.project.pool.next_is_phantom = True

    def facts(self) -> dict[str, Any]:
        project = self.project
        return {
            "faults": self.referee.faults,
            "page": self.page,
            "saves": self.manager.saves,
            "timelines": [timeline.facts() for timeline in project.timelines] if project else [],
            "bins": {folder.name: [clip.path for clip in folder.clips] for folder in project.pool.root.folders}
            if project
            else {},
            "current_bin": project.pool.current.name if project else "",
        }


def build(stubs: Path, config: dict[str, Any]) -> Fake:
    """`config` as tests/hosts/resolve/harness.py makes it."""
    fake = Fake(stubs, config["product"], tuple(config["version"]))
    project = fake.project = Project(fake, config.get("project", "Film"), Fraction(config["project_rate"]))
    fake.page = config.get("page", "edit")
    media = [_media(project, facts) for facts in config["media"]]
    for facts, clip in zip(config["media"], media):
        if "inside" in facts:
            clip.inside = media[facts["inside"]]
    project.pool.root.clips += media
    for facts in config["timelines"]:
        project.timelines.append(_timeline(project, facts, media))
    project.current = project.timelines[0]
    for (method, count), event in ((tuple(key), event) for *key, event in config.get("events", [])):
        fake.referee.hooks[method, count] = lambda event=event: fake.happens(event)  # type: ignore[misc]
    fake.referee.deaf.update(config.get("deaf", {}))
    for name, value in config.get("habits", {}).items():
        owner: Any = {"pool": project.pool, "project": project, "timeline": project.timelines[0]}[name.split(".")[0]]
        setattr(owner, name.split(".")[1], value)
    return fake


def _media(project: Project, facts: dict[str, Any]) -> PoolItem:
    clip = PoolItem(
        facts["path"],
        Fraction(facts.get("rate", project.rate)),
        facts.get("kind", "Audio"),
        facts.get("start_frame", 0),
    )
    clip.mapping.update(facts.get("mapping", {}))
    clip.lower_type = project.fake.version >= (21, 1)
    return clip


def _timeline(project: Project, facts: dict[str, Any], media: list[PoolItem]) -> Timeline:
    timeline = Timeline(project, facts["name"], facts["label"], Fraction(facts["rate"]), facts["zero"])
    timeline.marks = facts.get("marks", {})
    timeline.playhead = facts.get("playhead", timeline.zero)
    named: dict[str, Item] = {}
    for kind, tracks in (("audio", timeline.audio), ("video", timeline.video)):
        for number, held in enumerate(facts.get(kind, [])):
            track = Track(held.get("kind", "mono"), held.get("name", f"{kind.capitalize()} {number + 1}"))
            track.enabled, track.locked = held.get("enabled", True), held.get("locked", False)
            tracks.append(track)
            for one in held["items"]:
                item = _item(timeline, track, one, media)
                track.items.append(item)
                named[one.get("name", item.uid)] = item
    timeline.selected = [named[name] for name in facts.get("selected", [])]
    for first, second in facts.get("linked", []):
        named[first].linked.append(named[second])
        named[second].linked.append(named[first])
    return timeline


def _item(timeline: Timeline, track: Track, facts: dict[str, Any], media: list[PoolItem]) -> Item:
    clip = media[facts["media"]] if "media" in facts else None
    item = Item(timeline, track, clip, Fraction(facts["start"]) + timeline.zero, Fraction(facts["frames"]))
    item.source = Fraction(facts.get("source", 0))
    item.kind = facts.get("kind", "clip")
    item.name = facts.get("name", item.name)
    item.enabled = facts.get("enabled", True)
    item.channels = facts.get("channels")
    speed = facts.get("speed", "1")  # None: Resolve does not tell it
    item.speed = Fraction(speed) if speed is not None else None
    return item
