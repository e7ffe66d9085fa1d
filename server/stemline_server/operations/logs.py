"""The server's log: text or one JSON object for each line, with the call and the seat that a line is about."""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import secrets
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path

from stemline_server.seats.access import caller

_LOG_BYTES = 4 * 1024 * 1024
_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_CALL: ContextVar[str] = ContextVar("call", default="")


def begin_call() -> str:
    """Return a new id for the current call, which the lines about it carry."""
    number = secrets.token_hex(4)
    _CALL.set(number)
    return number


def current_call() -> str:
    """Return the id of the current call; empty where none is running."""
    return _CALL.get()


class JsonFormatter(logging.Formatter):
    """Writes a record as one JSON object: time (UTC), level, logger, message, and call, seat and error where known."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if _CALL.get():
            line |= {"call": _CALL.get(), "seat": caller().name}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def _shorten_lost_peers(record: logging.LogRecord) -> bool:
    """Say in one line that a caller has gone, for which gRPC logs a traceback; for `logging.Filter`s."""
    if record.exc_info and type(record.exc_info[1]).__name__ == "ExecuteBatchError":
        record.msg, record.args, record.exc_info = "a caller has gone in the middle of a call", (), None
        record.levelno, record.levelname = logging.INFO, "INFO"
    return True


def start_log(path: Path, *, private: bool, as_json: bool = False) -> None:
    """Log into the file at `path`; a server that is not private also logs warnings to the terminal.

    A private server sends its own streams there too, so it holds no pipe of its parent open.
    """
    formatter = JsonFormatter() if as_json else logging.Formatter(_TEXT)
    file = logging.handlers.RotatingFileHandler(path, maxBytes=_LOG_BYTES, backupCount=1, encoding="utf-8")
    handlers: list[logging.Handler] = [file]
    if not private:
        handlers.append(logging.StreamHandler())
        handlers[-1].setLevel(logging.INFO if as_json else logging.WARNING)
    for handler in handlers:
        handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    logging.getLogger("grpc._cython.cygrpc").addFilter(_shorten_lost_peers)
    if private:
        sys.stdout.flush()
        sys.stderr.flush()
        with Path(os.devnull).open("rb") as nothing, path.open("ab") as output:
            os.dup2(nothing.fileno(), 0)
            for stream in (1, 2):
                os.dup2(output.fileno(), stream)
