"""Media links: from the path or URL in an edit to a file of this machine."""

from __future__ import annotations

import ntpath
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import unquote

from stemline.errors import Code, MediaError
from stemline.files import printable

_DRIVE = re.compile(r"^[A-Za-z]:[\\/]")
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+)://|^(file):", re.IGNORECASE)  # "take 2: boom.wav" is a name


@dataclass(frozen=True, slots=True)
class LinkRules:
    """Where media is searched for.

    Relative links count from `folder`; `path_map` pairs replace the beginning of a link; files under `media_roots` are
    found by name when a link leads nowhere.
    """

    folder: Path
    path_map: tuple[tuple[str, str], ...] = ()
    media_roots: tuple[Path, ...] = ()


class MediaFinder:
    """Finds the file behind a link. Answers are cached; the media roots are listed once, when first needed."""

    def __init__(self, rules: LinkRules) -> None:
        """Search by `rules`."""
        self._rules = rules
        self._found: dict[str, str | MediaError] = {}
        self._names: dict[str, list[Path]] | None = None

    def find(self, link: str) -> str:
        """Return the absolute path of an existing regular file. Raises MediaError (MEDIA_MISSING, MEDIA_UNREADABLE)."""
        found = self._found.get(link)
        if found is None:
            try:
                found = self._search(link)
            except MediaError as error:
                found = error
            self._found[link] = found
        if isinstance(found, MediaError):
            raise found
        return found

    def media_files(self) -> list[Path]:
        """Return every file under the media roots."""
        return [path for paths in self._listed().values() for path in paths]

    def _listed(self) -> dict[str, list[Path]]:
        if self._names is None:
            self._names = _list_names(self._rules.media_roots)
        return self._names

    def _search(self, link: str) -> str:
        if "\0" in link or not link.strip():
            raise MediaError("The clip's media link is not a path.", code=Code.MEDIA_MISSING)
        plain = plain_path(link)
        for candidate in self._candidates(link, plain):
            existing = _existing(candidate)
            if existing is not None:
                return existing
        by_name = self._by_name(plain)
        if by_name is not None:
            return by_name
        raise MediaError(
            f"The media file {printable(plain)} is missing.",
            code=Code.MEDIA_MISSING,
            advice="Give its folder with --media-root, or its new place with --path-map.",
        )

    def _candidates(self, link: str, plain: str) -> Iterator[Path]:
        for old, new in self._rules.path_map:
            for spelled in dict.fromkeys((plain, link)):
                rest = _after_prefix(spelled, old)
                if rest is not None:
                    yield Path(new).absolute() / rest
        if is_windows_path(plain) and os.name != "nt":
            return
        # A bare path may hold a real "%20"; a link without scheme may also be a relative URL.
        for spelled in dict.fromkeys((plain, unquote(plain), plain.replace("\\", "/"))):
            if "\0" not in spelled:
                yield self._rules.folder / spelled

    def _by_name(self, plain: str) -> str | None:
        if not self._rules.media_roots:
            return None
        parts = _tail_parts(plain)
        found = self._listed().get(parts[-1], []) if parts else []
        if not found:
            return None
        scored = [(_common_tail(parts, _tail_parts(str(path))), path) for path in found]
        best = max(score for score, _ in scored)
        winners = [path for score, path in scored if score == best]
        if len(winners) > 1:
            raise MediaError(
                f"There are {len(winners)} files named {printable(winners[0].name)} under the media roots.",
                code=Code.MEDIA_MISSING,
                advice="Give the folder you need with --media-root.",
            )
        return str(winners[0])


def plain_path(link: str) -> str:
    """Return the path in a link: file URLs decoded; Windows, UNC and bare paths as they are.

    Raises:
        MediaError: The link does not name a file.
    """
    if is_windows_path(link):
        return link
    scheme = _SCHEME.match(link)
    if scheme is None:
        return link
    if (scheme[1] or scheme[2]).lower() != "file":
        raise MediaError(
            f"The link {printable(link)} is not a file of this machine.",
            code=Code.MEDIA_MISSING,
            advice="Copy the media here and give its folder with --media-root.",
        )
    # "#" and "?" are legal in file names and some writers leave them bare, so only the host part is split off.
    rest = link[len("file:") :]
    host = ""
    if rest.startswith("//"):
        host, _, tail = rest[2:].partition("/")
        rest = "/" + tail
    path = unquote(rest)
    if _DRIVE.match(host + "/"):
        return f"{host}{path}"
    if _DRIVE.match(path.lstrip("/")):
        return path.lstrip("/")
    return path if host.lower() in ("", "localhost", "127.0.0.1") else f"//{unquote(host)}{path}"


def mapped_link(link: str, pairs: Sequence[tuple[str, str]]) -> str:
    """Return a link whose beginning one of the pairs (from, to) replaces; others stay as they are."""
    try:
        plain = plain_path(link)
    except MediaError:
        return link
    for old, new in pairs:
        rest = _after_prefix(plain, old)
        if rest is not None:
            return f"{new.rstrip('/')}/{rest}"
    return link


def is_windows_path(text: str) -> bool:
    """Return whether a text is a Windows or UNC path."""
    return bool(_DRIVE.match(text)) or text.startswith("\\\\")


def is_relative_link(link: str) -> bool:
    """Return whether a link counts from the folder of its edit."""
    return not (is_windows_path(link) or link.startswith("/") or _SCHEME.match(link))


def existing_file(path: Path) -> bool:
    """Return whether a file exists; a name that no file can have does not."""
    try:
        return path.is_file()
    except OSError:
        return False


def _existing(path: Path) -> str | None:
    """Return `path`, or the same name in another Unicode form (macOS returns decomposed names), where it exists.

    Raises:
        MediaError: It is not a regular file.
    """
    text = os.path.normpath(path)
    for spelled in dict.fromkeys((text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text))):
        try:
            if Path(spelled).is_file():
                return spelled
            if Path(spelled).exists():
                raise MediaError(f"{printable(spelled)} is not a media file.", code=Code.MEDIA_UNREADABLE)
        except OSError:  # too long a name, no permission, a loop of links: not this one
            continue
    return None


def _after_prefix(path: str, prefix: str) -> str | None:
    """Return what follows `prefix` in `path`, None where it does not begin with it.

    Slashes are alike; drives ignore case.
    """
    whole = path.replace("\\", "/")
    head = prefix.replace("\\", "/").rstrip("/")
    fold = is_windows_path(prefix) or is_windows_path(path)
    same = whole[: len(head)].casefold() == head.casefold() if fold else whole.startswith(head)
    rest = whole[len(head) :]
    return rest.lstrip("/") if same and (not rest or rest.startswith("/")) else None


def _list_names(roots: Sequence[Path]) -> dict[str, list[Path]]:
    names: dict[str, list[Path]] = defaultdict(list)
    seen: set[str] = set()
    for root in roots:
        for folder, folders, files in os.walk(root.absolute()):
            folders.sort()
            for file in sorted(files):
                path = Path(folder, file)
                if str(path) not in seen and path.is_file():
                    seen.add(str(path))
                    names[folded_name(file)].append(path)
    return names


def _tail_parts(path: str) -> tuple[str, ...]:
    pure = PureWindowsPath(path) if is_windows_path(path) or "\\" in path else PurePosixPath(path)
    return tuple(folded_name(part) for part in pure.parts if part not in (pure.anchor, ntpath.pardir))


def folded_name(name: str) -> str:
    """Return a file name for comparison: one Unicode form, without case."""
    return unicodedata.normalize("NFC", name).casefold()


def _common_tail(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if a != b:
            break
        count += 1
    return count
