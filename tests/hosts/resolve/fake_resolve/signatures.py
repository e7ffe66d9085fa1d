"""Which methods each object has in a version of Resolve, and what they take: the stubs of 21.0.0, parsed, and a small
reviewed list of what they leave out."""

from __future__ import annotations

import ast
import functools
import json
from pathlib import Path
from typing import Any, NamedTuple

OBJECTS = ("Resolve", "ProjectManager", "Project", "MediaPool", "MediaPoolItem", "Folder", "Timeline", "TimelineItem")
_PLAIN = {"str": str, "bool": bool, "dict": dict, "list": list}


class Form(NamedTuple):
    """One way to call a method: its argument types, how many may be left out at the end, whether more may follow."""

    types: list[ast.expr]
    optional: int
    more: bool


@functools.lru_cache(maxsize=8)
def signatures_of(stubs: Path, version: tuple[int, ...]) -> Signatures:
    return Signatures(stubs, version)


class Signatures:
    def __init__(self, stubs: Path, version: tuple[int, ...]) -> None:
        self._overrides: dict[str, Any] = json.loads(
            Path(__file__).with_name("overrides.json").read_text(encoding="utf-8")
        )
        self._version = version
        module = ast.parse(stubs.read_text(encoding="utf-8"))
        self._classes = {node.name: node for node in module.body if isinstance(node, ast.ClassDef)}
        self._aliases = {
            node.targets[0].id: node.value
            for node in module.body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        self._forms = {kind: self._methods(kind) for kind in OBJECTS}

    def names(self, kind: str) -> list[str]:
        """What `dir()` shows."""
        return sorted(self._forms[kind])

    def paid(self, kind: str, name: str) -> bool:
        return f"{kind}.{name}" in self._overrides["paid"]

    def fault(self, kind: str, name: str, arguments: tuple[Any, ...]) -> str:
        """Why this call is not one that the documentation allows; empty when it is."""
        forms = self._forms[kind].get(name)
        if forms is None:
            return f"{kind}.{name} is not documented for {'.'.join(map(str, self._version))}"
        if any(self._fits(form, arguments) for form in forms):
            return ""
        return f"{kind}.{name}{arguments!r} is none of the documented ways to call it"

    def _methods(self, kind: str) -> dict[str, list[Form]]:
        found: dict[str, list[Form]] = {}
        for node in self._classes[kind].body:
            if isinstance(node, ast.FunctionDef) and self._is_there(kind, node.name):
                found.setdefault(node.name, []).append(self._form(kind, node))
        for full, override in self._overrides["methods"].items():
            of, _, name = full.partition(".")
            if of == kind and name not in found and self._is_there(kind, name) and "arguments" in override:
                found[name] = [Form([], 0, False)]
        return found

    def _override(self, kind: str, name: str) -> dict[str, Any]:
        override: dict[str, Any] = self._overrides["methods"].get(f"{kind}.{name}", {})
        return override

    def _is_there(self, kind: str, name: str) -> bool:
        return self._version >= tuple(self._override(kind, name).get("since", (0,)))

    def _form(self, kind: str, node: ast.FunctionDef) -> Form:
        override = self._override(kind, node.name)
        if self._version < tuple(override.get("arguments_since", (0,))):
            return Form([], 0, False)
        arguments = node.args.args[1:]
        types = [argument.annotation or ast.Name(id="Any") for argument in arguments]
        optional = max(len(node.args.defaults), override.get("optional", 0))
        while optional < len(types) and _generic(types[-1 - optional]) == "Optional":
            optional += 1
        return Form(types, optional, node.args.vararg is not None)

    def _fits(self, form: Form, arguments: tuple[Any, ...]) -> bool:
        least, most = len(form.types) - form.optional, len(form.types)
        if len(arguments) < least or (len(arguments) > most and not form.more):
            return False
        wanted = form.types + form.types[-1:] * (len(arguments) - most)
        return all(self._matches(kind, value) for kind, value in zip(wanted, arguments))

    def _matches(self, kind: ast.expr, value: Any) -> bool:
        if isinstance(kind, ast.Constant):
            return value is None if kind.value is None else bool(value == kind.value)
        if isinstance(kind, ast.BinOp):
            return self._matches(kind.left, value) or self._matches(kind.right, value)
        if isinstance(kind, ast.Subscript):
            return self._matches_generic(kind, value)
        return isinstance(kind, ast.Name) and self._matches_name(kind.id, value)

    def _matches_name(self, name: str, value: Any) -> bool:
        if name == "Any":
            return True
        if name in self._overrides["any_text"]:
            return isinstance(value, str)
        if name in ("int", "float"):
            return isinstance(value, (int, float) if name == "float" else int) and not isinstance(value, bool)
        if name in _PLAIN:
            return isinstance(value, _PLAIN[name])
        if name in OBJECTS:
            return getattr(value, "KIND", None) == name
        if name in self._aliases:
            return self._matches(self._aliases[name], value)
        return name in self._classes and self._matches_keys(name, value)

    def _matches_keys(self, name: str, value: Any) -> bool:
        """A TypedDict: no unknown key, each value of its type."""
        renamed = self._overrides["typed_dict_keys"].get(name, {})
        types = {
            renamed.get(node.target.id, node.target.id): node.annotation
            for node in self._classes[name].body
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        }
        return isinstance(value, dict) and all(
            key in types and self._matches(types[key], one) for key, one in value.items()
        )

    def _matches_generic(self, kind: ast.Subscript, value: Any) -> bool:
        inner: Any = kind.slice
        if type(inner).__name__ == "Index":  # Python 3.8
            inner = inner.value
        parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
        name = _generic(kind)
        if name == "Optional":
            return value is None or self._matches(parts[0], value)
        if name in ("List", "list"):
            return isinstance(value, list) and all(self._matches(parts[0], one) for one in value)
        if name == "NotRequired":
            return self._matches(parts[0], value)
        if name == "Literal":
            return any(isinstance(part, ast.Constant) and part.value == value for part in parts)
        return name in _PLAIN and isinstance(value, _PLAIN[name])


def _generic(node: ast.expr) -> str:
    return node.value.id if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) else ""
