"""A strict fake of a remote host: holds clips of real media, starts the companion, takes tracks, checks every sample.

Standard library only, syntax of Python 3.8, nothing imported from Stemline: what works here works inside a host.
`fake_host.py CONFIG` runs one scenario and writes a report (JSON) beside the config; `--child` talks over its own
standard streams instead of starting a companion.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

from host_peer import Gone, HostPeer, Refused, fraction, start_companion
from wav_samples import read_samples

CAPABILITIES = {
    "name": "Fake",
    "version": "1.0",
    "writes_tracks": True,
    "disables_clips": True,
    "carries_metadata": True,
    "renders_ranges": True,
    "removes_results": True,
}


class FakeHost:
    """The document: clips as the config gives them, tracks as they come in. The owner of the streams sets `peer`."""

    peer: HostPeer

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.clips: list[dict[str, Any]] = config["clips"]
        self.tracks: list[dict[str, Any]] = []
        self.disabled: list[str] = []
        self.removed: list[str] = []
        self.selections: list[dict[str, Any]] = []

    def handlers(self) -> dict[str, Callable[[dict[str, Any]], dict[str, Any]]]:
        return {
            "read_clips": self.read_clips,
            "write_tracks": self.write_tracks,
            "render_range": self.render_range,
            "remove_result": self.remove_result,
        }

    def read_clips(self, params: dict[str, Any]) -> dict[str, Any]:
        self.selections.append(params)
        time.sleep(self.config.get("read_takes_s", 0))
        wanted = params["selection"]["tracks"]
        clips = [clip for clip in self.clips if not wanted or clip["track"] in wanted]
        told = {name: self.config.get(name, []) for name in ("skipped", "warnings")}
        return {"clips": clips, "a_field_of_a_later_version": 1, **told}

    def write_tracks(self, params: dict[str, Any]) -> dict[str, Any]:
        names = []
        for track in params["tracks"]:
            self.check_track(track)
            names.append(f"{track['name']} ({len(self.tracks)})")
            self.tracks.append(track)
        known = {clip["clip_id"] for clip in self.clips}
        if not set(params["options"]["disable_clips"]) <= known:
            self.peer.fault("asked to disable clips that are not there")
        self.disabled += params["options"]["disable_clips"]
        return {
            "tracks": names,
            "output": "the fake's timeline",
            "notes": ["fades are not carried"],
            "result": "result-1",
        }

    def render_range(self, params: dict[str, Any]) -> dict[str, Any]:
        """Take the clip itself as its sound with effects: its media, at the range that was asked for."""
        found = [clip for clip in self.clips if clip["clip_id"] == params["clip_id"]] or self.clips
        notes = self.config.get("render_notes", [])
        return dict(found[0], name=found[0]["name"] + " rendered", record_range=params["record_range"], notes=notes)

    def remove_result(self, params: dict[str, Any]) -> dict[str, Any]:
        self.removed.append(params["result"])
        self.tracks, self.disabled = [], []
        return {"notes": ["removed " + params["result"]]}

    def check_track(self, track: dict[str, Any]) -> None:
        expected = {"name", "stem", "source_track", "lane", "channels", "enabled", "clips", "metadata"}
        if set(track) != expected:
            self.peer.fault(f"track with {sorted(set(track) ^ expected)}")
        last_end = fraction("0/1")
        for clip in track["clips"]:
            start, end = fraction(clip["record_range"]["start"]), fraction(clip["record_range"]["end"])
            if start < last_end or end <= start:
                self.peer.fault("{} overlaps the clip before it".format(clip["name"]))
            last_end = end
            if not Path(clip["path"]).is_absolute() or not Path(clip["path"]).is_file():
                self.peer.fault("{} is no file".format(clip["path"]))
            if clip["metadata"].get("version") != 1:
                self.peer.fault("{} has no record".format(clip["name"]))

    def sound_at(self, place: tuple[Fraction, Fraction], path: str, sample_rate: int) -> list[int]:
        """The integer samples (24 bit) of `path` at exact seconds `place`, as long as the clip."""
        rate, channels, bits, samples = read_samples(path)
        start, length = place[0] * rate, place[1] * rate
        if rate != sample_rate or start.denominator != 1 or length.denominator != 1:
            self.peer.fault(f"{path}: its clip begins or ends between two samples")
        part = samples[int(start) * channels : int(start + length) * channels]
        return [sample << (24 - bits) for sample in part]

    def check_samples(self) -> int:
        """Whether the new tracks add up to what the original clips play. Returns the number of samples compared."""
        compared = 0
        for clip in self.clips:
            source, record = clip["source_range"], clip["record_range"]
            length = fraction(record["end"]) - fraction(record["start"])
            rate = read_samples(clip["source"]["path"])[0]
            original = self.sound_at((fraction(source["start"]), length), clip["source"]["path"], rate)
            stems = self.stems_of(clip, length, rate)
            added_up = [sum(values) for values in zip(*stems)]
            if len(stems) < 2 or added_up != original:
                self.peer.fault("the stems of {} do not add up to it".format(clip["name"]))
            if any(not any(stem) for stem in stems):
                self.peer.fault("a stem of {} is silent".format(clip["name"]))
            compared += len(original) * len(stems)
        return compared

    def stems_of(self, clip: dict[str, Any], length: Fraction, rate: int) -> list[list[int]]:
        found = []
        for track in self.tracks:
            for stem in track["clips"]:
                if stem["clip_id"] == clip["clip_id"]:
                    if stem["record_range"] != clip["record_range"] or track["source_track"] != clip["track"]:
                        self.peer.fault("{} lies at another place than its original".format(stem["name"]))
                    found.append(self.sound_at((fraction(stem["file_start"]), length), stem["path"], rate))
        return found

    def hello(self) -> Any:
        return self.peer.call("hello", {"protocols": [1], "capabilities": CAPABILITIES})

    def separate(self, **changes: Any) -> Any:
        params = dict(self.config["separate"], tag="take 1")
        params["settings"] = dict(params["settings"], **changes)
        return self.peer.call("separate", params)["run"]


def run_scenario(host: FakeHost, report: dict[str, Any], process: subprocess.Popen[bytes] | None) -> None:
    """The config's scenario; what it saw goes into `report`."""
    import scenarios

    try:
        getattr(scenarios, host.config["scenario"])(host, report, process)
    except Gone:
        report["gone"] = True
    except (Refused, TimeoutError, KeyError) as problem:
        host.peer.fault(f"{type(problem).__name__}: {problem!r}")
    report["faults"] = host.peer.faults
    report["cancelled_calls"] = host.peer.cancelled_calls
    report["notes"] = host.peer.notes
    report["disabled"] = host.disabled
    report["removed"] = host.removed
    report["selections"] = host.selections
    report["tracks"] = [
        [track["name"], track["stem"], track["source_track"], track["enabled"]] for track in host.tracks
    ]


