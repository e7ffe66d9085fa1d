"""The command line. Commands import their code when they run, so that `--help` is fast."""

from stemline_app.cli.main import main

__all__ = ["main"]
