"""What `stemline doctor` says of the edit formats."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from stemline.hosts.checks import Check, Status

_NAME = "edit formats"
_REINSTALL = "Run `pip install --force-reinstall stemline`."


def edit_format_checks() -> Iterator[Check]:
    """Yield one finding: the suffixes that OpenTimelineIO and its adapters read here."""
    try:
        otio = import_module("opentimelineio")
        suffixes = otio.adapters.suffixes_with_defined_adapters(read=True)
    except Exception as error:  # noqa: BLE001 - a broken plug-in manifest raises anything
        yield Check(_NAME, Status.FAIL, f"OpenTimelineIO does not work ({error})", _REINSTALL)
        return
    if "otio" not in suffixes:
        advice = "Check OTIO_PLUGIN_MANIFEST_PATH."
        yield Check(_NAME, Status.FAIL, "OpenTimelineIO cannot read .otio files", advice)
        return
    yield Check(_NAME, Status.OK, ", ".join(sorted(f".{suffix}" for suffix in suffixes)))
