"""The command line stands on the library, never the other way round."""

from __future__ import annotations

import ast
from pathlib import Path

import stemline
import stemline_bridge

CORE = Path(stemline.__file__).parent
BRIDGES = Path(stemline_bridge.__file__).parent.parent


def imported(path: Path) -> set[str]:
    """Every module that a file imports, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def test_no_library_depends_on_the_command_line() -> None:
    files = [path for root in (CORE, BRIDGES) for path in root.rglob("*.py")]
    library = [path for path in files if CORE / "cli" not in path.parents and path != CORE / "__main__.py"]
    assert len(library) > 100
    assert [str(path) for path in library if "stemline_app.cli" in imported(path)] == []
