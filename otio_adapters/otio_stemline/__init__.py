"""OpenTimelineIO plug-in of Stemline.

Holds an adapter (`stemline`, suffix `.stemline`: the separation work of an edit as JSON), a media linker (`stemline`:
finds the files of stem clips that moved) and two hook scripts that no hook runs until the user's manifest attaches
them (`stemline_prepare_write`, `stemline_path_map`). There is no schema: an edit with stems opens
where this plug-in is missing.
"""
