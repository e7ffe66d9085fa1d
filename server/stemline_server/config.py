"""The configuration of a server: the options of the command line, checked."""

from __future__ import annotations

import argparse
import ipaddress
import math
from dataclasses import dataclass, field
from pathlib import Path

from stemline.errors import UsageError
from stemline_server.isolation.memory import Limits, machine_memory_bytes

_GIB = 1 << 30
DEFAULT_PORT = 7861


@dataclass(frozen=True, slots=True)
class Tls:
    """The PEM files of TLS. With `client_ca`, only clients with a certificate signed by it are admitted."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """How a server runs.

    Attributes:
        state: Folder of the job table, the store and the token.
        listen: HOST:PORT; port 0 takes any free port.
        private: Whether it serves the programs of one user only.
        idle_timeout_s: Seconds without calls and jobs after which it stops; 0 for never.
        media_roots: Folders whose files callers may name; None for every file of this user.
        store_limit_bytes: How much sound the store may hold.
        token_file: File of the token; None for one in the state folder.
        tls: Certificates; None for plain text.
        devices: Devices to work on; empty for all.
        model: Model for jobs that name none; empty for the default of the registry.
        engine_limits: What the process of each device's engines may use.
        metrics: HOST:PORT of metrics and probes over HTTP; empty for none.
        otlp: Endpoint for traces; empty for none.
        json_log: Whether the log is JSON.
        policy: File of the policy; None for none.
        warm: Models to load at the start, as far as memory allows.
    """

    state: Path
    listen: str = "127.0.0.1:0"
    private: bool = False
    idle_timeout_s: float = 0.0
    media_roots: tuple[Path, ...] | None = ()
    store_limit_bytes: int = 50 * _GIB
    token_file: Path | None = None
    tls: Tls | None = None
    devices: tuple[str, ...] = ()
    model: str = ""
    engine_limits: Limits = field(default_factory=Limits)
    metrics: str = ""
    otlp: str = ""
    json_log: bool = False
    policy: Path | None = None
    warm: tuple[str, ...] = ()

    @property
    def loopback(self) -> bool:
        """Return whether only programs of this machine can connect."""
        return is_loopback(self.listen)


def is_loopback(address: str) -> bool:
    """Return whether HOST:PORT is an address of this machine alone. A name other than localhost counts as public."""
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `stemline serve` and `python -m stemline_server`."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="TOML",
        help="file with these options; SIGHUP reads it again",
    )
    parser.add_argument(
        "--metrics",
        default="",
        metavar="HOST:PORT",
        help="serve /metrics, /live and /ready over HTTP (extra `operations`)",
    )
    parser.add_argument("--otlp", default="", metavar="URL", help="send traces of jobs there (extra `operations`)")
    parser.add_argument("--log-format", choices=("text", "json"), default="text", help="format of the log")
    parser.add_argument("--listen", metavar="HOST:PORT", help=f"where to listen (default 127.0.0.1:{DEFAULT_PORT})")
    parser.add_argument("--state", type=Path, metavar="DIR", help="folder of the job table, the store and the token")
    parser.add_argument("--model", default="", metavar="ID", help="model for jobs that name none")
    parser.add_argument(
        "--warm", action="append", default=[], metavar="ID", help="model to load at the start (repeatable)"
    )
    parser.add_argument("--device", action="append", default=[], metavar="DEV", help="cpu, cuda:0 ... (repeatable)")
    parser.add_argument(
        "--media-root",
        action="append",
        type=Path,
        default=[],
        metavar="DIR",
        help="programs of this machine may name files in it",
    )
    _add_limits(parser)
    _add_access(parser)
    parser.add_argument("--policy", type=Path, metavar="TOML", help="which jobs to accept, from whom; and an audit log")
    parser.add_argument("--private", action="store_true", help="the server of one user's own programs")
    parser.add_argument(
        "--idle-timeout-s",
        type=float,
        default=0.0,
        metavar="S",
        help="stop after so long without a call or a job (0: never)",
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store-limit", type=float, default=50.0, metavar="GIB", help="how much sound to store (default 50)"
    )
    parser.add_argument(
        "--engine-timeout-s",
        type=float,
        default=900.0,
        metavar="S",
        help="restart an engine that reports no progress for so long (default 900)",
    )
    parser.add_argument(
        "--engine-memory",
        type=float,
        default=0.0,
        metavar="GIB",
        help="end an engine that uses more main memory (default: nine tenths of the machine's)",
    )
    parser.add_argument(
        "--model-memory",
        type=float,
        default=0.0,
        metavar="GIB",
        help="unload unused models above so much of the device's memory (default: half of it)",
    )


def _add_access(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="token that callers must show (made when missing)"
    )
    parser.add_argument("--tls-cert", type=Path, metavar="PEM", help="certificate chain")
    parser.add_argument("--tls-key", type=Path, metavar="PEM", help="its private key")
    parser.add_argument(
        "--tls-client-ca", type=Path, metavar="PEM", help="admit only clients with a certificate signed by it"
    )
    parser.add_argument(
        "--insecure", action="store_true", help="allow other machines without TLS: anyone on the network can listen"
    )


def from_arguments(args: argparse.Namespace) -> ServerConfig:
    """Return the configuration. Raises UsageError for options that don't go together."""
    args = _with_file(args) if args.config is not None else args
    listen = args.listen or ("127.0.0.1:0" if args.private else f"127.0.0.1:{DEFAULT_PORT}")
    _check_address(listen)
    tls = _tls(args)
    if args.private and not is_loopback(listen):
        raise UsageError("A private server listens on this machine only.", advice="Leave out --private or --listen.")
    if not is_loopback(listen) and tls is None and not args.insecure:
        raise UsageError(
            f"Listening on {listen} without TLS would let anyone on the network read the sound and the token.",
            advice="Give --tls-cert and --tls-key, or --insecure on a private network.",
        )
    if args.metrics:
        _check_address(args.metrics)
    if not 0 < args.store_limit < math.inf:
        raise UsageError("--store-limit must be a number above zero.", advice="Give it in GiB.")
    return ServerConfig(
        state=(args.state or _default_state(listen, private=args.private)).absolute(),
        listen=listen,
        private=args.private,
        idle_timeout_s=max(args.idle_timeout_s, 0.0),
        media_roots=None if args.private and not args.media_root else tuple(args.media_root),
        store_limit_bytes=int(args.store_limit * _GIB),
        token_file=args.token_file,
        tls=tls,
        devices=tuple(args.device),
        model=args.model,
        engine_limits=_engine_limits(args),
        metrics=args.metrics,
        otlp=args.otlp,
        json_log=args.log_format == "json",
        policy=args.policy,
        warm=tuple(args.warm),
    )


