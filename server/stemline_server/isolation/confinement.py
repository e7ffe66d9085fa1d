"""Confines a process: models and decoders need no network, decoders few files, and what they read may be hostile.

The network is closed with seccomp, files with Landlock (docs.kernel.org/userspace-api/landlock.html).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import os
import platform
import resource
import socket
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

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

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_READ_FILE, _READ_FOLDER = 1 << 2, 1 << 3
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}  # bits by version of Landlock; 16 from version 5 on
_EXECUTE, _NETWORK, _SCOPES = 1 << 0, 0b11, 0b11
_LIBRARIES = ("/usr", "/lib", "/lib64", "/proc/self", "/sys", "/dev/urandom", "/dev/null")
_SINGLE_FILES = ("/etc/ld.so.cache", "/etc/localtime")
_OOM_SCORE = "700"  # the system that runs out of memory ends this process rather than the server


def confine() -> bool:
    """Refuse this process and its children sockets of the internet families, and core files.

    Call this before any thread starts. Sockets of this machine (AF_UNIX) stay usable: drivers of devices need them.

    Returns:
        Whether the kernel can do that; where it can't, the process goes on as it is.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE, encoding="ascii")
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


def confine_to_files(readable: Iterable[str], writable: Iterable[str], memory_bytes: int) -> bool:
    """Refuse this process all files except libraries and those in some folders, programs, and more memory.

    Call this after `confine`.

    Args:
        readable: Folders whose files it may read.
        writable: Folders whose files it may also write, make and delete.
        memory_bytes: Address space above which allocations fail.

    Returns:
        Whether the kernel can close files; where it can't, the limit of memory holds alone.
    """
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    version: int = libc.syscall(_CREATE_RULESET, None, 0, 1)
    if version < 1:
        _log.warning("the files of decoders cannot be closed: this kernel has no Landlock")
        return False
    every = (1 << _FILE_RIGHTS.get(version, 16)) - 1
    attributes = struct.pack("QQQ", every, _NETWORK, _SCOPES)[: 24 if version >= 6 else 16 if version >= 4 else 8]
    ruleset = libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    reading = _READ_FILE | _READ_FOLDER
    code = (*_LIBRARIES, sys.prefix, sys.base_prefix, *filter(os.path.isabs, sys.path))
    for path in (*code, *readable):
        _allow(libc, ruleset, path, reading)
    for path in _SINGLE_FILES:
        _allow(libc, ruleset, path, _READ_FILE)
    for path in writable:
        _allow(libc, ruleset, path, every & ~_EXECUTE)
    refused: int = libc.syscall(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    return refused == 0


def _allow(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    """Add a file, or a folder with what is in it, to a set of rules, if it exists."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            rule = struct.pack("=Qi", rights if os.path.isdir(path) else rights & _READ_FILE, descriptor)  # noqa: PTH112
            libc.syscall(_ADD_RULE, ruleset, 1, rule, 0)
        finally:
            os.close(descriptor)
