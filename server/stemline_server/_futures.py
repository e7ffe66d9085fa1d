"""Waits in the event loop for futures of other threads."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


async def result_of(future: Future[T]) -> T:
    """Wait for a future while the event loop goes on. A caller that leaves does not cancel the work."""
    return await asyncio.shield(asyncio.wrap_future(future))
