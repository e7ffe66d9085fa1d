"""Sign a finished file, such as a bounce, with Content Credentials that name the stems in it."""

from __future__ import annotations

import mimetypes
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from stemline.errors import Code, InputError, OutputError, UsageError
from stemline.extras import install_command
from stemline.files import output_errors, printable
from stemline.trust.c2pa_files import sidecar_of
from stemline.trust.content_credentials import CredentialsError, bounce_manifest, is_installed, write_credentials
from stemline.trust.signatures import signer_for
from stemline_bridge.files import atomic_path

_MOST_PARTS = 500


def sign(
    file: str | os.PathLike[str], *, output: str | os.PathLike[str], made_from: Sequence[str | os.PathLike[str]] = ()
) -> Path:
    """Copy a file to a folder and sign the copy with Content Credentials. The file itself stays as it is.

    Args:
        file: A finished file, such as a mix or a film.
        output: The folder of the signed copy. A manifest is inside WAV, FLAC, MP3, M4A, MP4 and MOV, else beside it.
        made_from: Files that went into it, such as stems. Their own valid manifests go into that of the copy.

    Returns:
        The signed copy.

    Raises:
        InputError: A file is missing.
        OutputError: The copy exists already, or cannot be written or signed.
        UsageError: This installation has no key, or the extra `trust` is not installed.

    Examples:
        `stemline keys init` makes the key that this needs:

        >>> import stemline
        >>> stemline.sign("interview.wav", output="signed")
        Traceback (most recent call last):
        ...
        stemline.errors.UsageError: This installation has no key. `stemline keys init` makes one.
    """
    if not is_installed():
        raise UsageError("The package c2pa-python is not installed.", advice=f"Run {install_command('trust')}.")
    signer_for("require")
    source, parts = Path(file), [Path(part) for part in made_from]
    for path in (source, *parts):
        if not path.is_file():
            raise InputError(f"There is no file {printable(path)}.", advice="Check the path.")
    if len(parts) > _MOST_PARTS:
        raise UsageError(f"A file is signed with up to {_MOST_PARTS} parts, not {len(parts)}.")
    signed = Path(output) / source.name
    for path in (signed, sidecar_of(signed)):  # a manifest there belongs to another file of that name
        if path.exists():
            raise OutputError(
                f"{printable(path)} already exists.", code=Code.OUTPUT_EXISTS, advice="Name another folder."
            )
    with output_errors(signed), atomic_path(signed) as copy:
        shutil.copyfile(source, copy)
    try:
        write_credentials(signed, bounce_manifest(signed.name, len(parts)), [_part(n, p) for n, p in enumerate(parts)])
    except BaseException as error:
        signed.unlink(missing_ok=True)
        if isinstance(error, CredentialsError):
            raise OutputError(
                f"{printable(signed)} cannot be signed: {error}.",
                code=Code.OUTPUT_UNWRITABLE,
                advice="Files above 512 MiB cannot be signed; see the page about records and signatures.",
            ) from error
        raise
    return signed


def _part(number: int, path: Path) -> dict[str, object]:
    described = {
        "title": path.name.encode("utf-8", "replace").decode("utf-8"),
        "format": mimetypes.guess_type(path.name)[0] or "application/octet-stream",
        "relationship": "componentOf",
        "label": f"part-{number}",
    }
    return {"described": described, "file": str(path.absolute())}
