"""Content Credentials (C2PA): manifests that programs of others can read, in or beside finished files.

The work is done in a child process, `c2pa_worker`, which is started on first use and shared by the whole process.
"""

from __future__ import annotations

import atexit
import json
import mimetypes
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from stemline._version import __version__
from stemline.errors import StemlineError
from stemline.files import output_errors, printable
from stemline.trust import keys
from stemline.trust.c2pa_files import LARGEST_BYTES, may_hold_manifest, sidecar_of
from stemline_bridge.files import part_path, put_in_place

_ANSWER_S = 300.0
IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_SOURCE_TYPES = {
    "masking": "algorithmicallyEnhanced",
    "generative": "compositeWithTrainedAlgorithmicMedia",
    "algorithmic": "algorithmicMedia",
}


class CredentialsError(Exception):
    """A manifest cannot be written or read. The text is a part of a sentence."""


def is_installed() -> bool:
    """Return whether the package that writes and reads Content Credentials is installed."""
    return find_spec("c2pa") is not None and keys.have_cryptography()


def source_type(record: Mapping[str, Any]) -> str:
    """Return the IPTC digital source type of a recorded sound; empty where the record does not say how it arose.

    A masking engine enhances a recording and adds nothing; a generative one makes parts of it; a fill from words is
    made whole.
    """
    if is_made_from_words(record):
        return f"{IPTC}trainedAlgorithmicMedia"
    name = _SOURCE_TYPES.get(str(record.get("made_by", "")))
    return f"{IPTC}{name}" if name else ""


def is_made_from_words(record: Mapping[str, Any]) -> bool:
    """Return whether a recorded sound is a fill that a model made from words, and not from a recording."""
    made_from = record.get("made_from")
    return record.get("kind") == "fill" and isinstance(made_from, Mapping) and made_from.get("method") == "words"


