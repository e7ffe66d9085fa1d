"""VocabularyService: the sounds that models know by name, and how they understand prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stemline.errors import InputError
from stemline.prompts import MAX_TEXT_CHARACTERS
from stemline.v1 import vocabulary_pb2 as pb
from stemline.v1 import vocabulary_pb2_grpc
from stemline_server.jobs.catalog import Catalog, CheckedText

if TYPE_CHECKING:
    from grpc.aio import ServicerContext

    Context = ServicerContext[object, object]

_MAX_TEXTS = 64


class VocabularyService(vocabulary_pb2_grpc.VocabularyServiceServicer):
    """Asks the engines of the catalog, which answer without their weights."""

    def __init__(self, catalog: Catalog) -> None:
        """Serve the models of `catalog`."""
        self._catalog = catalog

    async def CheckPrompts(self, request: pb.CheckPromptsRequest, context: Context) -> pb.CheckPromptsResponse:
        """Return how a model understands each text. Raises InputError, UsageError, SeparationError."""
        if len(request.texts) > _MAX_TEXTS or any(len(text) > MAX_TEXT_CHARACTERS for text in request.texts):
            raise InputError(
                f"A check takes up to {_MAX_TEXTS} texts of up to {MAX_TEXT_CHARACTERS} characters.",
                advice="Send several requests.",
            )
        checked = await self._catalog.check_texts(_id(request.model), tuple(request.texts))
        return pb.CheckPromptsResponse(checks=map(_message, request.texts, checked))

    async def ListSounds(self, request: pb.ListSoundsRequest, context: Context) -> pb.ListSoundsResponse:
        """Return the sounds that a model knows. Raises UsageError (MODEL_UNKNOWN), SeparationError."""
        info, sounds = await self._catalog.sounds(_id(request.model))
        listed = [pb.KnownSound(name=one.name, kind=one.kind, phrases=one.phrases) for one in sounds]
        return pb.ListSoundsResponse(model=info.id, any_words=info.free_text, sounds=listed)


def _message(text: str, checked: CheckedText) -> pb.PromptCheck:
    match, error = checked.match, checked.error
    if error is not None:
        return pb.PromptCheck(
            text=text,
            status=pb.PromptCheck.STATUS_REFUSED,
            code=error.code.value,
            message=error.message,
            advice=error.advice,
            proposals=match.proposals,
        )
    status = pb.PromptCheck.STATUS_SUBSTITUTED if match.note else pb.PromptCheck.STATUS_KNOWN
    return pb.PromptCheck(text=text, status=status, sound=match.sound, message=match.note)


def _id(name: str) -> str:
    return name.removeprefix("models/")
