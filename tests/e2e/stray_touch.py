"""Makes another process touch an address, as a stray pointer in it would (Linux on x86-64 or AArch64; own processes only).

The main thread of the process continues at that address. If nothing may be touched there, that is a segmentation fault.
"""
import ctypes
import os
import pathlib
import platform

PTRACE_ATTACH, PTRACE_GETREGSET, PTRACE_SETREGSET, PTRACE_DETACH = 16, 0x4204, 0x4205, 17
NT_PRSTATUS = 1
# Words of user_regs_struct: the next instruction, and what tells the kernel that no system call goes on.
NEXT, SYSTEM_CALL = {"x86_64": (16, 15), "aarch64": (32, None)}[platform.machine()]

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


class Range(ctypes.Structure):
    """struct iovec"""

    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def ptrace(request, pid, address=None, data=None):
    if libc.ptrace(request, pid, address, data) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def mappings(pid):
    """Start address -> access ("rw-p")."""
    lines = pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {int(line.split("-")[0], 16): line.split()[1] for line in lines}


def touch(pid, address):
    ptrace(PTRACE_ATTACH, pid)
    try:
        os.waitpid(pid, 0x40000000)  # __WALL: the process is no child of ours, but we trace it
        words = (ctypes.c_uint64 * 64)()
        registers = Range(ctypes.addressof(words), ctypes.sizeof(words))
        ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, ctypes.addressof(registers))
        words[NEXT] = address
        if SYSTEM_CALL is not None:
            words[SYSTEM_CALL] = 2**64 - 1
        ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, ctypes.addressof(registers))
    finally:
        ptrace(PTRACE_DETACH, pid)
