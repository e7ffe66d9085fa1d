"""What the fake host does, one function a scenario. Python 3.8, standard library only."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from host_peer import Refused

if TYPE_CHECKING:
    from fake_host import FakeHost


def separate(host: FakeHost, report: dict[str, Any], process: subprocess.Popen[bytes] | None) -> None:
    """The whole way: stems come in as tracks and add up to the originals at their places."""
    report["hello"] = host.hello()
    report["end"] = _run(host)
    report["compared"] = host.check_samples() if report["end"]["state"] == "done" else 0
    host.peer.call("shutdown", {})


def health(host: FakeHost, report: dict[str, Any], process: subprocess.Popen[bytes] | None) -> None:
    """What a bridge shows before anything is separated; the doctor answers before hello too."""
    report["doctor"] = host.peer.call("doctor", {}, timeout_s=120)
    host.hello()
    report["models"] = host.peer.call("models", {}, timeout_s=120)


def hosted_run(host: FakeHost, report: dict[str, Any], process: subprocess.Popen[bytes] | None) -> None:
    """As a child, whose companion is its parent: the same run, and an end in order."""
    host.hello()
    report["end"] = _run(host)
    report["compared"] = host.check_samples()
    host.peer.call("shutdown", {})


def partly(host: FakeHost, report: dict[str, Any], process: subprocess.Popen[bytes] | None) -> None:
    """Some clips cannot be separated; the others are."""
    host.hello()
    report["end"] = _run(host)


def refused(host: FakeHost, report: dict[str, Any], process: subprocess.Popen[bytes] | None) -> None:
    """Requests that are wrong in themselves never become runs."""
    host.hello()
    stem = {"name": "a", "prompt": {"text": "a"}}
    folder = host.config["separate"]["settings"]
    report["refusals"] = [
        _refusal(host, "separate", params)
        for params in (
            {"stems": [], "settings": folder},
            {"stems": [{"name": "a", "prompt": {}}], "settings": folder},
            {"stems": [stem], "settings": {"output_dir": "relative"}},
            {"stems": [stem], "settings": {}},
        )
    ]
    report["runs"] = host.peer.call("status", {})["runs"]


def attend(host: FakeHost, report: dict[str, Any], process: subprocess.Popen[bytes] | None) -> None:
    """What a bridge does for a panel: says hello, then answers until the panel is closed."""
    host.hello()
    while True:
        host.peer.pump(0.05)


def ask_and_leave(host: FakeHost, report: dict[str, Any], process: subprocess.Popen[bytes] | None) -> None:
    """A run, then the end of our output: the companion goes by itself."""
    host.hello()
    report["run"] = host.separate()
    host.peer.wait_for("done", report["run"])


def cancel(host: FakeHost, report: dict[str, Any], process: subprocess.Popen[bytes] | None) -> None:
    """A long run is cancelled in the middle, a queued one before it starts, and the next one works."""
    host.hello()
    long, queued = host.separate(**host.config["long"]), host.separate()
    host.peer.wait_for("progress", long)
    host.peer.call("cancel", {"run": queued})
    host.peer.call("cancel", {"run": long})
    report["ends"] = [host.peer.wait_for("failed", run)["error"]["code"] for run in (long, queued)]
    report["tracks_after_cancel"] = len(host.tracks)
    host.peer.wait_for("done", host.separate())
    report["unknown"] = _refusal(host, "cancel", {"run": "run-99"})


def cancel_then_other(host: FakeHost, report: dict[str, Any], process: subprocess.Popen[bytes] | None) -> None:
    """A job that would take a minute is cancelled once the engine works on it; another prompt is done after it."""
    host.hello()
    run = host.separate()
    _wait_until_at_work(host, run)
    host.peer.call("cancel", {"run": run})
    report["end"] = host.peer.wait_for("failed", run)
    host.config["separate"]["stems"] = [{"name": "quick", "prompt": {"text": "quick"}}]
    report["next"] = _run(host)


def finish_then_die(host: FakeHost, report: dict[str, Any], process: subprocess.Popen[bytes]) -> None:
    """One run is finished; the host is killed during the next."""
    host.hello()
    host.peer.wait_for("done", host.separate())
    host.config["separate"]["stems"] = [{"name": "slow", "prompt": {"text": "sleep:60"}}]
    _die(host, process, host.separate())


def die(host: FakeHost, report: dict[str, Any], process: subprocess.Popen[bytes]) -> None:
    """The host is killed while the companion works."""
    host.hello()
    _die(host, process, host.separate(**host.config["long"]))


def _die(host: FakeHost, process: subprocess.Popen[bytes], run: str) -> None:
    _wait_until_at_work(host, run)
    Path(host.config["report"] + ".pid").write_text(str(process.pid), encoding="utf-8")
    os.kill(os.getpid(), 9)


def survive(host: FakeHost, report: dict[str, Any], process: subprocess.Popen[bytes]) -> None:
    """The companion is killed while it works: the host notices at once and goes on."""
    host.hello()
    _wait_until_at_work(host, host.separate(**host.config["long"]))
    process.kill()
    while True:
        host.peer.pump(0.05)


def slow(host: FakeHost, report: dict[str, Any], process: subprocess.Popen[bytes] | None) -> None:
    """The first read takes longer than the companion waits; the late answer is ignored and the next run works."""
    host.hello()
    report["slow"] = host.peer.wait_for("failed", host.separate())["error"]
    host.config["read_takes_s"] = 0
    report["next"] = host.peer.wait_for("done", host.separate())["tag"]


def silent(host: FakeHost, report: dict[str, Any], process: subprocess.Popen[bytes]) -> None:
    """The host hangs: nothing is sent and nothing is read any more, though its pipes stay open."""
    host.hello()
    host.peer.gone.set()
    report["exit_code_when_silent"] = process.wait(timeout=60)


def wrong_version(host: FakeHost, report: dict[str, Any], process: subprocess.Popen[bytes] | None) -> None:
    report["too_early"] = _refusal(host, "models", {})
    report["too_new"] = _refusal(host, "hello", {"protocols": [99], "capabilities": {}})
    report["no_name"] = _refusal(host, "hello", {"protocols": [1], "capabilities": {"version": "1"}})
    report["agreed"] = host.peer.call("hello", {"protocols": [99, 1], "capabilities": {"name": "Fake", "version": "1"}})


def garbage(host: FakeHost, report: dict[str, Any], process: subprocess.Popen[bytes] | None) -> None:
    """Lines that are no messages are refused one by one, and the conversation goes on."""
    host.hello()
    lines = {
        "text": b"print from a host\n",
        "bad utf-8": b'{"jsonrpc":"2.0","method":"\xff"}\n',
        "huge": b'{"jsonrpc":"2.0","id":1,"method":"' + b"x" * 3_000_000 + b'"}\n',
        "deep": b"[" * 200_000 + b"\n",
        "nan": b'{"jsonrpc":"2.0","id":7,"method":"ping","params":{"x":NaN}}\n',
        "digits": b'{"jsonrpc":"2.0","id":' + b"9" * 10_000 + b',"method":"ping"}\n',
        "batch": b'[{"jsonrpc":"2.0","id":8,"method":"ping"}]\n',
        "version": b'{"id":9,"method":"ping"}\n',
        "id": b'{"jsonrpc":"2.0","id":{},"method":"ping"}\n',
    }
    report["refused"] = {}
    for name, line in lines.items():
        host.peer.null_errors.clear()
        host.peer.send_bytes(line)
        host.peer.call("ping", {})
        report["refused"][name] = [error["code"] for error in host.peer.null_errors]
    host.peer.null_errors.clear()
    for line in (
        b"\n \r\n",
        b'{"jsonrpc":"2.0","id":12345,"result":{}}\n',
        b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}\n',
        b'{"jsonrpc":"2.0","method":"of_a_later_version","params":{}}\n',
    ):
        host.peer.send_bytes(line)
    report["crlf"] = host.peer.call("ping", {})
    report["ignored"] = host.peer.null_errors
    report["unknown"] = _refusal(host, "reticulate", {})
    report["positional"] = _refusal(host, "ping", [1])
    report["fault"] = _refusal(host, "doctor", {})
    report["mistyped"] = _refusal(host, "separate", {"stems": [{"name": 3}], "settings": {"output_dir": "/x"}})


def _wait_until_at_work(host: FakeHost, run: str) -> None:
    """Until something of the run is done: the engine has it, or a part is written."""
    while not any(name == "progress" and note["run"] == run and note["done"] > 0 for name, note in host.peer.notes):
        host.peer.pump(0.05)


def _run(host: FakeHost) -> Any:
    run = host.separate()
    while not _ended(host, run):
        host.peer.pump(0.05)
    return host.peer.call("status", {"run": run})["runs"][0]


def _ended(host: FakeHost, run: str) -> bool:
    return any(method in ("done", "failed") and params["run"] == run for method, params in host.peer.notes)


def _refusal(host: FakeHost, method: str, params: Any) -> dict[str, Any]:
    try:
        return {"result": host.peer.call(method, params)}
    except Refused as error:
        return {"code": error.code, "number": error.number, "message": str(error)}
