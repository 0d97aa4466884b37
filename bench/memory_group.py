"""A cgroup with a memory limit that also counts the page cache, of version 1 or 2. Needs the right to make one
(root)."""
import os
import pathlib
import signal
import time

PATIENCE_S = 30


class NoGroup(Exception):
    """No such group can be made here; the message says why."""


class MemoryGroup:
    """`limit`: bytes; None: no limit. Every process in the group ends with the `with`."""

    def __init__(self, name, limit=None):
        top = pathlib.Path("/sys/fs/cgroup")
        self.second = (top / "cgroup.controllers").exists()
        top = top if self.second else top / "memory"
        self.folder = top / f"minerva-{name}-{os.getpid()}"
        try:
            if self.second:
                (top / "cgroup.subtree_control").write_text("+memory")
            elif not (top / "memory.limit_in_bytes").exists():
                raise NoGroup("there is no cgroup controller for memory in /sys/fs/cgroup")
            self.folder.mkdir()
            if limit is not None:
                self.limit(limit)
        except OSError as error:
            if self.folder.exists():
                self.folder.rmdir()
            raise NoGroup(f"no cgroup with a memory limit can be made ({error}): run this as root, where "
                          f"/sys/fs/cgroup may be written") from error

    def limit(self, limit):
        (self.folder / ("memory.max" if self.second else "memory.limit_in_bytes")).write_text(str(limit))
        # Swap would be additional memory.
        swap = self.folder / ("memory.swap.max" if self.second else "memory.memsw.limit_in_bytes")
        if swap.exists():
            swap.write_text("0" if self.second else str(limit))

    def enter(self):
        """Moves the calling process into the group: to be called between fork and exec."""
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def used(self):
        """How much the group holds now, in bytes, with its page cache."""
        return int((self.folder / ("memory.current" if self.second else "memory.usage_in_bytes")).read_text())

    def killed(self):
        """How many of its processes the kernel has killed for want of memory."""
        file = self.folder / ("memory.events" if self.second else "memory.oom_control")
        counts = dict(line.split() for line in file.read_text().splitlines())
        return int(counts["oom_kill"])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end = time.monotonic() + PATIENCE_S
        while True:
            for pid in (self.folder / "cgroup.procs").read_text().split():
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    pass
            try:
                self.folder.rmdir()
                return
            except OSError:
                # Its processes are still ending.
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
