"""The media linker of the OpenTimelineIO plug-in."""
