"""Sound by content, under a quota: stems and uploads as files, media of this machine as references."""
