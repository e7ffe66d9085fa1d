"""Descriptions of the hosts whose bridges Stemline installs. Loads no code of the bridges themselves."""

from stemline.hosts.description import HostDescription

RESOLVE = HostDescription(
    name="resolve",
    title="DaVinci Resolve",
    installer="stemline_app.install.resolve",
    checks=("stemline_app.doctor.resolve:resolve_checks",),
    dialects={"resolve": "stemline_otio.dialect:Dialect.RESOLVE"},
)
BLENDER = HostDescription(name="blender", title="Blender", installer="stemline_app.install.blender")
