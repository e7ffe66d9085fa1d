"""A panel whose child is the strict fake host."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bridges.panel.harness import Panel
from hosts.remote.running import FakeHostRunner

OpenPanel = Callable[..., Panel]


@contextmanager
def attended(
    runner: FakeHostRunner, open_panel: OpenPanel, **changes: Any
) -> Iterator[tuple[Panel, subprocess.Popen[bytes]]]:
    """Open a panel whose child is the fake host."""
    command = runner.command(runner.config("attend", (), **changes), "--child")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        panel = open_panel(output=str(runner.folder / "stems"), streams=(child.stdout, child.stdin))
        panel.session.settings.model = "noop"
        try:
            yield panel, child
        finally:
            if child.poll() is None:
                panel.director.host.close()
            child.wait(60)


def report(runner: FakeHostRunner) -> dict[str, Any]:
    seen = runner.report()
    assert seen["faults"] == []
    return seen
