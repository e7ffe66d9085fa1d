"""The child process that signs and reads Content Credentials: `python -m stemline.trust.c2pa_worker`.

It reads one JSON request a line and answers each with one line. The library works on whole files in memory and parses
what others wrote, so it runs here, under a memory limit, and its end harms nothing else. The one module that imports
`c2pa`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import c2pa

from stemline.errors import StemlineError
from stemline.trust import keys
from stemline.trust.c2pa_files import (
    LARGEST_BYTES,
    SIDECAR_BYTES,
    SIDECAR_TYPE,
    may_hold_manifest,
    media_type,
    sidecar_of,
)
from stemline.trust.certificates import SigningKey

_MEMORY_BYTES = 3 << 30  # three times the largest file, the interpreter and the library
_LONGEST_TEXT = 200
_MOST = 20
_VALID = ("Valid", "Trusted")
_NO_MANIFEST = ("ManifestNotFound", "NotSupported")


def main() -> None:
    """Answer requests until the end of standard input."""
    _limit_memory()
    for line in sys.stdin:
        try:
            request = json.loads(line)
            answer = _DO[request["do"]](request)
        except StemlineError as error:
            answer = {"error": error.message}
        except MemoryError:
            answer = {"error": "there is not enough memory"}
        except Exception as error:  # noqa: BLE001 - the library raises many kinds for hostile files
            answer = {"error": _short(str(error) or type(error).__name__)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _limit_memory() -> None:
    """Limit the memory of this process. Windows has no such limit."""
    try:
        import resource  # noqa: PLC0415 - POSIX only
    except ImportError:
        return
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _sign(request: Mapping[str, Any]) -> dict[str, Any]:
    """Sign a file into `output`, or, where its format holds no manifest, write the manifest there, as a sidecar.

    The result is read back, and only a valid one counts.
    """
    file, output = Path(request["file"]), Path(request["output"])
    key, kind = keys.own_key(), media_type(file)
    parts = [part for part in request["ingredients"] if _is_signed_part(part)]
    embedded = kind != SIDECAR_TYPE
    try:
        data = _signed(key, request, output if embedded else None, kind, parts)
    except c2pa.C2paError:
        if not embedded:
            raise
        embedded, kind = False, SIDECAR_TYPE
        data = _signed(key, request, None, kind, parts)
    if not embedded:
        output.write_bytes(data)
    facts = _facts(output if embedded else file, kind, None if embedded else data, request["anchors"])
    if facts["state"] not in _VALID:
        raise ValueError(f"the new manifest is not valid: {', '.join(facts['failures']) or facts['state']}")
    return {"embedded": embedded, **facts}


def _signed(
    key: SigningKey, request: Mapping[str, Any], output: Path | None, kind: str, parts: Sequence[Mapping[str, Any]]
) -> bytes:
    """Sign the file of a request into `output`, None for a sidecar, and return the bytes of the manifest.

    Args:
        key: The key of this installation.
        request: The file and its manifest.
        output: The file to write.
        kind: Media type of the file.
        parts: The files that went into it, which hold manifests of their own.
    """
    private, chain = key.to_pem()
    described = [part["described"] for part in request["ingredients"] if part not in parts]
    manifest = {**request["manifest"], "ingredients": described}
    with ExitStack() as stack:
        signer = stack.enter_context(
            c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", chain, private, None))  # no time stamp: no network
        )
        builder = stack.enter_context(c2pa.Builder(json.dumps(manifest), _context("")))
        for part in parts:
            stream = stack.enter_context(Path(part["file"]).open("rb"))
            builder.add_ingredient(json.dumps(part["described"]), media_type(Path(part["file"])), stream)
        if output is None:
            builder.set_no_embed()
        source = stack.enter_context(Path(request["file"]).open("rb"))
        target = stack.enter_context(output.open("w+b") if output else BytesIO())
        data: bytes = builder.sign(signer, kind, source, target)
        return data


def _is_signed_part(part: Mapping[str, Any]) -> bool:
    """Return whether a part is a file with a manifest in it that can go into another. One that is damaged cannot."""
    file = Path(part["file"])
    kind = media_type(file)
    if not part["file"] or kind == SIDECAR_TYPE or not 0 < _size(file) <= LARGEST_BYTES or not may_hold_manifest(file):
        return False
    try:
        return _facts(file, kind, None, "")["state"] in _VALID
    except c2pa.C2paError:
        return False


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _read(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts about the manifest of a file, in it or beside it."""
    file = Path(request["file"])
    beside = sidecar_of(file)
    try:
        return {"embedded": True, **_facts(file, media_type(file), None, request["anchors"])}
    except c2pa.C2paError as error:
        if str(error).startswith("Remote"):
            return {"state": "remote"}
        if not beside.is_file():
            if str(error).startswith(_NO_MANIFEST):
                return {"state": "none"}
            raise
    with beside.open("rb") as stream:
        data = stream.read(SIDECAR_BYTES + 1)
    if len(data) > SIDECAR_BYTES:
        raise ValueError("the file beside it is larger than any manifest")
    return {"embedded": False, **_facts(file, SIDECAR_TYPE, data, request["anchors"])}


def _facts(file: Path, kind: str, data: bytes | None, anchors: str) -> dict[str, Any]:
    """Return what a manifest says, every text cut: it may come from anywhere."""
    with file.open("rb") as stream, c2pa.Reader(kind, stream, data, _context(anchors)) as reader:
        store = json.loads(reader.json())
        active = store.get("manifests", {}).get(store.get("active_manifest"), {})
        results = store.get("validation_results", {}).get("activeManifest", {})
        actions = [
            action
            for assertion in active.get("assertions", [])
            if str(assertion.get("label", "")).startswith("c2pa.actions")
            for action in assertion.get("data", {}).get("actions", [])
        ]
        generator = (active.get("claim_generator_info") or [{}])[0]
        return {
            "state": str(reader.get_validation_state()),
            "issuer": _short(active.get("signature_info", {}).get("common_name", "")),
            "generator": _short(f"{generator.get('name', '')} {generator.get('version', '')}".strip()),
            "actions": [_short(action.get("action", "")) for action in actions[:_MOST]],
            "source_types": [_short(a["digitalSourceType"]) for a in actions[:_MOST] if "digitalSourceType" in a],
            "ingredients": [_short(part.get("title", "")) for part in active.get("ingredients", [])[:_MOST]],
            "manifests": len(store.get("manifests", {})),
            "failures": [_short(failure.get("code", "")) for failure in results.get("failure", [])[:_MOST]],
        }


def _context(anchors: str) -> Any:
    """Return the settings of a call: roots that are trusted, and no network (both are fetched by default)."""
    settings: dict[str, Any] = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": True}}
    if anchors:
        settings["trust"] = {"user_anchors": anchors}
    return c2pa.Context(c2pa.Settings.from_dict(settings))


def _short(text: object) -> str:
    return str(text)[:_LONGEST_TEXT]


_DO = {"sign": _sign, "read": _read}

if __name__ == "__main__":
    main()
