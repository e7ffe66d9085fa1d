"""`stemline models`: list the models of the server, whether they can run, and the prompts that they take."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from stemline_app.cli.options import add_json, add_server
from stemline_app.cli.output import write_json, write_line, write_table

if TYPE_CHECKING:
    from stemline.client import Model


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "models",
        help="list models and the prompts that they take",
        description="List the models of the server, whether they can run, and the prompts that they take.",
    )
    add_server(parser)
    add_json(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print a line for each model."""
    from stemline import paths
    from stemline.client import connect

    with connect(args.server) as client:
        models = client.models()
        default = client.server_info().default_model
    if args.json:
        write_json([_facts(model, default) for model in models])
        return 0
    rows = [_row(model, default) for model in models]
    write_table(("model", "ready", "prompts", "rate", "description", "licence"), rows)
    write_line(f"Folder for weights of your own: {paths.models_dir()}")
    return 0


def _facts(model: Model, default: str) -> dict[str, object]:
    return {
        "model": model.id,
        "title": model.title,
        "default": model.id == default,
        "available": model.available,
        "loaded": model.loaded,
        "revision": model.revision,
        "sample_rate": model.sample_rate or None,
        "multichannel": model.multichannel,
        "takes_text": model.takes_free_text,
        "takes_spans": model.takes_spans,
        "note": model.note,
        "licence": model.licence,
    }


def _row(model: Model, default: str) -> tuple[str, ...]:
    kinds = ("any words" if model.takes_free_text else "some words", "spans" if model.takes_spans else "")
    ready = "loaded" if model.loaded else "yes" if model.available else "no"
    return (
        f"{model.id} (default)" if model.id == default else model.id,
        ready,
        ", ".join(kind for kind in kinds if kind),
        f"{model.sample_rate} Hz" if model.sample_rate else "any",
        f"{model.title}. {model.note}",
        model.licence,
    )
