"""The embedded model: separation by words and by marked spans with nothing to download."""

from stemline_server.engines.embedded.engine import EmbeddedEngine

__all__ = ["EmbeddedEngine"]
