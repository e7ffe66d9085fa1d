"""Resolve itself, the project manager, the project and its render queue."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .pool import MediaPool
from .sound import mixed, write_wav
from .timeline import Timeline

if TYPE_CHECKING:
    from .world import Fake


class Resolve:
    KIND = "Resolve"

    def __init__(self, fake: Fake) -> None:
        self.fake = fake

    def GetProductName(self) -> str:
        return self.fake.product

    def GetVersion(self) -> list[Any]:
        return [*self.fake.version, 7, ""]

    def GetVersionString(self) -> str:
        return ".".join(map(str, [*self.fake.version, 7]))

    def GetProjectManager(self) -> ProjectManager:
        return self.fake.manager

    def GetCurrentPage(self) -> str:
        return self.fake.page

    def OpenPage(self, page: str) -> bool:
        """The Deliver page sets the marks to the whole timeline."""
        self.fake.page = page
        project = self.fake.project
        if page == "deliver" and project is not None and project.current is not None:
            project.current.SetMarkInOut(0, project.current.GetEndFrame() - project.current.zero)
        return True


class ProjectManager:
    KIND = "ProjectManager"

    def __init__(self, fake: Fake) -> None:
        self.fake = fake
        self.saves = 0
        self.on_save: Callable[[], None] = lambda: None

    def GetCurrentProject(self) -> Project | None:
        return self.fake.project

    def SaveProject(self) -> bool:
        """Quirk 17: what was appended in error is gone now."""
        self.saves += 1
        assert self.fake.project is not None
        if self.fake.project.name == "Untitled Project":
            self.fake.referee.hang()
        for timeline in self.fake.project.timelines:
            for track in timeline.audio:
                track.items = [item for item in track.items if not item.phantom]
        self.on_save()
        return True


class Project:
    KIND = "Project"

    def __init__(self, fake: Fake, name: str, rate: Fraction) -> None:
        self.fake, self.name, self.rate = fake, name, rate
        self.pool = MediaPool(self)
        self.timelines: list[Timeline] = []
        self.current: Timeline | None = None
        self.presets: dict[str, dict[str, Any]] = {"Audio Only": {"ExportVideo": False}}
        self.settings: dict[str, Any] = {"of the user": True}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.polls_left = 0
        self.mark_out_is_exclusive = False
        self.loses_a_frame = False

    def GetName(self) -> str:
        return self.name

    def GetUniqueId(self) -> str:
        return f"project-{self.name}"

    def GetMediaPool(self) -> MediaPool:
        return self.pool

    def GetCurrentTimeline(self) -> Timeline | None:
        return self.current

    def SetCurrentTimeline(self, timeline: Timeline) -> bool:
        self.current = timeline
        return True

    def GetTimelineCount(self) -> int:
        return len(self.timelines)

    def GetTimelineByIndex(self, number: int) -> Timeline | None:
        return self.timelines[number - 1] if 1 <= number <= len(self.timelines) else None

    # -- rendering -----------------------------------------------------------------------------------------------------

    def SaveAsNewRenderPreset(self, name: str) -> bool:
        if name in self.presets:
            return False
        self.presets[name] = dict(self.settings)
        return True

    def LoadRenderPreset(self, name: str) -> bool:
        if name not in self.presets:
            return False
        self.settings = dict(self.presets[name])
        return True

    def DeleteRenderPreset(self, name: str) -> bool:
        return self.presets.pop(name, None) is not None

    def SetRenderSettings(self, settings: dict[str, Any]) -> bool:
        """Elsewhere than on the Deliver page nothing is set."""
        if self.fake.page != "deliver":
            return False
        self.settings.update(settings)
        return True

    def AddRenderJob(self) -> str:
        job = f"job-{len(self.jobs) + 1}"
        self.jobs[job] = dict(self.settings)
        return job

    def StartRendering(self, job: str) -> bool:
        """One poll later the file is there."""
        settings, timeline = self.jobs[job], self.current
        assert timeline is not None
        last = settings["MarkOut"] + (0 if self.mark_out_is_exclusive else 1)
        sound = mixed(timeline, Fraction(settings["MarkIn"]), Fraction(last), settings["AudioSampleRate"])
        write_wav(Path(settings["TargetDir"]) / f"{settings['CustomName']}.wav", settings["AudioSampleRate"], sound)
        self.polls_left = 2
        return True

    def IsRenderingInProgress(self) -> bool:
        self.polls_left -= 1
        return self.polls_left >= 0

    def GetRenderJobStatus(self, job: str) -> dict[str, Any]:
        return {"JobStatus": "Complete", "CompletionPercentage": 100} if job in self.jobs else {}

    def GetRenderJobList(self) -> list[dict[str, Any]]:
        return []  # it lags

    def DeleteRenderJob(self, job: str) -> bool:
        return self.jobs.pop(job, None) is not None

    def StopRendering(self) -> None:
        self.polls_left = 0
