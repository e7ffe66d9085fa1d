"""Tells systemd how the server is: `Type=notify-reload` and `WatchdogSec` of its unit."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable


def notify(*lines: str) -> None:
    """Send lines such as "READY=1" to the service manager, where there is one (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address or not hasattr(socket, "AF_UNIX"):
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
        connection.sendto("\n".join(lines).encode(), f"\0{address[1:]}" if address.startswith("@") else address)


def notify_reloading() -> None:
    """Tell the service manager that the server reads its configuration again; send "READY=1" afterwards."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


async def feed_watchdog(is_alive: Callable[[], bool]) -> None:
    """Tell the service manager again and again that the event loop runs, as long as `is_alive` agrees."""
    interval_us = os.environ.get("WATCHDOG_USEC", "")
    if not interval_us.isdigit() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return
    while True:
        if is_alive():
            notify("WATCHDOG=1")
        await asyncio.sleep(int(interval_us) / 3e6)
