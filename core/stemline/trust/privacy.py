"""What records, edits and reports say about the user: paths of media, and the words of prompts."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path

from stemline.errors import OutputError
from stemline.paths import home_dir
from stemline_bridge import atomic_write

_KEY_BYTES = 32


def recorded_media(path: str, record_paths: str) -> str:
    """Return how a record names the media: by name, by file URL ("full"), or not at all ("omit")."""
    if record_paths == "omit":
        return ""
    return Path(path).as_uri() if record_paths == "full" else Path(path).name


def recorded_path(path: str, record_paths: str) -> str:
    """Return how a report names a file of the user's: by its path ("full"), by name, or not at all ("omit")."""
    return path if record_paths == "full" else recorded_media(path, record_paths)


def recorded_words(text: str, record_words: str) -> str:
    """Return how a record names a prompt: in full, as a keyed hash ("hash"), or not at all ("omit").

    The hash is an HMAC with a key of this installation: it tells equal prompts of one installation, and a plain hash of
    a word such as "speech" would be guessed at once.

    Raises:
        OutputError: The key cannot be written.
    """
    if not text or record_words == "full":
        return text
    if record_words == "omit":
        return ""
    return f"hmac-sha256:{hmac.new(_key(), text.encode(), hashlib.sha256).hexdigest()}"


def mark_key(*, make: bool) -> bytes | None:
    """Return the key of marks in sound; None where this installation has none and is not to make one.

    Raises:
        OutputError: The key cannot be read or written.
    """
    if not make and not _key_file().is_file():
        return None
    return hmac.new(_key(), b"mark in sound", hashlib.sha256).digest()


def _key_file() -> Path:
    return home_dir() / "record.key"


def _key() -> bytes:
    """Return the key of this installation, which is made when it is first needed and never leaves the machine."""
    place = _key_file()
    try:
        if not place.is_file():
            atomic_write(place, secrets.token_hex(_KEY_BYTES), durable=True, mode=0o600)
        return bytes.fromhex(place.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise OutputError(
            f"The key for hashed words and marks cannot be used: {error}.",
            advice=f"Remove {place}, or use --record-words full or omit.",
        ) from error
