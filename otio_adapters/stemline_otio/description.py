"""The description of the edit host. Importing this module loads neither OpenTimelineIO nor an adapter."""

from stemline.hosts.description import HostDescription

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
    checks=("stemline_otio.checks:edit_format_checks",),
    dialects={
        "generic": "stemline_otio.dialect:Dialect.GENERIC",
        "kdenlive": "stemline_otio.dialect:Dialect.KDENLIVE",
        "mlt7.12": "stemline_otio.dialect:Dialect.MLT_7_12",
    },
)
