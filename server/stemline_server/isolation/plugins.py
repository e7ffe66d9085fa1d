"""Asks engines of other packages about themselves in a separate process for each: they may raise, hang or crash."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NoReturn

from stemline.errors import Code, SeparationError
from stemline_server.engines import registry
from stemline_server.engines.base import (
    AudioSource,
    Control,
    Engine,
    EngineInfo,
    EnginePrompt,
    EngineRequest,
    KnownSound,
    TextMatch,
    Vocabulary,
)
from stemline_server.isolation.conversation import Unwatched
from stemline_server.isolation.memory import Limits
from stemline_server.isolation.models import ModelCache
from stemline_server.isolation.process import EngineProcess
from stemline_server.isolation.work import EngineDeath, Json
from stemline_server.pipeline.task import Sink

_log = logging.getLogger(__name__)

_LONGEST_ANSWER_S = 60.0  # libraries may have to load first
_RETRY_S = 60.0  # after a package has ended its process


@dataclass(frozen=True, slots=True)
class Question:
    """A question to an engine, as work for the process of its package.

    Attributes:
        engine_id: Id of the engine.
        method: "facts", "check", "match_text" or "sounds".
        argument: The prompt to check, or the text to match.
    """

    engine_id: str
    method: str
    argument: EnginePrompt | str = ""

    @property
    def audio(self) -> Sequence[AudioSource]:
        """Return no sounds."""
        return ()

    def run(self, models: ModelCache, control: Control, sinks: Sequence[Sink]) -> Json:
        """Return the answer as JSON. Raises UsageError, SeparationError, and what the engine raises."""
        engine = _created(self.engine_id)
        if self.method == "facts":
            name = self.engine_id.partition(".")[0]
            return [asdict(engine.info), engine.availability(), list(registry.variants(name))]
        if self.method == "check" and isinstance(self.argument, EnginePrompt):
            engine.check(self.argument)
        elif isinstance(engine, Vocabulary):
            if self.method == "match_text":
                match = engine.match_text(str(self.argument))
                return [match.sound, match.note, list(match.proposals)]
            return [[sound.name, sound.kind, list(sound.phrases)] for sound in engine.sounds()]
        return None


@functools.lru_cache(maxsize=64)
def _created(engine_id: str) -> Engine:
    return registry.create(engine_id)


class PluginEngines:
    """An `EngineSource` of the built-in engines, and of those of other packages, which run elsewhere."""

    def __init__(self, folder: Path) -> None:
        """Find the installed engines. The logs of their packages go to `folder`."""
        self._folder = folder
        self.names = registry.plugin_names()
        self._packages = {name: _Package(name, folder) for name in self.names}

    def engine_ids(self) -> tuple[str, ...]:
        """Return the ids of all engines; of variants of other packages those that are known by now."""
        ids = registry.engine_ids(self.names)
        variants = {name: package.variants for name, package in self._packages.items()}
        return tuple(engine_id for name in ids for engine_id in (name, *variants.get(name, ())))

    def create(self, engine_id: str) -> Engine:
        """Create an engine. Raises UsageError (MODEL_UNKNOWN), SeparationError (MODEL_UNAVAILABLE)."""
        package = self._packages.get(engine_id.partition(".")[0])
        return registry.create(engine_id) if package is None else _PluginEngine(engine_id, package)

    def close(self) -> None:
        """End the processes."""
        for package in self._packages.values():
            package.close()


class _Package:
    """The process of the package of one engine and its variants."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.variants: tuple[str, ...] = ()
        self._folder = folder
        self._host = EngineProcess("cpu", folder, Limits(silence_s=_LONGEST_ANSWER_S), f"package-{name}")
        self._lock = threading.Lock()
        self._failed_s = -_RETRY_S

    def ask(self, question: Question) -> Any:
        """Return the answer. Raises as `Question.run`, and SeparationError (MODEL_UNAVAILABLE) where none comes."""
        with self._lock:
            if time.monotonic() - self._failed_s < _RETRY_S:
                self.refuse("ended its process or did not answer")
            try:
                return self._host.run(question, Unwatched(), (), self._folder)
            except EngineDeath as death:
                self._failed_s = time.monotonic()
                _log.error("the package of the model %r failed: %s", self.name, death)
                self.refuse("ended its process or did not answer")

    def refuse(self, why: str) -> NoReturn:
        raise SeparationError(
            f"The package of the model {self.name!r} {why}.",
            code=Code.MODEL_UNAVAILABLE,
            advice="Update or remove the package that provides the model; its log is in the server's state folder.",
        )

    def close(self) -> None:
        self._host.kill()
        self._host.close()


class _PluginEngine:
    """An engine of another package, as far as it answers questions. Jobs run in the process of the device."""

    def __init__(self, engine_id: str, package: _Package) -> None:
        self._id = engine_id
        self._package = package
        self.info = self._facts()[0]

    def availability(self) -> str:
        return self._facts()[1]

    def check(self, prompt: EnginePrompt) -> None:
        self._package.ask(Question(self._id, "check", prompt))

    def match_text(self, text: str) -> TextMatch:
        answer = self._package.ask(Question(self._id, "match_text", text))
        sound, note, proposals = answer or ("", "", ())
        return TextMatch(str(sound), str(note), tuple(map(str, proposals)))

    def sounds(self) -> tuple[KnownSound, ...]:
        answer = self._package.ask(Question(self._id, "sounds"))
        return tuple(KnownSound(str(name), str(kind), tuple(map(str, phrases))) for name, kind, phrases in answer or ())

    def load(self, device: str) -> None:
        raise NotImplementedError("the process of the device loads this engine")

    def unload(self) -> None:
        raise NotImplementedError("the process of the device loads this engine")

    def separate(self, request: EngineRequest, control: Control) -> NoReturn:
        raise NotImplementedError("the process of the device runs this engine")

    def _facts(self) -> tuple[EngineInfo, str]:
        listed, obstacle, variants = self._package.ask(Question(self._id, "facts"))
        self._package.variants = tuple(map(str, variants))
        kinds = {field.name: str(field.type) for field in fields(EngineInfo)}
        allowed: dict[str, Any] = {"str": str, "bool": bool, "int": int, "int | None": (int, type(None))}
        for name, value in listed.items():
            if name not in kinds or not isinstance(value, allowed[kinds[name]]):
                self._package.refuse(f"describes itself with {name} = {value!r}")
        return EngineInfo(**listed), str(obstacle)
