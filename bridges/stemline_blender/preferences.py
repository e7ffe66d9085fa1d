"""The add-on's preferences."""

import os
from typing import Any
from urllib.parse import urlsplit

import bpy

from . import compat
from .link import HostError

DEFAULT_FOLDER = "//stemline"


class StemlinePreferences(bpy.types.AddonPreferences):
    """What the user sets once."""

    bl_idname = __package__

    program: bpy.props.StringProperty(
        name="Stemline program",
        description="The program `stemline` to run. Empty: the one that `stemline install blender` recorded",
        subtype="FILE_PATH",
    )
    folder: bpy.props.StringProperty(
        name="Stems folder",
        description="The folder for stem files. // is the folder of the .blend file",
        default=DEFAULT_FOLDER,
        subtype="DIR_PATH",
    )
    server: bpy.props.StringProperty(
        name="Server",
        description="HOST:PORT on this computer, or https://HOST:PORT. Empty: STEMLINE_SERVER, else a private server",
    )

    def draw(self, context: Any) -> None:
        """Draw the preferences."""
        for name in ("program", "folder", "server"):
            self.layout.prop(self, name)


class _Defaults:
    """The preferences where the extension is registered without being enabled."""

    program = ""
    folder = DEFAULT_FOLDER
    server = ""


def preferences() -> Any:
    """Return the preferences, or the defaults."""
    addon = bpy.context.preferences.addons.get(__package__)
    return addon.preferences if addon is not None and addon.preferences is not None else _Defaults


def usable_server() -> str:
    """Return the server of the preferences or the environment. Raises HostError where Blender may not reach it."""
    server = preferences().server.strip() or os.environ.get("STEMLINE_SERVER", "")
    if server and not is_local(server) and not compat.can_go_online():
        raise HostError(
            f"Blender has no online access, and {server} is another computer.",
            "SERVER_UNREACHABLE",
            "Allow Online Access in Preferences > System, or clear the server.",
        )
    return str(server)


def is_local(server: str) -> bool:
    """Return whether a server is on this computer, which Blender's online access does not concern."""
    host = urlsplit(server if "://" in server else f"//{server}").hostname
    return server == "private" or host in ("localhost", "127.0.0.1", "::1")
