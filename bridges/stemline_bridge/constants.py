"""Names and versions that the core and every bridge must agree on."""

from __future__ import annotations

PROTOCOLS = (1,)
"""Versions of docs/host-protocol.md that this Stemline speaks."""
METADATA_KEY = "stemline"
"""The key of everything that Stemline writes into a document of the user's."""
METADATA_VERSION = 1
"""The version of what is written under `METADATA_KEY`."""
INSTALLATION_FILE = "installation.json"
"""The file in Stemline's data folder that says how a bridge starts the companion."""
