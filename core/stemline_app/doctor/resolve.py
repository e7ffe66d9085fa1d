"""Checks of DaVinci Resolve: whether it is here, runs the menu script, and can start the panel."""

from __future__ import annotations

import plistlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stemline import paths
from stemline.extras import install_command, why_no_panel
from stemline.hosts.description import Check, Status
from stemline_app.install import resolve
from stemline_bridge import (
    CompanionProcess,
    ConnectionClosed,
    HostError,
    NotInstalled,
    RemoteError,
    find_installation,
    read_json_object,
)
from stemline_resolve import locations
from stemline_resolve.external import Product, probe

_ROUND_TRIP = "Use `stemline batch EDIT --for resolve` (docs/hand-back/resolve.md), or DaVinci Resolve Studio."
_INSTALL = "Run `stemline install resolve`, then restart Resolve."
_NO_PYTHON_FROM = (21, 1)
_FREE = "DaVinci Resolve"
_ANSWER_S = 60.0
_ASK_S = 20.0


def resolve_checks() -> Iterator[Check]:
    """Look for Resolve, the installed script and the way from it to the panel."""
    scripts = list(resolve.copies())
    here = scripts or locations.program() or _seen() or resolve.scripts_folder().parent.exists()
    if not here:
        yield Check("resolve", Status.OK, "DaVinci Resolve was not found here")
        return
    yield _edition(bool(scripts))
    yield _script(scripts)
    if scripts:
        yield _companion()
        yield _panel()


def _edition(has_script: bool) -> Check:
    """Return which Resolve is here and whether it can run the script.

    Resolve tells its edition only while it runs: to the Python that it brings (21.1 and later), or to the script.
    """
    program, python, seen = locations.program(), locations.resolve_python(), _seen()
    product, version = str(seen.get("product", "")), str(seen.get("version", ""))
    answer = _asked(python) if python else None
    if answer is not None and answer.name != _FREE:
        return Check("resolve", Status.OK, f"{answer.name} {answer.version} answers its own Python")
    if answer is not None:
        product, version = answer
    on_disk = (_version_of(program) if program else "") or ("21.1 or later" if python else "")
    if product == _FREE and _numbers(on_disk or version) >= _NO_PYTHON_FROM:
        message = f"{product} {on_disk or version}: the free edition runs no Python scripts from 21.1 on"
        return Check("resolve", Status.WARN, message, _ROUND_TRIP)
    is_stale = program is not None and _changed_at(program) > float(seen.get("at") or 0)
    if seen and not is_stale:
        return Check("resolve", Status.OK, f"{product} {version} ran the script with Python {seen.get('python')}")
    found = f"{program or 'its folders are here'}{f', version {on_disk}' if on_disk else ''}"
    if not has_script:
        return Check("resolve", Status.OK, found)
    since = "since it was updated" if seen else "yet"
    advice = (
        "Restart Resolve and choose Workspace > Scripts > Stemline. If it is not listed: the free edition runs no "
        f"Python from 21.1 on. {_ROUND_TRIP}"
    )
    return Check("resolve", Status.WARN, f"{found}; it has not run the script {since}", advice)


def _asked(python: Path) -> Product | None:
    """Return what a running Resolve says of itself. None: it does not run, refuses, or is the free edition."""
    try:
        return probe(python, _ASK_S)
    except HostError:
        return None


def _script(scripts: list[Path]) -> Check:
    name, wanted = "resolve script", resolve.scripts_folder() / "Utility" / resolve.SCRIPT_NAME
    if not scripts:
        return Check(name, Status.OK, "not installed; `stemline install resolve` puts it there")
    if scripts != [wanted]:
        others = ", ".join(str(script) for script in scripts if script != wanted)
        return Check(
            name, Status.WARN, f"copies where Resolve may list them twice or take an old one: {others}", _INSTALL
        )
    try:
        current = wanted.read_text(encoding="utf-8") == resolve.script_text() and resolve.bridge_is_current()
    except OSError:
        current = False
    if not current:
        return Check(name, Status.WARN, f"{wanted} is of another Stemline", _INSTALL)
    return Check(name, Status.OK, str(wanted))


def _companion() -> Check:
    """Start the companion the way the menu script does, and ping it."""
    name = "resolve companion"
    try:
        installation = find_installation("", "resolve")
        companion = CompanionProcess.start(installation, {}, paths.home_dir() / "resolve" / "doctor.log")
    except NotInstalled as missing:
        return Check(name, Status.FAIL, str(missing), f"Run `{missing.command}`.")
    except OSError as error:
        return Check(name, Status.FAIL, f"cannot be started ({error})", _INSTALL)
    try:
        companion.peer.call("ping", {}, _ANSWER_S)
    except (ConnectionClosed, RemoteError, TimeoutError) as error:
        companion.stop()
        return Check(name, Status.FAIL, companion.last_words() or str(error), _INSTALL)
    companion.stop()
    return Check(name, Status.OK, "starts and answers")


def _panel() -> Check:
    """Check whether the panel, which the menu script opens, can be loaded."""
    name, why = "resolve panel", why_no_panel()
    if why:
        message = f"the panel's packages do not load ({why})"
        return Check(name, Status.WARN, message, f"Run: {install_command('panel')}")
    return Check(name, Status.OK, "its packages load")


def _version_of(program: Path) -> str:
    """As macOS keeps it beside the program; elsewhere only a running Resolve tells it."""
    try:
        with (program / "Contents" / "Info.plist").open("rb") as file:
            return str(plistlib.load(file).get("CFBundleShortVersionString", ""))
    except (OSError, plistlib.InvalidFileException):
        return ""


def _changed_at(program: Path) -> float:
    """When it came here, in seconds since 1970: an installer may keep the time of the build, the file system not."""
    facts = program.stat()
    return max(facts.st_mtime, facts.st_ctime)


def _seen() -> dict[str, Any]:
    return read_json_object(paths.home_dir() / "resolve" / "seen.json") or {}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])