def stem_manifest(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the manifest of a stem file without its ingredients.

    Args:
        record: Its record, with prompt and media as the privacy settings say.
        name: Name of the file.
    """
    agent = {"name": "Stemline", "version": __version__}
    kind = {"digitalSourceType": source_type(record)} if source_type(record) else {}
    if is_made_from_words(record):
        actions = [{"action": "c2pa.created", "softwareAgent": agent, **kind}]
    else:
        opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": ["source"]}}
        actions = [opened, {"action": "c2pa.edited", "softwareAgent": agent, **kind}]
    return {
        "claim_generator_info": [agent],
        "title": _clean(name),
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": actions}},
            {"label": "dev.stemline.separation", "data": json.loads(_clean(json.dumps(record, ensure_ascii=False)))},
        ],
    }


def bounce_manifest(name: str, parts: int) -> dict[str, Any]:
    """Return the manifest of a finished file, into which `parts` ingredients labelled "part-0", "part-1" ... went."""
    agent = {"name": "Stemline", "version": __version__}
    created = {"action": "c2pa.created", "softwareAgent": agent, "digitalSourceType": f"{IPTC}composite"}
    placed = [{"action": "c2pa.placed", "parameters": {"ingredientIds": [f"part-{number}"]}} for number in range(parts)]
    return {
        "claim_generator_info": [agent],
        "title": _clean(name),
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [created, *placed]}}],
    }


def stem_ingredient(record: Mapping[str, Any], media: str) -> dict[str, Any]:
    """Return the ingredient of a stem: the sound it was taken from.

    Args:
        record: The record of the stem, which names the media or, with `record_paths="omit"`, does not.
        media: Path of the media, whose own manifest goes into that of the stem unless the record does not name it.
    """
    source = record["source"]
    name = Path(media).name if source["media"] else "source"
    described = {
        "title": _clean(name),
        "format": mimetypes.guess_type(name)[0] or "application/octet-stream",
        "relationship": "parentOf",
        "instance_id": f"stemline:audio-sha256:{source.get('audio_sha256', '')}",
        "label": "source",
    }
    return {"described": described, "file": media if source["media"] else ""}


def write_credentials(
    file: Path,
    manifest: Mapping[str, Any],
    ingredients: Sequence[Mapping[str, Any]],
    check: Callable[[Path], None] = lambda signed: None,
) -> str:
    """Sign a finished file: "embedded" in it, or "sidecar" beside it where its format holds no manifest.

    A signed copy is made, validated, and only then takes the place of the file, so that the file is whole at any time.

    Args:
        file: The file.
        manifest: Its manifest, without ingredients.
        ingredients: The ingredients, as `stem_ingredient` describes them.
        check: Checks the signed copy; raises CredentialsError.

    Raises:
        CredentialsError: The file is too large, or the manifest cannot be made.
        OutputError: The file cannot be written.
    """
    with output_errors(file):
        if file.stat().st_size > LARGEST_BYTES:
            raise CredentialsError(f"the file is larger than {LARGEST_BYTES >> 20} MiB")
        part = part_path(file)
        request = {
            "do": "sign",
            "file": str(file),
            "output": str(part),
            "manifest": manifest,
            "ingredients": list(ingredients),
            "anchors": "",
        }
        try:
            embedded = bool(_ask(request)["embedded"])
            if embedded:
                check(part)
            put_in_place(part, file if embedded else sidecar_of(file))
            if embedded:
                sidecar_of(file).unlink(missing_ok=True)
        finally:
            part.unlink(missing_ok=True)
    return "embedded" if embedded else "sidecar"


@dataclass(frozen=True, slots=True)
class CredentialsCheck:
    """The Content Credentials of a file as they were read.

    Attributes:
        state: "trusted" (by a key that is trusted here), "valid" (by another), "invalid" (file and manifest do not
            match), "remote" (somewhere on the network, which is never read), "unreadable", or "unchecked" without the
            package.
        embedded: Whether they are in the file; else beside it.
        issuer: Name in the certificate. Only that of a trusted key can be believed.
        generator: The program that claims to have written them.
        actions: Names of the actions.
        source_types: IPTC digital source types of the actions.
        ingredients: Titles of what went into the file.
        manifests: Number of manifests, those of ingredients included.
        failures: Codes of failed checks, or why they cannot be read.
    """

    state: str
    embedded: bool = False
    issuer: str = ""
    generator: str = ""
    actions: tuple[str, ...] = ()
    source_types: tuple[str, ...] = ()
    ingredients: tuple[str, ...] = ()
    manifests: int = 0
    failures: tuple[str, ...] = field(default=())

    @property
    def sentence(self) -> str:
        """The finding in one sentence."""
        return {
            "trusted": f"Content Credentials by {self.issuer}, a trusted key, match the file.",
            "valid": "Content Credentials by an issuer that is not trusted here match the file.",
            "invalid": f"Content Credentials do not match the file or are damaged ({', '.join(self.failures)}).",
            "remote": "Content Credentials are at an address on the network, which Stemline does not read.",
            "unreadable": f"Content Credentials cannot be read: {', '.join(self.failures)}.",
            "unchecked": "Content Credentials; not checked, install stemline[trust].",
        }[self.state]

    @property
    def claims(self) -> str:
        """What they say about the file, in a line; empty where nothing was read."""
        kinds = ", ".join(dict.fromkeys(kind.rpartition("/")[2] for kind in self.source_types))
        parts = ", ".join(self.ingredients)
        said = (("by", self.generator), ("as", kinds), ("from", parts))
        return printable(", ".join(f"{word} {text}" for word, text in said if text))

    def to_json(self) -> dict[str, object]:
        """Return the JSON form."""
        return {
            "state": self.state,
            "embedded": self.embedded,
            "issuer": self.issuer,
            "generator": self.generator,
            "actions": list(self.actions),
            "source_types": list(self.source_types),
            "ingredients": list(self.ingredients),
            "manifests": self.manifests,
            "failures": list(self.failures),
            "sentence": self.sentence,
        }


def read_credentials(file: Path) -> CredentialsCheck | None:
    """Read the Content Credentials in or beside a file, which may come from anywhere; None where there are none.

    Nothing is read from the network.

    Raises:
        UsageError: The keys of this installation cannot be read.
    """
    if not may_hold_manifest(file):
        return None
    if not is_installed():
        return CredentialsCheck("unchecked")
    own = keys.own_root()
    roots = [*([own] if own else []), *keys.trusted_roots()]
    certificates = keys.load_certificates()
    anchors = b"".join(certificates.pem_of(root) for root in roots).decode("ascii")
    try:
        facts = _ask({"do": "read", "file": str(file), "anchors": anchors})
    except CredentialsError as error:
        return CredentialsCheck("unreadable", failures=(str(error),))
    state = facts["state"].lower()
    if state in ("none", "remote"):
        return None if state == "none" else CredentialsCheck("remote")
    return CredentialsCheck(
        state=state if state in ("trusted", "valid") else "invalid",
        embedded=facts["embedded"],
        issuer=facts["issuer"],
        generator=facts["generator"],
        actions=tuple(facts["actions"]),
        source_types=tuple(facts["source_types"]),
        ingredients=tuple(facts["ingredients"]),
        manifests=facts["manifests"],
        failures=tuple(facts["failures"]),
    )


def left_out_credentials(media: Path, obstacle: str) -> str:
    """Return why stems do not hold the Content Credentials of their media; empty where they do or it has none.

    Args:
        media: The media.
        obstacle: Why they cannot hold those of any media; empty where they can.

    Returns:
        A sentence without its subject, the media.
    """
    try:
        status = media.stat()
        if not may_hold_manifest(media):
            return ""
    except OSError:
        return ""  # it is not on this machine any more
    sure, reason = _not_read(media, (status.st_mtime_ns, status.st_size))
    if not (reason := reason or obstacle):
        return ""
    return f"{'has' if sure else 'may have'} Content Credentials, which the stems do not hold: {reason}."


@lru_cache(maxsize=256)
def _not_read(media: Path, state: tuple[int, int]) -> tuple[bool, str]:
    """Return whether a media has credentials for sure, and why they do not go into its stems; empty where they can.

    `state` is its time and size: each segment asks, and reading a long media takes a second.
    """
    if state[1] > LARGEST_BYTES:
        return False, f"those of files above {LARGEST_BYTES >> 20} MiB are not read"
    try:
        check = read_credentials(media)
    except StemlineError:
        return False, "they cannot be checked with the keys of this installation"
    if check is None:
        return False, ""
    if check.state == "unchecked":
        return False, "reading them needs stemline[trust]"
    if check.state == "remote":
        return True, "they are at an address on the network, which Stemline does not read"
    if check.state in ("invalid", "unreadable"):
        return True, "they are damaged or do not match the media"
    return True, "" if check.embedded else "they are in a file beside the media, which is not read"


class _Worker:
    """The child process. One request at a time; it is started again after its end, and for another folder of keys."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._keys = Path()

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to a request. Raises CredentialsError."""
        with self._lock:
            process = self._running()
            timer = threading.Timer(_ANSWER_S, process.kill)
            timer.start()
            try:
                if process.stdin is None or process.stdout is None:
                    raise AssertionError("the child has pipes")
                process.stdin.write(json.dumps(request) + "\n")
                process.stdin.flush()
                answer: dict[str, Any] = json.loads(process.stdout.readline())
            except (OSError, ValueError) as error:  # it ended, or the C2PA library printed a line of its own
                self._end()
                raise CredentialsError(
                    "the process that handles them ended; the file may be too large or damaged"
                ) from error
            finally:
                timer.cancel()
        if "error" in answer:
            raise CredentialsError(answer["error"])
        return answer

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._end()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None or self._keys != keys.keys_dir():
            self._end()
            self._keys = keys.keys_dir()
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-W", "ignore", "-m", "stemline.trust.c2pa_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="ascii",
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    continue
        process.kill()
        process.wait()


_worker = _Worker()
_ask = _worker.ask
atexit.register(_worker.close)


def _clean(text: str) -> str:
    """Return text without halves of surrogate pairs, which file names can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")
