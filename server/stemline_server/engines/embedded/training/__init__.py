"""Training of the embedded net: `python -m stemline_server.engines.embedded.training` runs all of it."""
