"""Installers of the bridges, one module for each host program, and the record of where this Stemline is installed."""

from stemline_app.install.files import bridge_folder, record_installation

__all__ = ["bridge_folder", "record_installation"]
