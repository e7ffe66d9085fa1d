"""Checks of the server: the named one or the private one, its generators, and connections between programs here."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

from stemline import paths
from stemline._version import __version__
from stemline.errors import Code, StemlineError
from stemline.hosts.description import Check, Status

_CONNECT_TIMEOUT_S = 5.0
_HOW_TO_REACH = "Start `stemline serve` there or correct the address; without STEMLINE_SERVER a private server is used."


def server_checks() -> Iterator[Check]:
    """Check local connections, the default port and the server."""
    yield _loopback()
    address = os.environ.get("STEMLINE_SERVER", "")
    try:
        yield _serve_port()
        yield _named(address) if address else _private()
    except ImportError as error:  # the packages above say which, and what to do
        yield Check("server", Status.FAIL, f"cannot be asked ({error})", "See the packages that cannot be loaded.")


def _loopback() -> Check:
    """Connect to a listening socket of this computer, as the client and the private server do."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = listener.getsockname()
            with socket.create_connection(address, _CONNECT_TIMEOUT_S):
                pass
    except OSError as error:
        advice = "Let the firewall allow connections to 127.0.0.1."
        return Check("local ports", Status.FAIL, f"no connection within this machine ({error.strerror})", advice)
    return Check("local ports", Status.OK, "programs of this machine can talk to each other")


def _serve_port() -> Check:
    """Check whether `stemline serve` could listen on its default port."""
    from stemline.client.managed_server import token_of_local_server
    from stemline_server.config import DEFAULT_PORT

    name = f"port {DEFAULT_PORT}"
    try:
        with socket.create_server(("127.0.0.1", DEFAULT_PORT)):
            return Check(name, Status.OK, "free for `stemline serve`")
    except OSError as error:
        if token_of_local_server(DEFAULT_PORT):
            return Check(name, Status.OK, "a `stemline serve` listens there")
        advice = "Give `stemline serve` another port with --listen 127.0.0.1:PORT."
        return Check(name, Status.WARN, f"not free for `stemline serve` ({error.strerror})", advice)


def generator_checks() -> Iterator[Check]:
    """Check the generators that are installed here. None is needed, so that missing weights are not a fault."""
    try:
        from stemline_server.generators import registry
    except ImportError:  # the packages above say which, and what to do
        return
    for name in registry.generator_ids():
        if name == "noop":
            continue
        try:
            generator = registry.create(name)
            missing, info = generator.availability(), generator.info
        except StemlineError as error:
            yield Check(f"generator {name}", Status.WARN, error.message, error.advice)
            continue
        if missing:
            yield Check(f"generator {name}", Status.OK, f"not available, needed only for sounds from words: {missing}")
        else:
            found = f"{info.title}; commercial use: {info.commercial}; {info.licence}"
            yield Check(f"generator {name}", Status.OK, found)


def _named(address: str) -> Check:
    from stemline.client import connect

    name = "server"
    try:
        with connect(address) as client:
            info = client.server_info()
    except StemlineError as error:
        advice = error.advice if error.code is not Code.SERVER_UNREACHABLE else _HOW_TO_REACH
        return Check(name, Status.FAIL, f"STEMLINE_SERVER={address}: {error.message}", advice)
    return Check(name, Status.OK, f"{address}: Stemline {info.version} on {', '.join(info.devices)}")


def _private() -> Check:
    from stemline.client.managed_server import find_private, last_words

    name = "private server"
    running = find_private()
    if running is not None:
        return Check(name, Status.OK, f"runs at {running.endpoint.address} (process {running.pid})")
    state = paths.server_state_dir(__version__)
    if not (state / "endpoint.json").exists():
        return Check(name, Status.OK, "not running; it starts when it is needed")
    said = last_words(state)
    message = f"has died{f' ({said})' if said else ''}; it starts again when it is needed, and goes on with its jobs"
    return Check(name, Status.WARN, message, f"If it dies again, read {state / 'server.log'}.")
