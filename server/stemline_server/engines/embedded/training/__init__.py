"""How the embedded net is trained; `python -m stemline_server.engines.embedded.training` does it all."""
