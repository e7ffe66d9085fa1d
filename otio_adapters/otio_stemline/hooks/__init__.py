"""Hook scripts of the OpenTimelineIO plug-in."""
