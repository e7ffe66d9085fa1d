"""Final Cut 7 XML (xmeml): documents checked and made ready for the OpenTimelineIO adapter."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from stemline.errors import Code, EditError
from stemline_otio.description import FCPXML_ADVICE
from stemline_otio.xmeml_tracks import TrackSettler


class _Root(Exception):
    """The first element of a document."""


def read_xmeml(path: Path) -> tuple[ElementTree.Element, tuple[str, ...]]:
    """Return the document ready for the adapter, and what had to be assumed.

    Raises EditError for what is no Final Cut 7 XML, or declares entities (which can be made to fill any memory, or to
    name other files).
    """
    data = path.read_bytes()
    _check_root(data, path)
    try:
        root = ElementTree.fromstring(data)  # noqa: S314 - no document with entities gets here
        settler = TrackSettler(root)
        settler.settle()
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise _no_xml(path, error) from error
    except RecursionError as error:
        raise EditError(f"{path.name} is nested deeper than any edit.", code=Code.EDIT_CYCLIC) from error
    return root, tuple(settler.notes())


def _check_root(data: bytes, path: Path) -> None:
    """Reads no further than the name of the root element."""
    parser = expat.ParserCreate()
    root = ""

    def start(tag: str, attributes: object) -> None:
        nonlocal root
        root = tag
        raise _Root

    def entity(*declaration: object) -> None:
        raise EditError(
            f"{path.name} declares XML entities, which no editor writes: it is not read.", advice="Export it again."
        )

    parser.StartElementHandler = start
    parser.EntityDeclHandler = entity
    try:
        parser.Parse(data, True)
    except _Root:
        pass
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise _no_xml(path, error) from error
    if root == "fcpxml":
        raise EditError(
            f"{path.name} is FCPXML of Final Cut Pro, which cannot be read.",
            code=Code.EDIT_FORMAT_UNKNOWN,
            advice=FCPXML_ADVICE,
        )
    if root != "xmeml":
        raise EditError(
            f"{path.name} is XML, but not Final Cut 7 XML: it is a <{root[:40]}> document.",
            code=Code.EDIT_FORMAT_UNKNOWN,
            advice="Export the sequence as .otio or as Final Cut 7 XML.",
        )


def _no_xml(path: Path, error: Exception) -> EditError:
    return EditError(f"{path.name} is not readable XML ({error}).", advice="Export it again.")
