"""The adapter of the OpenTimelineIO plug-in: work lists."""
