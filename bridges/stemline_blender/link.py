"""The end of the talk with Stemline. An installed extension carries `stemline_link` as the folder `link` instead."""

from stemline_link import (
    Ask,
    Companion,
    Gone,
    Installation,
    Later,
    NotInstalled,
    Peer,
    Problem,
    Refused,
    clean_environment,
    find_installation,
    from_exact,
    to_exact,
)

__all__ = [
    "Ask",
    "Companion",
    "Gone",
    "Installation",
    "Later",
    "NotInstalled",
    "Peer",
    "Problem",
    "Refused",
    "clean_environment",
    "find_installation",
    "from_exact",
    "to_exact",
]
