"""Looks at the page cache and empties it from outside: plays what the kernel does to a parked model's pages under pressure.

Linux only. For processes of other users it needs root (process_madvise, pidfd_open, opening their files again).
"""
import ctypes
import mmap
import os
import pathlib
import time

MADV_PAGEOUT = 21
SYS_PROCESS_MADVISE = 440  # on every architecture
PAGE = mmap.PAGESIZE
READ_AT_ONCE = 8 << 20

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
libc.syscall.restype = ctypes.c_long


class Range(ctypes.Structure):
    """struct iovec"""

    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def fail():
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))


def cached_bytes(file):
    """How many bytes of `file` are in the page cache."""
    with open(file, "rb") as opened:
        size = os.fstat(opened.fileno()).st_size
        address = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, opened.fileno(), 0)
    if address in (None, ctypes.c_void_p(-1).value):
        fail()
    pages = ctypes.create_string_buffer((size + PAGE - 1) // PAGE)
    try:
        if libc.mincore(address, size, pages) != 0:
            fail()
    finally:
        libc.munmap(address, size)
    return PAGE * sum(byte & 1 for byte in pages.raw)


def drop_file(file):
    """Drops the file's pages, except for those that are mapped somewhere."""
    with open(file, "rb") as opened:
        os.fdatasync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_file(file):
    """Reads the file, so that it is in the page cache afterwards."""
    with open(file, "rb", buffering=0) as opened:
        while opened.read(READ_AT_ONCE):
            pass


def read_rate(file):
    """Bytes per second of a sequential read from the disk."""
    drop_file(file)
    start = time.monotonic()
    read_file(file)
    return os.stat(file).st_size / (time.monotonic() - start)


def page_out(pid, files):
    """Makes the kernel reclaim what process `pid` has mapped of `files`, which are paths in its maps file."""
    ranges = []
    for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5].removesuffix(" (deleted)") in files:
            first, end = (int(address, 16) for address in fields[0].split("-"))
            ranges.append(Range(first, end - first))
    process = os.pidfd_open(pid)
    try:
        most = os.sysconf("SC_IOV_MAX")
        for i in range(0, len(ranges), most):
            some = ranges[i:i + most]
            array = (Range * len(some))(*some)
            if libc.syscall(SYS_PROCESS_MADVISE, process, array, len(some), MADV_PAGEOUT, 0) < 0:
                fail()
    finally:
        os.close(process)


def drop_model(pid, model_file, image_folder):
    """Takes the pages of the model's file and of the image away from a parked engine. Returns how many bytes remain.

        Errors: OSError when this user may not.
        """
    links = [link for link in pathlib.Path(f"/proc/{pid}/fd").iterdir()
             if os.readlink(link).startswith(str(image_folder))]
    names = {os.readlink(link).removesuffix(" (deleted)") for link in links}
    files = [model_file, *links]
    for file in files:
        drop_file(file)  # this writes them back first, since only clean pages can be taken
    page_out(pid, {str(model_file), *names})
    for file in files:
        drop_file(file)
    return sum(cached_bytes(file) for file in files)
