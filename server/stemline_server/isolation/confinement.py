"""Takes the network from a process: models need none, and what they read may be hostile."""

from __future__ import annotations

import ctypes
import errno
import logging
import platform
import resource
import socket
import struct
import sys

_log = logging.getLogger(__name__)

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_LOAD, _IS, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_JMP|JGE|K, BPF_RET|K
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16  # offsets in struct seccomp_data, little-endian
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EACCES
_SYSTEM_CALLS = {  # machine: AUDIT_ARCH, socket, io_uring_setup
    "x86_64": (0xC000003E, 41, 425),
    "aarch64": (0xC00000B7, 198, 425),
}
_FIRST_OTHER_ABI = 0x40000000  # x32 has other numbers
_FAMILIES = (socket.AF_INET, socket.AF_INET6)


def confine() -> bool:
    """Refuse this process and its children sockets of the internet families, and core files.

    Call this before any thread starts. Sockets of this machine (AF_UNIX) stay usable: drivers of devices need them.

    Returns:
        Whether the kernel can do that; where it can't, the process goes on as it is.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    calls = _SYSTEM_CALLS.get(platform.machine())
    if sys.platform != "linux" or calls is None:
        return False
    program = _program(*calls)
    buffer = ctypes.create_string_buffer(program, len(program))
    filter_program = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)
    address = ctypes.create_string_buffer(filter_program, len(filter_program))
    refused = libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    refused = refused or libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(address), 0, 0)
    if refused:
        _log.warning("the network of engines cannot be closed: error %d", ctypes.get_errno())
    return not refused


def _program(architecture: int, socket_call: int, io_uring_call: int) -> bytes:
    """Return the BPF program. Each line is (code, value, lines to skip if true, lines to skip if false)."""
    lines = [
        (_LOAD, _ARCHITECTURE_AT, 0, 0),
        (_IS, architecture, 0, 7),  # other architectures: refuse
        (_LOAD, _NUMBER_AT, 0, 0),
        (_AT_LEAST, _FIRST_OTHER_ABI, 5, 0),
        (_IS, io_uring_call, 4, 0),  # it opens sockets, too
        (_IS, socket_call, 0, 4),
        (_LOAD, _FIRST_ARGUMENT_AT, 0, 0),
        (_IS, _FAMILIES[0], 1, 0),
        (_IS, _FAMILIES[1], 0, 1),
        (_RETURN, _REFUSE, 0, 0),
        (_RETURN, _ALLOW, 0, 0),
    ]
    return b"".join(struct.pack("HBBI", code, true, false, value) for code, value, true, false in lines)
