"""`stemline models`: list models, generators, taggers and trackers, and the sounds that a model knows."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stemline_app.cli.options import add_json, add_server
from stemline_app.cli.output import write_json, write_line, write_table

if TYPE_CHECKING:
    from stemline.client import KnownSound, KnownSounds, Model, SoundGenerator, Tagger

_SHOWN_PHRASES = 4


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "models",
        help="list models and the prompts that they take",
        description="List the models of the server, whether they can run, and the prompts that they take. Generators "
        "make the sound of `--replace NAME=words:TEXT`, taggers the list of `stemline suggest`. Trackers follow the "
        "object of `--box` on this machine.",
    )
    parser.add_argument("--generators", action="store_true", help="list only generators, with licence and limits")
    parser.add_argument("--taggers", action="store_true", help="list only taggers (with --generators: both)")
    parser.add_argument("--trackers", action="store_true", help="list only the trackers of this machine")
    parser.add_argument(
        "--sounds",
        metavar="MODEL",
        nargs="?",
        const="",
        help="list only the sounds that a model knows by name (default: the server's model)",
    )
    add_server(parser)
    add_json(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print a line for each model, or for each sound of one."""
    from stemline import paths
    from stemline.client import connect

    if args.trackers and not (args.generators or args.taggers or args.sounds is not None):
        _write_trackers(as_json=args.json)
        return 0
    with connect(args.server) as client:
        if args.sounds is not None:
            _write_sounds(client.known_sounds(args.sounds), as_json=args.json)
            return 0
        models = client.models()
        default = client.server_info().default_model
        generators = client.generators()
        taggers = client.taggers()
    chosen = args.generators or args.taggers
    if args.json:
        facts = [] if chosen else [_facts(model, default) for model in models]
        facts += [_generator_facts(generator) for generator in generators if args.generators]
        facts += [_tagger_facts(tagger) for tagger in taggers if args.taggers]
        facts += _tracker_facts() if args.trackers else []
        write_json(facts)
        return 0
    if not chosen:
        rows = [_row(model, default) for model in models]
        write_table(("model", "ready", "prompts", "rate", "description", "licence"), rows)
        write_line("")
    if args.generators or not chosen:
        _write_generators(generators)
    if not chosen:
        write_line("")
    if args.taggers or not chosen:
        _write_taggers(taggers)
    if args.trackers or not chosen:
        write_line("")
        _write_trackers(as_json=False)
    if not chosen:
        write_line(f"Folder for weights of your own: {paths.models_dir()}")
    return 0


def _write_trackers(*, as_json: bool) -> None:
    from stemline.media.pictures.trackers import list_trackers

    if as_json:
        write_json(_tracker_facts())
        return
    rows = [
        (one.id, "yes" if one.available else "no", f"{one.title}. {one.note}", one.licence) for one in list_trackers()
    ]
    write_table(("tracker", "ready", "description", "licence"), rows)


def _tracker_facts() -> list[dict[str, object]]:
    from stemline.media.pictures.trackers import list_trackers

    return [
        {
            "kind": "tracker",
            "tracker": one.id,
            "title": one.title,
            "available": one.available,
            "revision": one.revision,
            "note": one.note,
            "licence": one.licence,
        }
        for one in list_trackers()
    ]


def _write_sounds(known: KnownSounds, *, as_json: bool) -> None:
    if as_json:
        write_json([{"sound": one.name, "kind": one.kind, "phrases": one.phrases} for one in known.sounds])
    elif known.sounds:
        write_table(("sound", "kind", "also"), [_sound_row(sound) for sound in known.sounds])
    else:
        takes = "takes any words" if known.any_words else "does not list its sounds"
        write_line(f"The model {known.model} {takes}.")


def _sound_row(sound: KnownSound) -> tuple[str, ...]:
    listed = ", ".join(sound.phrases[:_SHOWN_PHRASES])
    return sound.name, sound.kind, listed + (", …" if len(sound.phrases) > _SHOWN_PHRASES else "")


def _write_taggers(taggers: Sequence[Tagger]) -> None:
    rows = [(one.id, "yes" if one.available else "no", f"{one.title}. {one.note}", one.licence) for one in taggers]
    write_table(("tagger", "ready", "description", "licence"), rows)


def _tagger_facts(tagger: Tagger) -> dict[str, object]:
    return {
        "kind": "tagger",
        "tagger": tagger.id,
        "title": tagger.title,
        "available": tagger.available,
        "revision": tagger.revision,
        "note": tagger.note,
        "licence": tagger.licence,
    }


def _write_generators(generators: Sequence[SoundGenerator]) -> None:
    columns = ("generator", "ready", "does", "longest", "commercial use", "description", "licence")
    write_table(columns, [_generator_row(generator) for generator in generators])


def _generator_facts(generator: SoundGenerator) -> dict[str, object]:
    return {
        "kind": "generator",
        "generator": generator.id,
        "title": generator.title,
        "available": generator.available,
        "revision": generator.revision,
        "sample_rate": generator.sample_rate,
        "channels": generator.channels,
        "longest_s": generator.max_s,
        "fills": generator.fills,
        "varies": generator.varies,
        "commercial": generator.commercial,
        "marks": generator.marks,
        "note": generator.note,
        "licence": generator.licence,
    }


def _generator_row(generator: SoundGenerator) -> tuple[str, ...]:
    does = ("make", "fill" if generator.fills else "", "vary" if generator.varies else "")
    return (
        generator.id,
        "yes" if generator.available else "no",
        ", ".join(filter(None, does)),
        f"{generator.max_s:g} s",
        generator.commercial,
        f"{generator.title}. {generator.note}",
        generator.licence,
    )


def _facts(model: Model, default: str) -> dict[str, object]:
    return {
        "kind": "model",
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
