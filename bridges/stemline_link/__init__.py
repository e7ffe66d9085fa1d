"""A host program's end of the talk with Stemline's companion (`docs/host-protocol.md`).

Standard library only, Python 3.8 and later.

    companion = Companion.start(find_installation(preference), handlers, log)
    companion.peer.ask("hello", {...}, on_answer)
    companion.peer.pump()          # often, on the thread that may touch the host's document

Every bridge carries this folder; no other package of Stemline's is needed inside a host.
"""

from .companion import Companion, clean_environment
from .exact import from_exact, to_exact
from .finding import Installation, NotInstalled, find_installation
from .peer import Ask, Gone, Later, Peer, Problem, Refused

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
