"""The embedded engine: separation by name and by marked spans, without any download."""

from stemline_server.engines.embedded.engine import EmbeddedEngine

__all__ = ["EmbeddedEngine"]
