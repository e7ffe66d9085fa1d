"""Asks plug-ins of other packages about themselves in a separate process for each: they may raise, hang or crash."""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import time
from collections.abc import Iterator, Sequence
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
from stemline_server.engines.registry import PluginRegistry
from stemline_server.generators import registry as generator_registry
from stemline_server.generators.base import GenerateControl, GenerateRequest, Generator, GeneratorInfo
from stemline_server.isolation.conversation import Unwatched
from stemline_server.isolation.memory import Limits
from stemline_server.isolation.models import ModelCache
from stemline_server.isolation.process import EngineProcess
from stemline_server.isolation.work import EngineDeath, Json
from stemline_server.pipeline.task import Sink
from stemline_server.taggers import registry as tagger_registry
from stemline_server.taggers.base import Progress, Tagger, TaggerInfo

_log = logging.getLogger(__name__)

_LONGEST_ANSWER_S = 60.0  # libraries may have to load first
_RETRY_S = 60.0  # after a package has ended its process


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of plug-ins.

    Attributes:
        noun: What a plug-in is called in messages.
        registry: Where they are found.
        info: The class of their descriptions.
    """

    noun: str
    registry: PluginRegistry
    info: type[EngineInfo | GeneratorInfo | TaggerInfo]


_KINDS = {
    "engine": Kind("model", registry.REGISTRY, EngineInfo),
    "generator": Kind("generator", generator_registry.REGISTRY, GeneratorInfo),
    "tagger": Kind("tagger", tagger_registry.REGISTRY, TaggerInfo),
}
_VALUES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "bool": (bool,),
    "int": (int,),
    "int | None": (int, type(None)),
    "float": (int, float),
    "Commercial": (str,),
}


@dataclass(frozen=True, slots=True)
class Question:
    """A question to a plug-in, as work for the process of its package.

    Attributes:
        kind: "engine", "generator" or "tagger".
        plugin_id: Id of the plug-in.
        method: "facts", "check", "match_text" or "sounds".
        argument: The prompt or request to check, or the text to match.
    """

    kind: str
    plugin_id: str
    method: str
    argument: EnginePrompt | GenerateRequest | str = ""

    @property
    def audio(self) -> Sequence[AudioSource]:
        """Return no sounds."""
        return ()

    def run(self, models: ModelCache, control: Control, sinks: Sequence[Sink]) -> Json:
        """Return the answer as JSON. Raises UsageError, SeparationError, and what the plug-in raises."""
        plugin = _created(self.kind, self.plugin_id)
        if self.method == "facts":
            name = self.plugin_id.partition(".")[0]
            return [asdict(plugin.info), plugin.availability(), list(_KINDS[self.kind].registry.variants(name))]
        if self.method == "check":
            plugin.check(self.argument)
        elif isinstance(plugin, Vocabulary):
            if self.method == "match_text":
                match = plugin.match_text(str(self.argument))
                return [match.sound, match.note, list(match.proposals)]
            return [[sound.name, sound.kind, list(sound.phrases)] for sound in plugin.sounds()]
        return None


@functools.lru_cache(maxsize=64)
def _created(kind: str, plugin_id: str) -> Any:
    return _KINDS[kind].registry.create(plugin_id)


class PluginSource:
    """The plug-ins of one kind: the built-in ones, and those of other packages, which run elsewhere."""

    def __init__(self, kind: str, folder: Path) -> None:
        """Find the installed plug-ins. The logs of their packages go to `folder`."""
        self._registry = _KINDS[kind].registry
        self.names = self._registry.foreign_names()
        self._packages = {name: _Package(kind, name, folder) for name in self.names}

    def ids(self) -> tuple[str, ...]:
        """Return the ids of all plug-ins; of variants of other packages those that are known by now."""
        variants = {name: package.variants for name, package in self._packages.items()}
        ids = self._registry.ids(self.names)
        return tuple(plugin_id for name in ids for plugin_id in (name, *variants.get(name, ())))

    def close(self) -> None:
        """End the processes."""
        for package in self._packages.values():
            package.close()

    def _package(self, plugin_id: str) -> _Package | None:
        return self._packages.get(plugin_id.partition(".")[0])


class PluginEngines(PluginSource):
    """An `EngineSource` whose engines of other packages run elsewhere."""

    def __init__(self, folder: Path) -> None:
        """Find the installed engines. The logs of their packages go to `folder`."""
        super().__init__("engine", folder)

    def engine_ids(self) -> tuple[str, ...]:
        """See `EngineSource`."""
        return self.ids()

    def create(self, engine_id: str) -> Engine:
        """See `EngineSource`."""
        package = self._package(engine_id)
        return registry.create(engine_id) if package is None else _PluginEngine(engine_id, package)


class PluginGenerators(PluginSource):
    """A `GeneratorSource` whose generators of other packages run elsewhere."""

    def __init__(self, folder: Path) -> None:
        """Find the installed generators. The logs of their packages go to `folder`."""
        super().__init__("generator", folder)

    def generator_ids(self) -> tuple[str, ...]:
        """See `GeneratorSource`."""
        return self.ids()

    def create(self, generator_id: str) -> Generator:
        """See `GeneratorSource`."""
        package = self._package(generator_id)
        return generator_registry.create(generator_id) if package is None else _PluginGenerator(generator_id, package)


class PluginTaggers(PluginSource):
    """A `TaggerSource` whose taggers of other packages run elsewhere."""

    def __init__(self, folder: Path) -> None:
        """Find the installed taggers. The logs of their packages go to `folder`."""
        super().__init__("tagger", folder)

    def tagger_ids(self) -> tuple[str, ...]:
        """See `TaggerSource`."""
        return self.ids()

    def create_tagger(self, tagger_id: str) -> Tagger:
        """See `TaggerSource`."""
        package = self._package(tagger_id)
        return tagger_registry.create_tagger(tagger_id) if package is None else _PluginTagger(tagger_id, package)


class _Package:
    """The process of the package of one plug-in and its variants."""

    def __init__(self, kind: str, name: str, folder: Path) -> None:
        self.kind, self.name = kind, name
        self.variants: tuple[str, ...] = ()
        self._folder = folder
        title = f"package-{name}" if kind == "engine" else f"package-{kind}-{name}"
        self._host = EngineProcess("cpu", folder, Limits(silence_s=_LONGEST_ANSWER_S), title)
        self._lock = threading.Lock()
        self._failed_s = -_RETRY_S

    def ask(self, plugin_id: str, method: str, argument: EnginePrompt | GenerateRequest | str = "") -> Any:
        """Return the answer. Raises as `Question.run`, and SeparationError (MODEL_UNAVAILABLE) where none comes."""
        with self._lock:
            if time.monotonic() - self._failed_s < _RETRY_S:
                self.refuse("ended its process or did not answer")
            question = Question(self.kind, plugin_id, method, argument)
            try:
                return self._host.run(question, Unwatched(), (), self._folder)
            except EngineDeath as death:
                self._failed_s = time.monotonic()
                _log.error("the package of the %s %r failed: %s", _KINDS[self.kind].noun, self.name, death)
                self.refuse("ended its process or did not answer")

    def refuse(self, why: str) -> NoReturn:
        noun = _KINDS[self.kind].noun
        raise SeparationError(
            f"The package of the {noun} {self.name!r} {why}.",
            code=Code.MODEL_UNAVAILABLE,
            advice=f"Update or remove the package that provides the {noun}; its log is in the server's state folder.",
        )

    @contextlib.contextmanager
    def refusing_other_forms(self) -> Iterator[None]:
        """Refuse an answer that the block cannot take apart: the process is not trusted."""
        try:
            yield
        except (TypeError, ValueError):
            self.refuse("gives answers of another form")

    def close(self) -> None:
        self._host.kill()
        self._host.close()


class _Plugin:
    """A plug-in of another package, as far as it answers questions. Jobs run in the process of the device."""

    def __init__(self, plugin_id: str, package: _Package) -> None:
        self._id = plugin_id
        self._package = package
        self.info: Any = self._facts()[0]

    def availability(self) -> str:
        return self._facts()[1]

    def load(self, device: str) -> None:
        raise NotImplementedError("the process of the device loads this model")

    def unload(self) -> None:
        raise NotImplementedError("the process of the device loads this model")

    def _facts(self) -> tuple[Any, str]:
        answer = self._package.ask(self._id, "facts")
        info = _KINDS[self._package.kind].info
        types = {field.name: str(field.type) for field in fields(info)}
        with self._package.refusing_other_forms():
            listed, obstacle, variants = answer
            self._package.variants = tuple(map(str, variants))
            for name, value in dict(listed).items():
                known = name in types and isinstance(value, _VALUES[types[name]])
                if not known or (name in ("sample_rate", "channels") and value == 0):
                    self._package.refuse(f"describes itself with {name} = {value!r}")
            return info(**listed), str(obstacle)


class _PluginEngine(_Plugin):
    def check(self, prompt: EnginePrompt) -> None:
        self._package.ask(self._id, "check", prompt)

    def match_text(self, text: str) -> TextMatch:
        answer = self._package.ask(self._id, "match_text", text)
        with self._package.refusing_other_forms():
            sound, note, proposals = answer or ("", "", ())
            return TextMatch(str(sound), str(note), tuple(map(str, proposals)))

    def sounds(self) -> tuple[KnownSound, ...]:
        answer = self._package.ask(self._id, "sounds")
        with self._package.refusing_other_forms():
            return tuple(
                KnownSound(str(name), str(kind), tuple(map(str, phrases))) for name, kind, phrases in answer or ()
            )

    def separate(self, request: EngineRequest, control: Control) -> NoReturn:
        raise NotImplementedError("the process of the device runs this engine")


class _PluginGenerator(_Plugin):
    def check(self, request: GenerateRequest) -> None:
        self._package.ask(self._id, "check", request)

    def generate(self, request: GenerateRequest, control: GenerateControl) -> NoReturn:
        raise NotImplementedError("the process of the device runs this generator")


class _PluginTagger(_Plugin):
    def tag(self, audio: AudioSource, progress: Progress) -> NoReturn:
        raise NotImplementedError("the process of the taggers runs this tagger")
