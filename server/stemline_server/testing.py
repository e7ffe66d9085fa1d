"""Help for tests of engines and clients: an engine from a function, and a server in this process that runs it."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stemline.clips import SampleRange
from stemline.errors import Code, SeparationError, UsageError
from stemline_server.app import running
from stemline_server.config import ServerConfig
from stemline_server.engines import registry
from stemline_server.engines.base import (
    AudioSource,
    Control,
    Engine,
    EngineInfo,
    EnginePrompt,
    EngineRequest,
    Finding,
    Waveform,
)
from stemline_server.engines.noop import NoopEngine
from stemline_server.engines.registry import EngineSource
from stemline_server.generators import registry as generator_registry
from stemline_server.generators.base import Generator
from stemline_server.generators.registry import GeneratorSource
from stemline_server.server import Plugins
from stemline_server.store.folder import StateFolder
from stemline_server.taggers import registry as tagger_registry
from stemline_server.taggers.base import SoundTag, TaggedSpan, Tagger, TaggerInfo
from stemline_server.taggers.registry import TaggerSource

__all__ = [
    "FunctionEngine",
    "FunctionTagger",
    "LocalServer",
    "NoopEngine",
    "SampleRange",
    "SoundTag",
    "TaggedSpan",
    "TaggerList",
    "serve_engines",
]

_START_TIMEOUT_S = 60.0

SeparateFunction = Callable[[Waveform, int, EnginePrompt], Waveform]
"""From the mix [channels, samples], its sample rate in Hz and a prompt to the target, of the shape of the mix."""

TagFunction = Callable[[npt.NDArray[np.float32], int], Sequence[SoundTag]]
"""From the mix, [samples], and its sample rate in Hz to the sounds in it."""


class FunctionEngine:
    """An engine that calls a function from numpy to numpy, once for each prompt.

    The function gets the whole mix at once, so memory use grows with the length of the media.

    Example:
        >>> import tempfile
        >>> import stemline
        >>> engine = FunctionEngine(lambda mix, rate, prompt: 0.5 * mix)
        >>> with tempfile.TemporaryDirectory() as folder, serve_engines(engine, state=Path(folder)) as server:
        ...     with stemline.connect(server.address, token=server.token) as client:
        ...         [model.id for model in client.models()]
        ['function']
    """

    def __init__(
        self,
        function: SeparateFunction,
        *,
        id: str = "function",
        sample_rate: int | None = None,
        pictures: bool = False,
        cell_s: int = 0,
        context_s: int = 1,
    ) -> None:
        """Wrap `function`.

        Args:
            function: Called with the mix, its sample rate and a prompt; returns the target.
            id: Name by which the engine is chosen.
            sample_rate: Rate at which the function wants the mix; None for the rate of the media.
            pictures: Whether prompts may have a picture track, which the function finds in `prompt.pictures`.
            cell_s: Length of the cells into which longer sound is cut; 0 for none.
            context_s: Seconds around a cell that the function gets, too.
        """
        self._function = function
        self.info = EngineInfo(
            id=id,
            title=f"The function {getattr(function, '__name__', 'of a test')}",
            revision=f"{id}-1",
            sample_rate=sample_rate,
            multichannel=True,
            spans=True,
            free_text=True,
            pictures=pictures,
            cell_s=cell_s,
            context_s=context_s,
        )

    def availability(self) -> str:
        """Return that nothing is missing."""
        return ""

    def check(self, prompt: EnginePrompt) -> None:
        """Accept every prompt."""

    def load(self, device: str) -> None:
        """Load nothing."""

    def unload(self) -> None:
        """Unload nothing."""

    def separate(self, request: EngineRequest, control: Control) -> Iterator[Waveform]:
        """Yield the targets of all prompts as one block. Raises SeparationError for a target of another shape."""
        audio = request.audio
        mix = audio.read(0, audio.length_samples)
        targets = []
        for number, prompt in enumerate(request.prompts):
            control.step(number, len(request.prompts))
            target = np.asarray(self._function(mix.copy(), audio.sample_rate, prompt), np.float32)
            if target.shape != mix.shape:
                raise SeparationError(
                    f"The function gave {target.shape} for a mix of {mix.shape}.",
                    advice="Return one array like the mix.",
                )
            targets.append(target)
            control.find(number, Finding(found=bool(target.any()), confidence=1.0, matched=prompt.text))
        yield np.stack(targets)


@dataclass(frozen=True, slots=True)
class LocalServer:
    """A server in this process, for `stemline.connect(address, token=token)`.

    Attributes:
        address: HOST:PORT where it listens.
        token: What its callers must show.
    """

    address: str
    token: str


class FunctionTagger:
    """A tagger that calls a function with the whole mix, [samples], and its sample rate in Hz.

    Example:
        >>> import tempfile
        >>> import stemline
        >>> music = SoundTag("music", (TaggedSpan(SampleRange(0, 24_000), 0.9),))
        >>> tagger = FunctionTagger(lambda mix, rate: [music])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with serve_engines(NoopEngine(), state=Path(folder), taggers=[tagger]) as server:
        ...         with stemline.connect(server.address, token=server.token) as client:
        ...             [tagger.id for tagger in client.taggers()]
        ['function']
    """

    def __init__(self, function: TagFunction, *, id: str = "function", sample_rate: int | None = None) -> None:
        """Wrap `function`; `sample_rate` is the rate at which it wants the mix, None for that of the media."""
        self._function = function
        self.info = TaggerInfo(id=id, title="A function", revision=f"{id}-1", sample_rate=sample_rate)

    def availability(self) -> str:
        """Return that nothing is missing."""
        return ""

    def unload(self) -> None:
        """Unload nothing."""

    def tag(self, audio: AudioSource, progress: Callable[[int, int], None]) -> tuple[SoundTag, ...]:
        """Return what the function returns. Raises Cancelled."""
        progress(0, audio.length_samples)
        return tuple(self._function(audio.read(0, audio.length_samples)[0].copy(), audio.sample_rate))


@contextlib.contextmanager
def serve_engines(
    *engines: Engine, state: Path, generators: Sequence[Generator] = (), taggers: Sequence[Tagger] | None = None
) -> Iterator[LocalServer]:
    """Run a server with these engines in a thread of this process, for as long as the block runs.

    Args:
        engines: What it can run; the first is its default model. Each thread of the server works with a copy.
        state: Folder of its job table and store.
        generators: What it can make sound with from words; the first is its default. The installed ones if empty.
        taggers: Its taggers, the default first; None for the installed ones.
    """
    source = _EngineList(engines)
    generator_source = _GeneratorList(generators) if generators else generator_registry
    config = ServerConfig(state, private=True, media_roots=None, devices=("cpu",), model=engines[0].info.id)
    tagger_source = tagger_registry if taggers is None else TaggerList(taggers)
    with serve_in_thread(config, source, generator_source, tagger_source) as server:
        yield server


@contextlib.contextmanager
def serve_in_thread(
    config: ServerConfig,
    engines: EngineSource = registry,
    generators: GeneratorSource = generator_registry,
    taggers: TaggerSource = tagger_registry,
) -> Iterator[LocalServer]:
    """Run a server of this process, for as long as the block runs."""
    folder = StateFolder(config.state)
    folder.make()
    loop = asyncio.new_event_loop()
    ready, stop = threading.Event(), asyncio.Event()
    addresses: list[str] = []

    async def serve() -> None:
        async with running(config, folder, plugins=Plugins(engines, generators, taggers)) as server:
            addresses.append(server.address)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), name="stemline-test-server")
    thread.start()
    try:
        if not ready.wait(_START_TIMEOUT_S):
            raise TimeoutError("the server did not start")
        yield LocalServer(addresses[0], folder.token.read_text(encoding="ascii"))
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


class TaggerList:
    """Taggers that a test has made, in place of the installed ones."""

    def __init__(self, taggers: Sequence[Tagger]) -> None:
        """Offer these taggers, the default first."""
        self._taggers = {tagger.info.id: tagger for tagger in taggers}

    def tagger_ids(self) -> tuple[str, ...]:
        """Return the ids of the taggers."""
        return tuple(self._taggers)

    def create_tagger(self, tagger_id: str) -> Tagger:
        """Return a tagger. Raises UsageError (MODEL_UNKNOWN)."""
        if tagger_id not in self._taggers:
            raise UsageError(f"There is no tagger {tagger_id!r}.", code=Code.MODEL_UNKNOWN)
        return self._taggers[tagger_id]


class _EngineList:
    """Engines that a test has made, in place of the installed ones."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._engines = {engine.info.id: engine for engine in engines}

    def engine_ids(self) -> tuple[str, ...]:
        return tuple(self._engines)

    def create(self, engine_id: str) -> Engine:
        if engine_id not in self._engines:
            raise UsageError(f"There is no model {engine_id!r}.", code=Code.MODEL_UNKNOWN)
        return copy.copy(self._engines[engine_id])


class _GeneratorList:
    """Generators that a test has made, in place of the installed ones."""

    def __init__(self, generators: Sequence[Generator]) -> None:
        self._generators = {generator.info.id: generator for generator in generators}

    def generator_ids(self) -> tuple[str, ...]:
        return tuple(self._generators)

    def create(self, generator_id: str) -> Generator:
        if generator_id not in self._generators:
            raise UsageError(f"There is no generator {generator_id!r}.", code=Code.MODEL_UNKNOWN)
        return copy.copy(self._generators[generator_id])
