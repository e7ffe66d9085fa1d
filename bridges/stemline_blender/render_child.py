"""Run by the background Blender that renders ranges: `blender -b copy.blend -P render_child.py -- order.json`."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    sys.path.insert(0, str(here.parent))
    rendering = importlib.import_module(f"{here.name}.rendering")
    order = json.loads(Path(sys.argv[-1]).read_text(encoding="utf-8"))
    failures = rendering.render_all([rendering.Range(**one) for one in order["ranges"]])
    Path(order["report"]).write_text(json.dumps(failures), encoding="utf-8")