def as_parent(host: FakeHost, report: dict[str, Any]) -> None:
    with Path(host.config["report"] + ".log").open("wb") as log:
        process = start_companion(host.config["companion"], log)
        assert process.stdin is not None
        assert process.stdout is not None
        host.peer = HostPeer(process.stdout, process.stdin, host.handlers())
        report["pid"] = process.pid
        run_scenario(host, report, process)
        process.stdin.close()
        report["exit_code"] = process.wait(timeout=60)


def as_child(host: FakeHost, report: dict[str, Any]) -> None:
    """Our own descriptor 1 is kept for messages, as the companion keeps its own."""
    incoming, outgoing = os.fdopen(os.dup(0), "rb", 0), os.fdopen(os.dup(1), "wb", 0)
    os.dup2(2, 1)
    print("a host prints what it likes")
    host.peer = HostPeer(incoming, outgoing, host.handlers())
    run_scenario(host, report, None)


def main() -> None:
    config = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    report: dict[str, Any] = {"python": list(sys.version_info[:2])}
    try:
        (as_child if "--child" in sys.argv else as_parent)(FakeHost(config), report)
    finally:
        part = Path(config["report"] + ".part")
        part.write_text(json.dumps(report), encoding="utf-8")
        part.replace(config["report"])


if __name__ == "__main__":
    main()
