"""Runs one scenario inside Blender (the `bpy` module, or a program): `main.py CONFIG`; a report is written beside it.

The extension is enabled as a user would have it: from the folder where it is installed.
"""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from pathlib import Path
from typing import Any

import bpy

sys.path.insert(0, str(Path(__file__).resolve().parent))


def enable() -> str:
    """Enables the extension and gives the name of its module."""
    module = "bl_ext.user_default.stemline" if bpy.app.version >= (4, 2) else "stemline_blender"
    bpy.ops.preferences.addon_enable(module=module)
    if module not in bpy.context.preferences.addons:
        raise RuntimeError(f"{module} cannot be enabled")
    return module


def main() -> None:
    config = json.loads(Path(sys.argv[-1]).read_text(encoding="utf-8"))
    report: dict[str, Any] = {"blender": bpy.app.version_string}
    try:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        module = enable()
        part, _, scenario = config["scenario"].partition(".")
        report["saw"] = getattr(importlib.import_module(part), scenario)(module, config)
    except Exception:  # noqa: BLE001 - whatever it was, the test must be told
        report["trace"] = traceback.format_exc()
    Path(config["report"]).write_text(json.dumps(report), encoding="utf-8")


if __name__ == "__main__":
    main()
