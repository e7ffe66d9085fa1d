"""Run by a Python that sees nothing but `bpy` and numpy: Blender installs the zip, enables it, and draws no error.

`package.py ZIP REPORT`
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import bpy


def main() -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.extensions.package_install_files(filepath=sys.argv[1], repo="user_default", enable_on_install=True)
    module = "bl_ext.user_default.stemline"
    loaded = importlib.import_module(module)
    saw = {
        "enabled": module in bpy.context.preferences.addons,
        "folder": str(Path(loaded.__file__ or "").parent),
        "operators": [name for name in dir(bpy.ops.stemline) if not name.startswith("_")],
        "panel": bpy.types.Panel.bl_rna_get_subclass_py("STEMLINE_PT_separate") is not None,
        "link": importlib.import_module(f"{module}.link").__name__,
        "foreign": sorted({"stemline", "stemline_bridge", "grpc", "google", "av"} & set(sys.modules)),
    }
    bpy.ops.preferences.addon_disable(module=module)
    saw["disabled"] = not hasattr(bpy.types.Scene, "stemline")
    Path(sys.argv[2]).write_text(json.dumps(saw), encoding="utf-8")


if __name__ == "__main__":
    main()
