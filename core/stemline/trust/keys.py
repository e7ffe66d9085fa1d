"""The keys folder of this installation: the key that signs its records, and the roots that it trusts.

`signing.pem` holds the private key, its certificate and the root certificate; `trusted` holds roots of others.
Neither the folder nor the private key may be readable by other users.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from stemline.errors import Code, InputError, OutputError, UsageError
from stemline.extras import install_command
from stemline.files import output_errors, printable
from stemline.paths import home_dir
from stemline_bridge import atomic_write

if TYPE_CHECKING:
    from stemline.trust.certificates import Certificate, SigningKey

DEFAULT_NAME = "Stemline installation"
_LONGEST_NAME = 64  # of a common name (RFC 5280, appendix A)
_LARGEST_FILE_BYTES = 1 << 16
_OTHERS = 0o077


def keys_dir() -> Path:
    """Return the folder of the keys."""
    return home_dir() / "keys"


def have_key() -> bool:
    """Return whether this installation has a key of its own. Raises InputError where its folder cannot be read."""
    try:
        return _own_file().exists()
    except OSError as error:
        raise InputError(f"{printable(keys_dir())} cannot be read: {error.strerror}.") from error


def make_key(name: str = DEFAULT_NAME) -> SigningKey:
    """Make the key of this installation. Its certificates are valid for ten years.

    Args:
        name: The name that others see; it is in every signature.

    Raises:
        UsageError: There is a key already, or the name is empty, too long or not printable.
        OutputError: The key cannot be written.
    """
    if have_key():
        raise UsageError(
            "This installation has a key already.",
            advice=f"`stemline keys show` prints it; remove {_own_file()} to make another.",
        )
    if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        raise UsageError(f"A name of a key has 1 to {_LONGEST_NAME} printable characters, not {name[:80]!r}.")
    pem = load_certificates().make_signing_key(name.strip(), datetime.now(UTC).replace(microsecond=0))
    _make_folder()
    with output_errors(_own_file()):
        atomic_write(_own_file(), pem, durable=True, mode=0o600)
    return own_key()


def own_key() -> SigningKey:
    """Return the key of this installation.

    Raises:
        UsageError: There is none, other users can read it, it is damaged, or `cryptography` is not installed.
    """
    certificates, pem = load_certificates(), _own_pem()
    try:
        key: SigningKey = certificates.read_signing_key(pem)
    except certificates.CertificateError as error:
        raise _damaged(_own_file()) from error
    return key


def own_root() -> Certificate | None:
    """Return the root certificate of this installation, None where it has none. Raises UsageError as `own_key`."""
    return own_key().root if have_key() else None


def trusted_roots() -> tuple[Certificate, ...]:
    """Return the roots of others that this installation trusts, by name. Raises UsageError for a damaged one."""
    if not _trusted_dir().is_dir():
        return ()
    _check_private(keys_dir())
    roots = [_read_root(path) for path in sorted(_trusted_dir().glob("*.pem"))]
    return tuple(sorted(roots, key=lambda root: (root.name, root.fingerprint)))


def trust(file: Path) -> Certificate:
    """Trust the root certificate in a file that another installation exported.

    Raises:
        InputError: The file cannot be read or does not hold one root certificate.
        OutputError: The certificate cannot be stored.
    """
    root = _read_root(file)
    place = _trusted_dir() / f"{root.fingerprint}.pem"
    _make_folder()
    with output_errors(place):
        atomic_write(place, load_certificates().pem_of(root), durable=True)
    return root


def export(file: Path) -> Certificate:
    """Write the root certificate of this installation to a file; the private key never leaves its folder.

    Raises:
        UsageError: As `own_key`.
        OutputError: The file exists already or cannot be written.
    """
    root = own_key().root
    if file.exists():
        raise OutputError(f"{printable(file)} already exists.", code=Code.OUTPUT_EXISTS, advice="Name another file.")
    with output_errors(file):
        atomic_write(file, load_certificates().pem_of(root))
    return root


def have_cryptography() -> bool:
    """Return whether the package that signs and checks is installed."""
    try:
        import cryptography.x509  # noqa: F401, PLC0415 - an optional package
    except ImportError:
        return False
    return True


def load_certificates() -> ModuleType:
    """Return the module `certificates`. Raises UsageError where the package `cryptography` is not installed."""
    if not have_cryptography():
        raise UsageError("The package cryptography is not installed.", advice=f"Run {install_command('trust')}.")
    from stemline.trust import certificates  # noqa: PLC0415 - as above

    return certificates


def _own_file() -> Path:
    return keys_dir() / "signing.pem"


def _trusted_dir() -> Path:
    return keys_dir() / "trusted"


def _own_pem() -> bytes:
    if not have_key():
        raise UsageError("This installation has no key.", advice="`stemline keys init` makes one.")
    _check_private(keys_dir())
    _check_private(_own_file())
    return _read(_own_file())


def _read_root(path: Path) -> Certificate:
    certificates = load_certificates()
    pem = _read(path)
    if b"PRIVATE KEY" in pem:
        raise InputError(
            f"{printable(path)} holds a private key.", advice="Ask for the file that `stemline keys export` writes."
        )
    try:
        (root,) = certificates.read_certificates(pem)
        certificates.check_root(root)
    except ValueError as error:
        raise _damaged(path) from error
    checked: Certificate = root
    return checked


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise InputError(f"{printable(path)} cannot be read: {error.strerror}.") from error
    if len(data) > _LARGEST_FILE_BYTES:
        raise _damaged(path)
    return data


def _make_folder() -> None:
    with output_errors(keys_dir()):
        keys_dir().mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_private(keys_dir())


def _check_private(path: Path) -> None:
    """Raise UsageError where other users can read the path. Windows has no such modes."""
    if os.name == "posix" and path.stat().st_mode & _OTHERS:
        mode = "700" if path.is_dir() else "600"
        raise UsageError(
            f"Other users of this machine can use {printable(path)}, which holds keys.",
            advice=f"Run chmod {mode} on it; if others could have copied the key, make a new one.",
        )


def _damaged(path: Path) -> InputError:
    return InputError(f"{printable(path)} does not hold the keys or the one root certificate that it should.")
