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


class Catalog:
    """Asks engines on its own thread, because some read the disk to answer."""

    def __init__(self, default_model: str, engines: EngineSource) -> None:
        """Make a catalog of the engines of a source; `default_model` is for jobs that name none."""
        self.default_model = default_model
        self._source = engines
        self._engines: dict[str, Engine] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="catalog")

    def close(self) -> None:
        """Stop asking."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def facts(self, model: str) -> ModelFacts:
        """Return what is known of a model. Raises UsageError (MODEL_UNKNOWN), SeparationError (MODEL_UNAVAILABLE)."""
        return await self._ask(lambda: self._facts(model))

    async def all_facts(self) -> list[ModelFacts]:
        """Return what is known of every model. One that can't be imported is listed as unavailable."""
        return await self._ask(lambda: [self._facts_or_obstacle(model) for model in self._source.engine_ids()])

    async def ids(self) -> tuple[str, ...]:
        """Return the ids of all models, the default model first."""
        return await self._ask(self._source.engine_ids)

    async def admit(self, model: str, prompts: Iterable[EnginePrompt]) -> EngineInfo:
        """Return the model after it has checked the prompts.

        Raises:
            SeparationError: The model can't run here (MODEL_UNAVAILABLE).
            UsageError: There is no such model, or it can't take a prompt (MODEL_UNKNOWN, PROMPT_UNKNOWN,
                PROMPT_UNSUPPORTED).
        """
        return await self._ask(lambda: self._admit(model, prompts))

    async def check_texts(self, model: str, texts: Sequence[str]) -> list[CheckedText]:
        """Return how a model understands each text. Raises UsageError (MODEL_UNKNOWN), SeparationError."""
        return await self._ask(lambda: self._check_texts(model or self.default_model, texts))

    async def sounds(self, model: str) -> tuple[EngineInfo, tuple[KnownSound, ...]]:
        """Return a model and the sounds that it knows by name. Raises UsageError (MODEL_UNKNOWN), SeparationError."""
        return await self._ask(lambda: self._sounds(model or self.default_model))

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
            return ModelFacts(EngineInfo(model, model, revision="", sample_rate=None), str(error))

    def _engine(self, model: str) -> Engine:
        if model not in self._engines:
            self._engines[model] = self._source.create(model)
        return self._engines[model]

    async def _ask(self, question: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, question)