def _with_file(args: argparse.Namespace) -> argparse.Namespace:
    """Return the options with those of the configuration file below them. Raises UsageError."""
    import tomllib  # noqa: PLC0415 - keeps the command line's --help fast

    path: Path = args.config
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", advice="Give another --config.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}.", advice="Correct the file.") from error
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    actions = {action.dest: action for action in parser._actions if action.dest not in ("help", "config")}
    merged = argparse.Namespace(**vars(args))
    for name, value in given.items():
        if name not in actions:
            raise UsageError(f"{path} has an unknown option {name!r}.", advice=f"Known: {', '.join(sorted(actions))}.")
        converted = _converted(path, actions[name], value)
        if getattr(args, name) == actions[name].default:
            setattr(merged, name, converted)
    return merged


def _converted(path: Path, action: argparse.Action, value: object) -> object:
    """Return a value of the file as the command line gives it. Raises UsageError for one of another type."""
    expected = "a list of texts"
    if isinstance(action.default, list):
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return [path.parent / item if action.type is Path else item for item in value]
    elif isinstance(action.default, bool):
        expected = "true or false"
        if isinstance(value, bool):
            return value
    elif action.type is float:
        expected = "a number"
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    else:
        expected = f"one of {', '.join(action.choices)}" if action.choices else "a text"
        if isinstance(value, str) and (not action.choices or value in action.choices):
            return path.parent / value if action.type is Path else value
    raise UsageError(f"{path}: {action.dest} must be {expected}.", advice="Correct the file.")


def _engine_limits(args: argparse.Namespace) -> Limits:
    for option, value in (("--engine-memory", args.engine_memory), ("--model-memory", args.model_memory)):
        if not 0 <= value < math.inf:
            raise UsageError(f"{option} must be a number, at least zero.", advice="Give it in GiB.")
    if not 0 < args.engine_timeout_s < math.inf:
        raise UsageError("--engine-timeout-s must be a number above zero.", advice="Give it in seconds.")
    memory_bytes = int(args.engine_memory * _GIB) or machine_memory_bytes() * 9 // 10
    return Limits(args.engine_timeout_s, memory_bytes, int(args.model_memory * _GIB))


def _check_address(listen: str) -> None:
    host, colon, port = listen.rpartition(":")
    if not (host and colon and port.isascii() and port.isdigit() and int(port) < 1 << 16):
        raise UsageError(f"{listen!r} is not HOST:PORT.", advice=f"Write for example 127.0.0.1:{DEFAULT_PORT}.")


def _tls(args: argparse.Namespace) -> Tls | None:
    if args.tls_cert is None and args.tls_key is None and args.tls_client_ca is None:
        return None
    if args.tls_cert is None or args.tls_key is None:
        raise UsageError("TLS needs a certificate and its key.", advice="Give --tls-cert and --tls-key.")
    return Tls(args.tls_cert, args.tls_key, args.tls_client_ca)


def _default_state(listen: str, *, private: bool) -> Path:
    from stemline import paths  # noqa: PLC0415 - keeps the command line's --help fast
    from stemline._version import __version__  # noqa: PLC0415

    if private:
        return paths.server_state_dir(__version__)
    port = listen.rpartition(":")[2]
    return paths.cache_dir() / f"server-{__version__}-port-{port}"
