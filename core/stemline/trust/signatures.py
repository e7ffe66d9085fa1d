"""Sign the records of stem files, and check their signatures.

A signature covers the canonical JSON of a record, and so the hash of the audio that the record holds. The record of
the file and that of the sidecar, which holds more, each have a signature of their own.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from stemline.errors import UsageError
from stemline.extras import install_command
from stemline.trust.content_credentials import is_installed
from stemline.trust.keys import have_cryptography, have_key, load_certificates, own_key, own_root, trusted_roots

if TYPE_CHECKING:
    from stemline.trust.certificates import SigningKey

SIGNATURE = "signature"
ALGORITHM = "ES256"
_LARGEST_PART = 1 << 13  # characters of a certificate or a signature in base64
_CHAIN = 2


class RecordSigner:
    """Signs records with the key of this installation. `c2pa` says whether files get Content Credentials too."""

    def __init__(self, key: SigningKey, c2pa: str = "never") -> None:
        """Sign with a key; `c2pa` is "never", "auto" or "require"."""
        self._key = key
        self.c2pa = c2pa

    def __call__(self, record: Mapping[str, object]) -> dict[str, Any]:
        """Return the record with its signature, which always has the same length."""
        unsigned = {name: value for name, value in record.items() if name != SIGNATURE}
        signature = {
            "alg": ALGORITHM,
            "certificates": [_text(self._key.certificate.der), _text(self._key.root.der)],
            "value": _text(self._key.sign(canonical_json(unsigned))),
        }
        return {**unsigned, SIGNATURE: signature}


def signer_for(sign: str, c2pa: str = "never") -> RecordSigner | None:
    """Return the signer of a run, None where its records are not signed.

    Args:
        sign: "auto" signs where this installation has a key, "never" does not, "require" refuses to run without.
        c2pa: "auto" adds Content Credentials where the package is installed and records are signed, "never" does not,
            "require" refuses to run without.

    Raises:
        UsageError: A key is there that cannot be used, or its certificate is not valid now; with "require", there is
            none, or the package is not installed.
    """
    if c2pa == "require" and (sign == "never" or not is_installed()):
        raise UsageError(
            "Content Credentials need signed records and the package c2pa-python.",
            advice=f"Run {install_command('trust')}, and leave out --sign never.",
        )
    if sign == "never" or (sign == "auto" and c2pa != "require" and not have_key()):
        return None
    key = own_key()
    now = datetime.now(UTC)
    if not key.certificate.valid_from <= now <= key.certificate.valid_until:
        raise UsageError(
            f"The certificate of this installation is valid from {key.certificate.valid_from:%Y-%m-%d} to "
            f"{key.certificate.valid_until:%Y-%m-%d}, not now.",
            advice="Check this machine's clock, make a new key, or give --sign never.",
        )
    return RecordSigner(key, c2pa if is_installed() else "never")


def canonical_json(record: Mapping[str, object]) -> bytes:
    """Return the bytes that a signature covers: JSON in UTF-8 with sorted names and no white space.

    Like RFC 8785, but names are sorted by code point, and numbers are written as Python's `json` does (-240.0). Half of
    a surrogate pair, as in file names that are not UTF-8, is encoded as if it were a character.
    """
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class SignatureCheck:
    """The result of checking the signature of a record.

    Attributes:
        state: "own" or "trusted" for a key that is trusted here, "unknown" for another, "expired" or "early" for a
            certificate that is not valid now, "unchecked" without the package `cryptography`, "invalid" where
            signature and record do not match.
        name: The name in the certificate. Only that of a trusted key can be believed.
        fingerprint: SHA-256 of the root certificate.
        valid: The dates of the certificate.
    """

    state: str
    name: str = ""
    fingerprint: str = ""
    valid: tuple[str, str] = ("", "")

    @property
    def sentence(self) -> str:
        """The finding in one sentence, for a file whose audio is unchanged."""
        return {
            "own": f"Signed by {self.name} (this installation), unchanged.",
            "trusted": f"Signed by {self.name} (a trusted key), unchanged.",
            "unknown": f"Signed by an unknown key ({self.fingerprint[:16]}), unchanged.",
            "expired": f"Signed, but the certificate expired on {self.valid[1]}, so the signature proves nothing now.",
            "early": f"Signed, but the certificate is valid only from {self.valid[0]}; check this machine's clock.",
            "unchecked": "Signed; not checked, install stemline[trust].",
            "invalid": "The record was changed after it was signed: its signature does not match.",
        }[self.state]

    def to_json(self) -> dict[str, object]:
        """Return the JSON form."""
        return {"state": self.state, "name": self.name, "root_sha256": self.fingerprint, "sentence": self.sentence}


def check_record(record: Mapping[str, object]) -> SignatureCheck | None:
    """Check the signature of a record, which may come from anywhere; None where it has none.

    Raises:
        UsageError: The keys of this installation cannot be read.
    """
    if SIGNATURE not in record:
        return None
    parts = _parts(record[SIGNATURE])
    if parts is None:
        return SignatureCheck("invalid")
    if not have_cryptography():
        return SignatureCheck("unchecked")
    certificates = load_certificates()
    value, *chain = parts
    try:
        data = canonical_json({name: held for name, held in record.items() if name != SIGNATURE})
        leaf, root = certificates.check_signature(data, value, chain)
    except (ValueError, RecursionError):
        return SignatureCheck("invalid")
    state, now = _state_of(root.fingerprint), datetime.now(UTC)
    if now < max(leaf.valid_from, root.valid_from):
        state = "early"
    elif now > min(leaf.valid_until, root.valid_until):
        state = "expired"
    dates = (f"{max(leaf.valid_from, root.valid_from):%Y-%m-%d}", f"{min(leaf.valid_until, root.valid_until):%Y-%m-%d}")
    return SignatureCheck(state, root.name, root.fingerprint, dates)


def _state_of(fingerprint: str) -> str:
    own = own_root()
    if own is not None and own.fingerprint == fingerprint:
        return "own"
    return "trusted" if any(root.fingerprint == fingerprint for root in trusted_roots()) else "unknown"


def _parts(signature: object) -> tuple[bytes, ...] | None:
    """Return signature and certificates, None where the value has another form than this version writes."""
    if not isinstance(signature, Mapping) or signature.keys() != {"alg", "certificates", "value"}:
        return None
    chain = signature["certificates"]
    if signature["alg"] != ALGORITHM or not isinstance(chain, list) or len(chain) != _CHAIN:
        return None
    parts = [_bytes(part) for part in (signature["value"], *chain)]
    return None if None in parts else tuple(part for part in parts if part is not None)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(text: object) -> bytes | None:
    """Return the bytes of base64 text in its one canonical form."""
    if not isinstance(text, str) or len(text) > _LARGEST_PART:
        return None
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if _text(data) == text else None
