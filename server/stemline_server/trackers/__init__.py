"""Trackers with weights: they follow an object in the picture for the client, in its process."""
