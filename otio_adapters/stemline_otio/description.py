"""The description of the edit host. Importing this module loads neither OpenTimelineIO nor an adapter."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from stemline.hosts.description import Check, HostDescription, Status

_NAME = "edit formats"
_REINSTALL = "Run `pip install --force-reinstall stemline`."

FCPXML_ADVICE = (
    "Final Cut Pro exports XML 1.x, which is not Final Cut 7 XML. Import it into DaVinci Resolve (File > Import > "
    "Timeline) and export the timeline as .otio there, or convert it to Final Cut 7 XML (CommandPost, XtoCC)."
)

DESCRIPTION = HostDescription(
    name="otio",
    title="OpenTimelineIO, Final Cut 7 XML, AAF and EDL",
    reads=(".otio", ".otioz", ".otiod", ".xml", ".aaf", ".edl"),
    writes=("xml", "aaf", "wav"),
    refuses={
        ".drp": "In DaVinci Resolve, choose File > Export > Timeline and the type OpenTimelineIO.",
        ".drt": "In DaVinci Resolve, choose File > Export > Timeline and the type OpenTimelineIO.",
        ".fcpxml": FCPXML_ADVICE,
        ".fcpxmld": FCPXML_ADVICE,
        ".kdenlive": "In Kdenlive 25.04 or later, export the project as OpenTimelineIO.",
        ".mlt": "In Shotcut, choose File > Export > EDL.",
        ".prproj": "In Premiere Pro, choose File > Export > Final Cut Pro XML.",
    },
    edit_files="stemline_otio.edit_files:FILES",
    checks=("stemline_otio.description:edit_format_checks",),
    dialects={
        "generic": "stemline_otio.dialect:Dialect.GENERIC",
        "kdenlive": "stemline_otio.dialect:Dialect.KDENLIVE",
        "mlt7.12": "stemline_otio.dialect:Dialect.MLT_7_12",
    },
)


def edit_format_checks() -> Iterator[Check]:
    """Yield one finding: the suffixes that this host, OpenTimelineIO and its adapters read here."""
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
    yield Check(_NAME, Status.OK, ", ".join(sorted(f".{suffix}" for suffix in {"edl", *suffixes})))
