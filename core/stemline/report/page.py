"""Render the report as one self-contained page on which every clip can be heard, sorted and approved."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

import numpy as np

_COLUMNS = 240  # a clip of a 500-clip report has some 1.5 kB of waveforms
_SURE = 0.5
_SCRIPTS = ("review_player.js", "review_cards.js", "review_list.js")


def render_page(report: Mapping[str, Any]) -> str:
    """Return the HTML of a report made by `report_of`. Everything that came from the edit is escaped."""
    from jinja2 import Environment, PackageLoader  # noqa: PLC0415 - only commands that write a report need it

    environment = Environment(
        loader=PackageLoader("stemline.report"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["clock"] = clock
    environment.filters["url"] = quote
    environment.filters["basename"] = lambda path: PurePath(path).name
    scripts = "\n".join(map(_template, _SCRIPTS))
    script, style = f'"use strict";\n(() => {{\n{scripts}}})();\n', _template("review.css")
    return environment.get_template("report.html").render(
        report=report,
        data=script_json(page_data(report)),
        script=script,
        style=style,
        script_hash=_csp_hash(script),
        style_hash=_csp_hash(style),
    )


def page_data(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page's script shows: clips with their sounds, then skipped and failed ones."""
    warnings: dict[str, list[dict[str, str]]] = defaultdict(list)
    for notice in report["notices"]:
        warnings[notice["clip_id"]].append({"code": notice["code"], "text": notice["message"]})
    clips = [_clip(clip, warnings[clip["clip_id"]]) for clip in report["clips"]]
    absent = [_absent(clip, "failed") for clip in report["failed"]]
    absent += [_absent(clip, "skipped") for clip in report["result"]["skipped"]]
    identity = json.dumps([report["result"]["edit"], report["result"]["output"], report["asked"]], sort_keys=True)
    return {
        "id": hashlib.sha256(identity.encode()).hexdigest()[:16],
        "edit": PurePath(report["result"]["edit"]).name,
        "clips": [*clips, *absent],
    }


def _clip(clip: Mapping[str, Any], warnings: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    waves = [clip["mix_waveform"], *(file["waveform"] for file in clip["files"])]
    full = max(1, *(int(max(wave, default=0)) for wave in waves))
    rate = clip["sample_rate"]
    mix = {"name": "mix", "kind": "mix", "file": clip["preview"], "wave": packed_wave(clip["mix_waveform"], full)}
    frames, _, per = clip["frame_rate"].partition("/")
    return {
        "state": "done",
        "name": clip["clip"],
        "track": clip["track"],
        "start": clip["record_start"],
        "start_s": clip["record_start_s"],
        "timecode": clip["record_timecode"] or clock(clip["record_start_s"]),
        "frame": clip["record_frame"],
        "rate": [int(frames), int(per or 1)] if frames else None,
        "drop": clip["drop_frame"],
        "head_s": round(clip["handle_samples"] / rate, 6),
        "length_s": round(clip["clip_samples"] / rate, 6),
        "file_s": round(clip["length_samples"] / rate, 6),
        "facts": _facts(clip),
        "warnings": list(warnings),
        "sounds": [mix, *(_sound(file, full) for file in clip["files"])],
    }


def _facts(clip: Mapping[str, Any]) -> str:
    speed = "reused" if clip["reused"] else f"{clip['speed']}× real time" if clip["speed"] else "no computing needed"
    null = clip["null"]["dbfs"]
    return f"{clip['channels']} ch, {clip['sample_rate']} Hz · null {null} dBFS · {speed}"


def _sound(file: Mapping[str, Any], full: int) -> dict[str, Any]:
    if "found" in file:
        kind, sure = "stem", "sure" if file["confidence"] >= _SURE else "unsure"
        note = f"{file['matched']}, {sure}" if file["found"] and file["matched"] else ""
    else:
        kind, note = ("extra", "not part of the sum") if "in_sum" in file else ("residual", "")
    found = file.get("found", True)
    return {
        "name": file["stem"],
        "kind": kind,
        "file": file["file"],
        "note": note if found else "not found",
        "found": found,
        "confidence": file.get("confidence", 1),
        "wave": packed_wave(file["waveform"], full),
    }


def _absent(clip: Mapping[str, Any], state: str) -> dict[str, Any]:
    text = f"{clip['reason']} {clip.get('advice', '')}".rstrip()
    return {
        "state": state,
        "name": clip["clip"],
        "track": clip["track"],
        "start": clip["record_start"],
        "warnings": [{"code": clip["code"], "text": text}],
        "sounds": [],
    }


def packed_wave(columns: Sequence[int], full: int) -> str:
    """Return the heights of at most 240 columns as base64 of one byte each; 255 is the height `full`."""
    if not columns:
        return ""
    group = -(-len(columns) // _COLUMNS)
    heights = np.maximum.reduceat(np.asarray(columns, np.float64), np.arange(0, len(columns), group))
    return base64.b64encode(np.minimum(np.rint(255 * heights / full), 255).astype(np.uint8).tobytes()).decode()


def script_json(value: object) -> str:
    """Return JSON that can be placed in a script element: `<`, `>` and `&` are escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _template(name: str) -> str:
    return resources.files("stemline.report").joinpath("templates", name).read_text(encoding="utf-8")


def _csp_hash(text: str) -> str:
    """Return the source expression that allows exactly this inline text (W3C Content Security Policy Level 3)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def clock(seconds: float) -> str:
    """Return seconds as `0:03:07.25`."""
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes) // 60}:{int(minutes) % 60:02d}:{rest:05.2f}"
