"""The connection to one server: calls with bounded retries, and restarts of a killed private server."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import grpc

from stemline._version import __version__
from stemline.client.address import Endpoint
from stemline.client.managed_server import START_TIMEOUT_S, ensure_private
from stemline.client.status import details_of, error_of, status_of
from stemline.errors import Code, NoServerError
from stemline.shared_disk import read_nonce
from stemline.v1 import (
    generation_pb2_grpc,
    live_pb2_grpc,
    media_pb2_grpc,
    models_pb2,
    models_pb2_grpc,
    separation_pb2_grpc,
    suggest_pb2_grpc,
    vocabulary_pb2_grpc,
)

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")

ATTEMPTS = 9
_FIRST_ATTEMPTS = 4
_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 2.0
_LONGEST_ASKED_WAIT_S = 10.0
CALL_TIMEOUT_S = 60.0
_SERVERS_REMEMBERED = 16


@dataclass(frozen=True, slots=True)
class Stubs:
    """The services on one channel, and the endpoint that every call uses."""

    channel: grpc.Channel
    endpoint: Endpoint
    media: media_pb2_grpc.MediaServiceStub
    jobs: separation_pb2_grpc.SeparationServiceStub
    models: models_pb2_grpc.ModelServiceStub
    generations: generation_pb2_grpc.GenerationServiceStub
    suggest: suggest_pb2_grpc.SuggestServiceStub
    vocabulary: vocabulary_pb2_grpc.VocabularyServiceStub
    live: live_pb2_grpc.LiveServiceStub

    @staticmethod
    def open(endpoint: Endpoint) -> Stubs:
        """Open a channel to an endpoint."""
        channel = endpoint.open_channel()
        return Stubs(
            channel,
            endpoint,
            media_pb2_grpc.MediaServiceStub(channel),
            separation_pb2_grpc.SeparationServiceStub(channel),
            models_pb2_grpc.ModelServiceStub(channel),
            generation_pb2_grpc.GenerationServiceStub(channel),
            suggest_pb2_grpc.SuggestServiceStub(channel),
            vocabulary_pb2_grpc.VocabularyServiceStub(channel),
            live_pb2_grpc.LiveServiceStub(channel),
        )


class Link:
    """Calls to the server at `endpoint`, or to the private server if it is None. Safe to use from several threads."""

    def __init__(self, endpoint: Endpoint | None, start_timeout_s: float = START_TIMEOUT_S) -> None:
        """Open a channel; start the private server if `endpoint` is None. Raises NoServerError."""
        self._private = endpoint is None
        self._start_timeout_s = start_timeout_s
        self._lock = threading.Lock()
        self._closed = False
        self._retired: list[grpc.Channel] = []
        self._stubs = Stubs.open(endpoint or ensure_private(start_timeout_s).endpoint)

    @property
    def private(self) -> bool:
        """Whether the server is the private one."""
        return self._private

    @property
    def stubs(self) -> Stubs:
        """Stubs of the current channel."""
        return self._stubs

    def close(self) -> None:
        """Close all channels."""
        self._closed = True
        for channel in (*self._retired, self._stubs.channel):
            channel.close()

    def check_version(self) -> models_pb2.ServerInfo:
        """Return the state of the server.

        Raises NoServerError (SERVER_VERSION) for a server of another major version or more than one minor version
        away. A private server is of this version.
        """
        request = models_pb2.GetServerInfoRequest()
        info = self.call(lambda stubs: stubs.models.GetServerInfo, request, attempts=_FIRST_ATTEMPTS)
        if info.version != __version__ and (self._private or not is_compatible(info.version, __version__)):
            theirs = info.version or "of an unknown version"
            raise NoServerError(
                f"The server at {self._stubs.endpoint.address} is Stemline {theirs}, and this is {__version__}.",
                code=Code.SERVER_VERSION,
                advice="Install the same version on both sides; one minor version apart works, too.",
            )
        return info

    def call(
        self,
        method: Callable[[Stubs], grpc.UnaryUnaryMultiCallable[_Request, _Response]],
        request: _Request,
        timeout_s: float = CALL_TIMEOUT_S,
        attempts: int = ATTEMPTS,
    ) -> _Response:
        """Make a unary call. Every call can be repeated, so an unreachable server is tried again.

        Args:
            method: Returns the method of the stubs.
            request: The request.
            timeout_s: Time for one attempt.
            attempts: Number of attempts.

        Raises:
            StemlineError: The server refused, or no attempt succeeded.
        """
        attempt = 0
        while True:
            stubs = self._stubs
            try:
                return method(stubs)(request, timeout=timeout_s, metadata=stubs.endpoint.metadata)
            except grpc.RpcError as error:
                attempt += 1
                self.recover(error, attempt, stubs, attempts)

    def recover(self, error: grpc.RpcError, attempt: int, used: Stubs, attempts: int = ATTEMPTS) -> None:
        """Wait, and restart a private server, if trying again may help. Otherwise raise the error.

        Args:
            error: The failure.
            attempt: Number of the failed attempt, from 1.
            used: The stubs that it used.
            attempts: Number of attempts.

        Raises:
            StemlineError: Trying again does not help.
        """
        if self._closed or attempt >= attempts or not self._may_recover(error):
            raise error_of(error) from error
        asked_s = details_of(error).retry_after_s
        if asked_s is None:
            wait_s = min(_FIRST_WAIT_S * 2 ** (attempt - 1), _LONGEST_WAIT_S)
        else:
            wait_s = min(asked_s, _LONGEST_ASKED_WAIT_S)
        time.sleep(wait_s * random.uniform(0.8, 1.2))  # noqa: S311 - only spreads the retries of several clients
        if self._private:
            self._revive(used)

    def _may_recover(self, error: grpc.RpcError) -> bool:
        status = status_of(error)
        if status is grpc.StatusCode.UNAVAILABLE:
            return True
        if status is grpc.StatusCode.RESOURCE_EXHAUSTED:
            return details_of(error).retry_after_s is not None
        # a private server that was restarted has a new token, and another program may use its old port
        return self._private and status is grpc.StatusCode.UNAUTHENTICATED

    def _revive(self, used: Stubs) -> None:
        with self._lock:
            if self._stubs is not used:
                return
            endpoint = ensure_private(self._start_timeout_s).endpoint
            if endpoint != used.endpoint:
                self._retired.append(used.channel)  # other threads may still use it
                self._stubs = Stubs.open(endpoint)


def is_compatible(theirs: str, ours: str) -> bool:
    """Return whether two versions of Stemline work together: at most one minor version apart."""
    found = [re.match(r"(\d+)\.(\d+)", version) for version in (theirs, ours)]
    numbers = [(int(match[1]), int(match[2])) for match in found if match is not None]
    return len(numbers) == 2 and numbers[0][0] == numbers[1][0] and abs(numbers[0][1] - numbers[1][1]) <= 1


def disk_nonce(link: Link) -> bytes:
    """Return the server's nonce as this machine's disk holds it; empty where the two share no disk.

    A server reached through a tunnel or in a container looks like one of this machine, so the address proves nothing.
    The server compares the nonce with its own in every call that names a file.
    """
    path = _nonce_path(link, link.stubs.endpoint)
    return read_nonce(path) if path else b""


@lru_cache(maxsize=_SERVERS_REMEMBERED)
def _nonce_path(link: Link, endpoint: object) -> str:
    request = models_pb2.GetServerInfoRequest()
    return link.call(lambda stubs: stubs.models.GetServerInfo, request).nonce_path
