"""Hosts: what holds an edit. The protocols and values that a host is written with, and how a host announces itself."""

from stemline.clips import ClipRange, MediaSource, SampleRange, Skip, StemClip, StemTrack, TimeRange
from stemline.hosts.base import (
    Host,
    HostCapabilities,
    RangeToRender,
    ReadClips,
    Rendered,
    Selection,
    WriteOptions,
    Written,
)
from stemline.hosts.description import Check, HostDescription, Installed, Installer, Status
from stemline.hosts.edits import Delivered, DeliveryRequest, EditFiles, EditOptions, OpenRequest

__all__ = [
    "Check",
    "ClipRange",
    "Delivered",
    "DeliveryRequest",
    "EditFiles",
    "EditOptions",
    "Host",
    "HostCapabilities",
    "HostDescription",
    "Installed",
    "Installer",
    "MediaSource",
    "OpenRequest",
    "RangeToRender",
    "ReadClips",
    "Rendered",
    "SampleRange",
    "Selection",
    "Skip",
    "Status",
    "StemClip",
    "StemTrack",
    "TimeRange",
    "WriteOptions",
    "Written",
]
