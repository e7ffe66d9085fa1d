"""A scripted `stemline panel --host`: follow the steps in $STEMLINE_TEST_STEPS and write down the answers."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from hosts.resolve.harness import STEM, write_copies
from stemline.companion.process import Companion, claim_standard_streams
from stemline.companion.remote import RemoteHost
from stemline.companion.services import EditServices
from stemline.companion.wire import from_wire, to_wire
from stemline.errors import HostError, StemlineError
from stemline.hosts.base import Host, RangeToRender, Selection, WriteOptions
from stemline.plan import TrackOptions, place_stems
from stemline.prompts import StemRequest, TimelinePrompt
from stemline.workflow import RunSettings
from stemline.workflow.prepare import prepare


def read(host: RemoteHost, step: dict[str, Any]) -> Any:
    return to_wire(host.read_clips(Selection(tuple(step.get("tracks", ())))))


def separate(host: RemoteHost, step: dict[str, Any]) -> Any:
    """The real thing: the real workflow, the real server."""
    run = EditServices().prepare(step["params"])
    return run(host, lambda progress: None, lambda: False)


def copy(host: Host, step: dict[str, Any]) -> Any:
    """Stems that are copies of their originals."""
    settings = RunSettings(output_dir=Path(step["output_dir"]), selection=Selection(tuple(step.get("tracks", ()))))
    prepared = prepare(host, [StemRequest(STEM, TimelinePrompt("speech"))], settings)
    stems = write_copies(prepared, settings.output_dir)
    if step.get("then") == "die":
        os.kill(os.getpid(), 9)
    facts = {clip.clip_id: prepared.facts[clip.source] for clip in prepared.clips}
    tracks = place_stems(prepared.clips, stems, facts, TrackOptions())
    return to_wire(host.write_tracks(tracks, WriteOptions(tuple(clip.clip_id for clip in prepared.clips))))


def remove(host: RemoteHost, step: dict[str, Any]) -> Any:
    return {"notes": to_wire(host.remove_result(step["result"]))}


def render(host: RemoteHost, step: dict[str, Any]) -> Any:
    return to_wire(host.render_range(from_wire(RangeToRender, step["request"], "request")))


def abort(host: RemoteHost, step: dict[str, Any]) -> Any:
    sys.stderr.write(step["saying"] + "\n")
    sys.stderr.flush()
    os.abort()


STEPS: dict[str, Callable[[RemoteHost, dict[str, Any]], Any]] = {
    "read": read, "separate": separate, "copy": copy, "remove": remove, "render": render,
    "abort": abort,
}  # fmt: skip


def greeted(companion: Companion) -> RemoteHost:
    deadline = time.monotonic() + 60
    while True:
        try:
            return companion.host()
        except HostError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def main() -> int:
    told = json.loads(Path(os.environ["STEMLINE_TEST_STEPS"]).read_text(encoding="utf-8"))
    companion = Companion(*claim_standard_streams(), EditServices())
    companion.start()
    host = greeted(companion)
    results: list[Any] = [to_wire(host.capabilities)]
    for step in told["steps"]:
        if step.get("result") == "last":
            step["result"] = results[-1]["result"]
        try:
            results.append(STEPS[step["do"]](host, step))
        except StemlineError as error:
            results.append({"error": error.message, "code": str(error.code), "advice": error.advice})
        Path(told["results"]).write_text(json.dumps(results), encoding="utf-8")
    companion.stop()
    return int(told.get("exit_code", 0))


if __name__ == "__main__":
    sys.exit(main())
