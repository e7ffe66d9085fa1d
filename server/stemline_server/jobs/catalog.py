"""The engines as the front sees them: what they are, whether they can run here, which prompts they take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from stemline.errors import Code, SeparationError, StemlineError
from stemline_server.engines import registry
from stemline_server.engines.base import Engine, EngineInfo, EnginePrompt

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """`obstacle` is empty when the model can run here, else one sentence that says what is missing."""

    info: EngineInfo
    obstacle: str


class Catalog:
    """Asks engines on a thread of its own: some look at the disk to answer."""

    def __init__(self, default_model: str) -> None:
        self.default_model = default_model
        self._engines: dict[str, Engine] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="catalog")

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def facts(self, model: str) -> ModelFacts:
        """Raises UsageError (MODEL_UNKNOWN)."""
        return await self._ask(lambda: self._facts(model))

    async def all_facts(self) -> list[ModelFacts]:
        """One that cannot even be imported is told of like one that lacks its weights."""
        return await self._ask(lambda: [self._facts_or_obstacle(model) for model in registry.engine_ids()])

    async def admit(self, model: str, prompts: Iterable[EnginePrompt]) -> EngineInfo:
        """The model, if it can run here and takes every one of the prompts.

        Raises SeparationError (MODEL_UNAVAILABLE) and UsageError (MODEL_UNKNOWN, PROMPT_UNKNOWN, PROMPT_UNSUPPORTED).
        """
        return await self._ask(lambda: self._admit(model, prompts))

    def _admit(self, model: str, prompts: Iterable[EnginePrompt]) -> EngineInfo:
        facts = self._facts(model)
        if facts.obstacle:
            raise SeparationError(facts.obstacle, code=Code.MODEL_UNAVAILABLE, advice="Or choose another --model.")
        for prompt in prompts:
            self._engine(model).check(prompt)
        return facts.info

    def _facts(self, model: str) -> ModelFacts:
        engine = self._engine(model)
        return ModelFacts(engine.info, engine.availability())

    def _facts_or_obstacle(self, model: str) -> ModelFacts:
        try:
            return self._facts(model)
        except StemlineError as error:
            return ModelFacts(EngineInfo(model, model, revision="", sample_rate=None), str(error))

    def _engine(self, model: str) -> Engine:
        if model not in self._engines:
            self._engines[model] = registry.create(model)
        return self._engines[model]

    async def _ask(self, question: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, question)
