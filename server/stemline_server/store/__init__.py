"""Sound by content: stems and uploads as files, media of this machine as references, all under a quota."""
