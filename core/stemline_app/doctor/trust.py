"""Checks of the keys that sign records."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from stemline.errors import StemlineError
from stemline.extras import install_command
from stemline.hosts.description import Check, Status
from stemline.trust import keys

_SOON = timedelta(days=90)


def trust_checks() -> Iterator[Check]:
    """Check the signing key of this installation and the keys that it trusts."""
    if not keys.have_cryptography():
        status = Status.FAIL if keys.have_key() else Status.OK
        advice = f"Run {install_command('trust')}." if keys.have_key() else ""
        yield Check("signing key", status, "records are not signed: the extra `trust` is not installed", advice)
        return
    try:
        yield _signing_key()
        trusted = keys.trusted_roots()
    except StemlineError as error:
        yield Check("signing key", Status.FAIL, error.message, error.advice)
        return
    if trusted:
        yield Check("trusted keys", Status.OK, ", ".join(root.name for root in trusted))


def _signing_key() -> Check:
    if not keys.have_key():
        return Check("signing key", Status.OK, "none, so records are not signed; `stemline keys init` makes one")
    certificate, now = keys.own_key().certificate, datetime.now(UTC)
    until = f"{certificate.valid_until:%Y-%m-%d}"
    if now < certificate.valid_from:
        start = f"{certificate.valid_from:%Y-%m-%d}"
        return Check("signing key", Status.WARN, f"valid only from {start}", "Check this machine's clock.")
    if now > certificate.valid_until - _SOON:
        state = "expired on" if now > certificate.valid_until else "valid until"
        advice = f"Export it, remove {keys.keys_dir() / 'signing.pem'}, and run `stemline keys init`."
        return Check("signing key", Status.WARN, f"{state} {until}", advice)
    return Check("signing key", Status.OK, f"{certificate.name}, readable by you alone, valid until {until}")
