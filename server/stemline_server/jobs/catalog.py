"""The catalog of engines: which there are, whether they can run here, and which prompts they take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from stemline.errors import Code, SeparationError, StemlineError, UsageError
from stemline_server.engines.base import Engine, EngineInfo, EnginePrompt, KnownSound, TextMatch, Vocabulary
from stemline_server.engines.registry import EngineSource

T = TypeVar("T")
_LISTING_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model and whether it can run here.

    Attributes:
        info: What it is.
        obstacle: Empty if it can run, else one sentence that says what is missing.
    """

    info: EngineInfo
    obstacle: str


@dataclass(frozen=True, slots=True)
class CheckedText:
    """How a model understands the text of a prompt: `error` is the reason why it refuses the text."""

    match: TextMatch
    error: UsageError | None = None


class PluginThreads:
    """The threads that ask plug-ins: one for those that answer, and one for each that may hang."""

    def __init__(self, name: str, may_hang: Iterable[str] = ()) -> None:
        """Make the threads, called `name`. The ids of plug-ins in `may_hang` come without variants."""
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._threads = {
            plugin: ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"{name}-{plugin}") for plugin in may_hang
        }

    def close(self) -> None:
        """Stop asking."""
        for thread in (self._thread, *self._threads.values()):
            thread.shutdown(wait=False, cancel_futures=True)

    async def ask(self, plugin_id: str, question: Callable[[], T]) -> T:
        """Return the answer of a plug-in, or of none of those that may hang. Raises what the question raises."""
        thread = self._threads.get(plugin_id.partition(".")[0], self._thread)
        return await asyncio.get_running_loop().run_in_executor(thread, question)

    async def ask_for_list(self, plugin_id: str, question: Callable[[], T], unknown: Callable[[str], T]) -> T:
        """Return the answer of a plug-in, or what `unknown` makes of a sentence where none comes in time."""
        asked = asyncio.ensure_future(self.ask(plugin_id, question))
        done, _ = await asyncio.wait((asked,), timeout=_LISTING_TIMEOUT_S)
        return asked.result() if done else unknown("Its package does not answer.")


class Catalog:
    """Asks engines on a separate thread, because some read the disk to answer.

    Engines that may hang have a thread each.
    """

    def __init__(self, default_model: str, engines: EngineSource, may_hang: Iterable[str] = ()) -> None:
        """Make a catalog of the engines of a source.

        Args:
            default_model: For jobs that name none.
            engines: The engines.
            may_hang: Names of engines that may take long to answer, or never do.
        """
        self.default_model = default_model
        self._source = engines
        self._engines: dict[str, Engine] = {}
        self._threads = PluginThreads("catalog", may_hang)

    def close(self) -> None:
        """Stop asking."""
        self._threads.close()

    async def facts(self, model: str) -> ModelFacts:
        """Return what is known of a model. Raises UsageError (MODEL_UNKNOWN), SeparationError (MODEL_UNAVAILABLE)."""
        return await self._ask(model, lambda: self._facts(model))

    async def all_facts(self) -> list[ModelFacts]:
        """Return what is known of every model. One that fails or does not answer is listed as unavailable."""
        known: dict[str, ModelFacts] = {}
        for _ in range(2):  # an answer may name variants
            missing = [model for model in await self.ids() if model not in known]
            known |= zip(missing, await asyncio.gather(*map(self._listed, missing)), strict=True)
        return [known[model] for model in await self.ids() if model in known]

    async def ids(self) -> tuple[str, ...]:
        """Return the ids of all models, the default model first."""
        return await self._ask("", self._source.engine_ids)

    async def admit(self, model: str, prompts: Iterable[EnginePrompt]) -> EngineInfo:
        """Return the model after it has checked the prompts.

        Raises:
            SeparationError: The model can't run here (MODEL_UNAVAILABLE).
            UsageError: There is no such model, or it can't take a prompt (MODEL_UNKNOWN, PROMPT_UNKNOWN,
                PROMPT_UNSUPPORTED).
        """
        return await self._ask(model, lambda: self._admit(model, prompts))

    async def check_texts(self, model: str, texts: Sequence[str]) -> list[CheckedText]:
        """Return how a model understands each text. Raises UsageError (MODEL_UNKNOWN), SeparationError."""
        model = model or self.default_model
        return await self._ask(model, lambda: self._check_texts(model, texts))

    async def sounds(self, model: str) -> tuple[EngineInfo, tuple[KnownSound, ...]]:
        """Return a model and the sounds that it knows by name. Raises UsageError (MODEL_UNKNOWN), SeparationError."""
        model = model or self.default_model
        return await self._ask(model, lambda: self._sounds(model))

    def _check_texts(self, model: str, texts: Sequence[str]) -> list[CheckedText]:
        self._admit(model, ())
        return [self._check_text(self._engine(model), text) for text in texts]

    def _check_text(self, engine: Engine, text: str) -> CheckedText:
        match = engine.match_text(text) if isinstance(engine, Vocabulary) else TextMatch("")
        try:
            engine.check(EnginePrompt(text))
        except UsageError as error:
            return CheckedText(match, error)
        return CheckedText(match)

    def _sounds(self, model: str) -> tuple[EngineInfo, tuple[KnownSound, ...]]:
        engine = self._engine(model)
        return engine.info, engine.sounds() if isinstance(engine, Vocabulary) else ()

    def _admit(self, model: str, prompts: Iterable[EnginePrompt]) -> EngineInfo:
        facts = self._facts(model)
        if facts.obstacle:
            raise SeparationError(facts.obstacle, code=Code.MODEL_UNAVAILABLE, advice="Or choose another --model.")
        for prompt in prompts:
            if prompt.mask and not facts.info.pictures:
                raise UsageError(
                    facts.info.pictures_obstacle or f"The model {model} does not take masks.",
                    code=Code.PROMPT_UNSUPPORTED,
                    advice="Name the sound, mark where it is heard, or choose another --model.",
                )
            self._engine(model).check(prompt)
        return facts.info

    def _facts(self, model: str) -> ModelFacts:
        engine = self._engine(model)
        try:
            return ModelFacts(engine.info, engine.availability())
        except StemlineError:
            raise
        except Exception as error:
            raise SeparationError(
                f"The model {model!r} failed when it was asked whether it can run: {error}.",
                code=Code.MODEL_UNAVAILABLE,
                advice="Update or remove the package that provides the model.",
            ) from error

    def _facts_or_obstacle(self, model: str) -> ModelFacts:
        try:
            return self._facts(model)
        except StemlineError as error:
            return _unknown(model, str(error))

    def _engine(self, model: str) -> Engine:
        if model not in self._engines:
            self._engines[model] = self._source.create(model)
        return self._engines[model]

    async def _listed(self, model: str) -> ModelFacts:
        """Return what is known of a model, or that it does not answer in time."""
        return await self._threads.ask_for_list(
            model, lambda: self._facts_or_obstacle(model), lambda obstacle: _unknown(model, obstacle)
        )

    async def _ask(self, model: str, question: Callable[[], T]) -> T:
        return await self._threads.ask(model, question)


def _unknown(model: str, obstacle: str) -> ModelFacts:
    return ModelFacts(EngineInfo(model, model, revision="", sample_rate=None), obstacle)
