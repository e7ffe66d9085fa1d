"""Runs: from the clips of a host and a list of stems to finished stem tracks."""

from stemline.workflow.outputs import EditNamer, FileNamer
from stemline.workflow.prepare import Prepared, Wanted, prepare
from stemline.workflow.progress import Hooks
from stemline.workflow.results import ClipOutcome, ClipPlace, Failure, Notice, Null, Progress, RunResult, StemOutcome
from stemline.workflow.run import run_prepared
from stemline.workflow.settings import RunSettings, Settings

__all__ = [
    "ClipOutcome",
    "ClipPlace",
    "EditNamer",
    "Failure",
    "FileNamer",
    "Hooks",
    "Notice",
    "Null",
    "Prepared",
    "Progress",
    "RunResult",
    "RunSettings",
    "Settings",
    "StemOutcome",
    "Wanted",
    "prepare",
    "run_prepared",
]
