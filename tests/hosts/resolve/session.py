"""A session of the fake Resolve in a process of its own, under a host's Python: standard library only, Python 3.8.

`session.py CONFIG` runs the menu script as Resolve would, and writes down what is on the timeline afterwards: facts as
JSON, and the sound of every track; into the folder "saved" the same, as it was when the project was saved last. With
"mode": "host" it asks `stemline host` for a separation instead of a panel.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from hosts.resolve.fake_resolve import Fake, build
from hosts.resolve.fake_resolve.sound import track_sound, write_wav

RATE = 48000


def run_script(fake: Fake, script: Path) -> None:
    """The menu script with the names that Resolve gives it."""
    code = compile(script.read_text(encoding="utf-8"), str(script), "exec")
    bmd = SimpleNamespace(scriptapp=lambda name: fake.reconnect())
    exec(code, {"__name__": "__main__", "resolve": fake.resolve(), "bmd": bmd})  # noqa: S102 - what Resolve does


def run_host(fake: Fake, config: dict[str, Any]) -> dict[str, Any]:
    """`stemline host` as the companion, asked to separate what is between the marks."""
    sys.path.insert(0, config["bridge"])
    from stemline_bridge import CompanionProcess, find_installation
    from stemline_resolve.api import Api
    from stemline_resolve.host import BridgeSettings, ResolveHost

    host = ResolveHost(Api(fake.resolve(), fake.reconnect), BridgeSettings(Path(config["folder"]) / "bridge"))
    ends: list[dict[str, Any]] = []
    handlers = dict(host.handlers(), done=ends.append, failed=ends.append)
    companion = CompanionProcess.start(find_installation("", "resolve"), handlers, Path(config["folder"]) / "host.log")
    host.listen_to(companion.peer)
    companion.peer.call("hello", {"protocols": [1], "capabilities": host.capabilities()}, 60.0)
    companion.peer.call("separate", config["separate"], 60.0)
    while not ends:
        companion.peer.pump(0.05)
    companion.stop()
    return ends[0]


def main() -> None:
    config = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    folder = Path(config["folder"])
    fake = build(Path(config["stubs"]), config["fake"])
    report: dict[str, Any] = {"python": ".".join(map(str, sys.version_info[:2])), "before": fake.facts()["timelines"]}
    fake.manager.on_save = lambda: write_down(fake, folder / "saved", {})
    try:
        if config["mode"] == "host":
            report["end"] = run_host(fake, config)
        else:
            run_script(fake, Path(config["script"]))
    except Exception:  # noqa: BLE001 - the test shows it
        report["raised"] = traceback.format_exc()
    write_down(fake, folder, report)


def write_down(fake: Fake, folder: Path, report: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    report.update(fake.facts())
    if fake.project is not None:
        for number, track in enumerate(fake.timeline.audio, 1):
            if track.items:
                sound = track_sound(fake.timeline, track, RATE, with_disabled=True)
                write_wav(folder / f"track-{number}.wav", RATE, sound)
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")


if __name__ == "__main__":
    main()
