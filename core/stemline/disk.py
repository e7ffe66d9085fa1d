"""What the system says of a disk that takes no more."""

from __future__ import annotations

import errno


def is_full(error: OSError) -> bool:
    """Whether the disk, or the user's share of it, is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
