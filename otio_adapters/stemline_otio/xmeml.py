"""Final Cut 7 XML (xmeml) made ready for its adapter, which loses nested sequences and the offsets of subclips."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from stemline.errors import Code, EditError
from stemline_otio.words import several


class _Root(Exception):
    """The first element of a document."""


def xmeml_text(path: Path) -> tuple[str | bytes, tuple[str, ...]]:
    """The document for the adapter, and what had to be assumed.

    Raises EditError for what is no Final Cut 7 XML, or declares entities (which can be made to fill any memory, or to
    name other files).
    """
    data = path.read_bytes()
    _check_root(data, path)
    try:
        root = ElementTree.fromstring(data)  # noqa: S314 - no document with entities gets here
        subclips = [item.findtext("name", "") for item in root.iter("clipitem") if _count_from_file(item)]
        changed = [_open_nest(item) or _name_a_file(item) for item in root.iter("clipitem")]
        text = ElementTree.tostring(root, "unicode") if subclips or any(changed) else data
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise _no_xml(path, error) from error
    except RecursionError as error:
        raise EditError(f"{path.name} is nested deeper than any edit.", code=Code.EDIT_CYCLIC) from error
    notes = [f"{several(subclips)}: counted from where the subclip begins."] if subclips else []
    return text, tuple(notes)


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
            f"{path.name} is FCPXML of Final Cut Pro X, which cannot be read.",
            code=Code.EDIT_FORMAT_UNKNOWN,
            advice="Export the sequence as .otio or as Final Cut 7 XML.",
        )
    if root != "xmeml":
        raise EditError(
            f"{path.name} is XML, but not Final Cut 7 XML: it is a <{root[:40]}> document.",
            code=Code.EDIT_FORMAT_UNKNOWN,
            advice="Export the sequence as .otio or as Final Cut 7 XML.",
        )


def _no_xml(path: Path, error: Exception) -> EditError:
    return EditError(f"{path.name} is not readable XML ({error}).", advice="Export it again.")


def _open_nest(item: ElementTree.Element) -> bool:
    """The adapter looks for the tracks of a nested sequence right under it, and not in its `media`."""
    nest = item.find("sequence")
    media = nest.find("media") if nest is not None else None
    if nest is None or media is None:
        return False
    nest.extend(list(media))
    nest.remove(media)
    return True


def _name_a_file(item: ElementTree.Element) -> bool:
    """Over a clip that names neither file nor sequence the adapter refuses all of the edit."""
    if item.find("file") is not None or item.find("sequence") is not None:
        return False
    ElementTree.SubElement(item, "file")
    return True


def _count_from_file(item: ElementTree.Element) -> bool:
    """A subclip's `in` counts from where the subclip begins, which the adapter does not know of: a plain clip is made
    of it."""
    subclip = item.find("subclipinfo")
    offset = subclip.findtext("startoffset", "").strip() if subclip is not None else ""
    if subclip is None or not offset.isdecimal() or int(offset) == 0:
        return False
    item.remove(subclip)
    for tag in ("in", "out"):
        point = item.find(tag)
        if point is not None and (point.text or "").strip().isdecimal():
            point.text = str(int(point.text or "") + int(offset))
    return True
