"""Edits of all readable formats as OpenTimelineIO timelines."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import struct
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeVar
from xml.etree import ElementTree

import opentimelineio as otio

from stemline.errors import Code, EditError
from stemline.extras import install_command
from stemline.hosts.registry import unreadable_edit
from stemline_otio.aaf_reader import read_aaf
from stemline_otio.document import only_timeline, read_document
from stemline_otio.edl import read_edl
from stemline_otio.format_metadata import apply_fcp_metadata
from stemline_otio.packed_media import unpack_bundle
from stemline_otio.xmeml import read_xmeml, restore_positions

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Format:
    """A format that needs an adapter: its title, the adapter's name in OpenTimelineIO, its package."""

    title: str
    adapter: str
    package: str


FCP_XML = Format("Final Cut 7 XML", "fcp_xml", "otio-fcp-adapter")
AAF = Format("AAF", "AAF", "otio-aaf-adapter")
BY_SUFFIX = {".xml": FCP_XML, ".aaf": AAF}
_FOR_PROGRAMMERS = re.compile(r"<class '[^']*'>|The following argument types are supported:.*", re.DOTALL)
_COMPOUND_FILE = bytes.fromhex("d0cf11e0a1b11ae1")


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How an edit is read.

    `rate` is the frame rate of an EDL, which states none. `unpack_to` is the folder for media inside a bundle or an
    AAF.
    """

    rate: Fraction | None = None
    unpack_to: Path | None = None


@dataclass(frozen=True, slots=True)
class EditDocument:
    """A timeline as read. Relative links of its media count from `folder`; `notes` list what was assumed."""

    timeline: otio.schema.Timeline
    folder: Path
    notes: tuple[str, ...] = ()


def read_edit(path: Path, options: ReadOptions | None = None) -> EditDocument:
    """Return the edit in a file (or .otiod folder) of any readable format, chosen by its suffix.

    Raises:
        EditError: A missing or damaged file, an unknown format, a missing adapter, not one timeline.
        UsageError: An EDL without a rate.
    """
    options = options or ReadOptions()
    suffix = path.suffix.lower()
    folder = path.absolute().parent
    unpack_to = options.unpack_to or folder / f"{path.name}.media"
    if suffix in (".otioz", ".otiod"):
        content = unpack_bundle(path, unpack_to)
        timeline, notes = read_document(content)
        return EditDocument(timeline, content.parent, notes)
    if suffix == ".otio":
        timeline, notes = read_document(path)
        return EditDocument(timeline, folder, notes)
    _check_readable(path)
    if suffix == ".edl":
        timeline, notes = read_edl(path, options.rate)
        return EditDocument(timeline, folder, notes)
    known = BY_SUFFIX.get(suffix)
    if known is None:
        return _read_other(path, suffix)
    require_adapter(known)
    if known is FCP_XML:
        root, notes = read_xmeml(path)
        timeline = only_timeline(call_adapter(known, path, lambda adapter: _parse_tree(adapter, root)), path)
        restore_positions(timeline)
        apply_fcp_metadata(timeline)
        return EditDocument(timeline, folder, notes)
    timeline, notes = call_adapter(known, path, lambda _: read_aaf(path, unpack_to))
    return EditDocument(timeline, folder, notes)


def require_adapter(wanted: Format) -> None:
    """Raise EditError (EDIT_ADAPTER_MISSING) with the command that installs a missing adapter."""
    if wanted.adapter not in otio.adapters.available_adapter_names():
        raise EditError(
            f"{wanted.title} edits need the package {wanted.package}, which is not installed.",
            code=Code.EDIT_ADAPTER_MISSING,
            advice=f"Run: {install_command('otio')}",
        )


def call_adapter(wanted: Format, path: Path, work: Callable[[otio.adapters.Adapter], _Result]) -> _Result:
    """Return the result of `work` with the adapter, whose prints are dropped.

    Raises EditError for whatever it raises.
    """
    adapter = otio.adapters.from_name(wanted.adapter)
    with _quiet():
        try:
            return work(adapter)
        except _adapter_failures() as error:
            reason = " ".join(_FOR_PROGRAMMERS.sub(" ", str(error)).split())[:200] or type(error).__name__
            raise EditError(
                f"{path.name} is not {wanted.title} that {wanted.package} understands ({reason}).",
                advice="Export it again, or as .otio.",
            ) from error


def _parse_tree(adapter: otio.adapters.Adapter, root: ElementTree.Element) -> otio.core.SerializableObject:
    """Return what the Final Cut adapter makes of a document, without writing and parsing it again."""
    parser = getattr(adapter.module(), "FCP7XMLParser", None)
    if parser is None:
        return adapter.read_from_string(ElementTree.tostring(root, "unicode"))
    sequences = parser(root).top_level_sequences()
    return sequences[0] if len(sequences) == 1 else otio.schema.SerializableCollection(children=sequences)


def _read_other(path: Path, suffix: str) -> EditDocument:
    """Read an edit with the adapter that is installed for its suffix, which is untested here."""
    suffixes = otio.adapters.suffixes_with_defined_adapters(read=True)
    if suffix[1:] not in suffixes:
        raise unreadable_edit(path)
    adapter = otio.adapters.from_filepath(str(path))
    known = Format(f"{suffix[1:].upper()}", adapter.name, f"the adapter {adapter.name}")
    timeline = only_timeline(call_adapter(known, path, lambda found: found.read_from_file(str(path))), path)
    note = f"{path.name} was read by the adapter {adapter.name}, which is untested here: check the result by ear."
    return EditDocument(timeline, path.absolute().parent, (note,))


def _check_readable(path: Path) -> None:
    """Raise EditError for a file that is missing, empty or not what its suffix states, and for a folder."""
    if path.is_dir():
        raise unreadable_edit(path)
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise EditError(f"The edit {path} cannot be read: {error.strerror or error}.") from error
    if not head:
        raise EditError(f"The edit {path} is empty.", advice="Export it again.")
    if path.suffix.lower() == ".aaf" and not (head.startswith(_COMPOUND_FILE) and head[28:30] == b"\xfe\xff"):
        raise EditError(f"{path.name} is not an AAF file.", advice="Export it again.")


def _adapter_failures() -> tuple[type[BaseException], ...]:
    """Return every class of error that an adapter may raise over a file that it does not understand."""
    known: list[type[BaseException]] = [
        ArithmeticError, AssertionError, AttributeError, EOFError, ImportError, LookupError, MemoryError, NameError,
        OSError, RuntimeError, StopIteration, SyntaxError, TypeError, ValueError, otio.exceptions.OTIOError,
        struct.error, zlib.error,
    ]  # fmt: skip
    aaf = sys.modules.get("aaf2.exceptions")
    if aaf is not None:
        known.append(aaf.AAFError)
    return tuple(known)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the prints, log lines and warnings of adapters off the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), _no_default_linker():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _no_default_linker() -> Iterator[None]:
    """Switch off the media linker that the user's environment names: media is linked by Stemline's rules alone."""
    linker = os.environ.pop("OTIO_DEFAULT_MEDIA_LINKER", None)
    try:
        yield
    finally:
        if linker is not None:
            os.environ["OTIO_DEFAULT_MEDIA_LINKER"] = linker
