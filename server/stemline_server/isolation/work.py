"""Define the contract between a worker of the server and the place where its engines run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from stemline.errors import Code, StemlineError
from stemline_server.engines.base import AudioSource, Control
from stemline_server.isolation.memory import Limits
from stemline_server.isolation.models import ModelCache
from stemline_server.pipeline.task import Sink

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


class Work(Protocol):
    """One piece of work for an engine, whatever its kind.

    It is pickled to reach the engine's process. The sounds in `audio` stay in the server: wherever they occur in the
    work, the engine's process gets an `AudioSource` that reads from them.
    """

    @property
    def audio(self) -> Sequence[AudioSource]:
        """Return the sounds that the work reads."""
        ...

    def run(self, models: ModelCache, control: Control, sinks: Sequence[Sink]) -> Json:
        """Do the work.

        Args:
            models: Gives loaded models by id.
            control: Receives progress, warnings and findings. Its `step` raises Cancelled.
            sinks: Take the sound that the work makes.

        Returns:
            Whatever else the work finds out, as JSON.

        Raises:
            Cancelled: The job was cancelled.
            StemlineError: The work failed.
        """
        ...


class StoppableControl(Control, Protocol):
    """A control that says whether the work is to end, without a step of the engine."""

    @property
    def is_stopped(self) -> bool:
        """Return whether the next step raises Cancelled."""
        ...


class EngineHost(Protocol):
    """The place where the engines of one device run. One thread uses it; `kill` may be called from any."""

    @property
    def loaded(self) -> tuple[str, ...]:
        """Return the ids of the loaded models, the last used at the end."""
        ...

    @property
    def restart_wait_s(self) -> float:
        """Return how long to wait before the next work: longer after each death in a row."""
        ...

    def start(self) -> None:
        """Prepare for the first work. Does not wait."""
        ...

    limits: Limits
    """What the process of the engines may use; a change holds from the next work on."""

    @property
    def device_bytes(self) -> int:
        """Return the memory of the device that the models used after the last work; on a processor, main memory."""
        ...

    @property
    def memory_bytes(self) -> int:
        """Return the resident memory of the process of the engines; 0 where there is none."""
        ...

    @property
    def progress_age_s(self) -> float:
        """Return the seconds since the engine last reported anything; 0 where it has no work or that is not known."""
        ...

    def run(self, work: Work, control: StoppableControl, sinks: Sequence[Sink], scratch: Path) -> Json:
        """Do the work, which may store its state in the folder `scratch`. Raises as `Work.run`, and EngineDeath."""
        ...

    def load(self, model: str) -> None:
        """Load a model. Raises StemlineError, EngineDeath."""
        ...

    def unload(self, model: str) -> None:
        """Unload a model, if it is loaded. Raises EngineDeath."""
        ...

    def kill(self) -> None:
        """End what runs, in the middle of a step where that is possible. The work raises Cancelled."""
        ...

    def close(self) -> None:
        """End the process of the engines, if there is one."""
        ...


class EngineDeath(Exception):
    """The process of an engine ended in the middle of work.

    Attributes:
        explained: Whether the process ended by what it did, not by a kill from outside.
        error: The error of a job that is not tried again.
    """

    def __init__(self, error: StemlineError, *, explained: bool) -> None:
        """Describe a death."""
        super().__init__(error.message)
        self.error = error
        self.explained = explained


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an engine's library ran out of memory: torch, CuPy and JAX have no class in common."""
    return isinstance(error, MemoryError) or any(base.__name__ == "OutOfMemoryError" for base in type(error).__mro__)


def out_of_memory() -> StemlineError:
    """Return the error of a job that needed more memory than there is."""
    return StemlineError(
        "The server ran out of memory.",
        code=Code.DEVICE_OUT_OF_MEMORY,
        advice="Close other programs, or separate a shorter range.",
    )


def poisoned(end: str) -> StemlineError:
    """Return the error of a job whose work ended its process; `end` says how."""
    return StemlineError(
        f"The model's process {end} while it worked on this job.",
        code=Code.POISONED_INPUT,
        advice="Look into server.log, and try another model or a shorter range; creating the job again retries it.",
    )
