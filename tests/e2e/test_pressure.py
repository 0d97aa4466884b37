"""Another process takes the memory: idle models give their memory back before the kernel kills a process.

The tests need a user who may make a memory cgroup, which is root on most machines. Otherwise they are skipped and say so.
"""
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

import pytest

from harness import PATIENCE, ROOT, wait_until
from tiny_models import SLOW, generate

MIB = 1 << 20

# Takes memory by lines of "MiB seconds"; the seconds are the pause after each 8 MiB. Keeps it until its stdin ends.
HOG = """
import mmap, sys, time
content = b"x" * (8 << 20)
held = []
for line in sys.stdin:
    mib, pause = line.split()
    for _ in range(int(mib) // 8):
        piece = mmap.mmap(-1, len(content))
        piece.write(content)
        held.append(piece)
        time.sleep(float(pause))
    print("taken", flush=True)
"""


class MemoryGroup:
    """A cgroup with a memory limit, of version 1 or 2, below this process's cgroup or the nearest parent that may have one.
    Raises OSError or RuntimeError when there can be none."""

    def __init__(self, limit_mib):
        self.folder = self._make()
        try:
            self.version1 = (self.folder / "memory.limit_in_bytes").exists()
            self._put("memory.limit_in_bytes" if self.version1 else "memory.max", limit_mib * MIB)
        except OSError:
            self.folder.rmdir()
            raise

    @staticmethod
    def _make():
        top = pathlib.Path("/sys/fs/cgroup")
        refused = None
        for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if "memory" in controllers.split(","):
                top, wanted = top / "memory", None
            elif controllers == "" and (top / "cgroup.subtree_control").exists():
                wanted = "memory"  # the groups below must have that controller
            else:
                continue
            parent = top / path.lstrip("/")
            while True:
                try:
                    if wanted is None or wanted in (parent / "cgroup.subtree_control").read_text().split():
                        return pathlib.Path(tempfile.mkdtemp(prefix="minerva-test-", dir=parent))
                except OSError as error:
                    refused = error
                if parent == top:
                    break
                parent = parent.parent
        raise refused or RuntimeError("no cgroup here gives its children a memory controller")

    def _put(self, file, value):
        (self.folder / file).write_text(f"{value}\n")

    def _number(self, file, name=None):
        text = (self.folder / file).read_text()
        return int(text if name is None else re.search(rf"^{name} (\d+)$", text, re.M)[1])

    def enter(self):
        """Moves the calling process into the group."""
        self._put("cgroup.procs", os.getpid())

    def usage_mib(self):
        return self._number("memory.usage_in_bytes" if self.version1 else "memory.current") / MIB

    def killed(self):
        """How many processes of the group the kernel has killed for want of memory."""
        return self._number("memory.oom_control" if self.version1 else "memory.events", "oom_kill")

    def remove(self):
        for pid in (self.folder / "cgroup.procs").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
        wait_until(self._try_remove, "the cgroup is empty")

    def _try_remove(self):
        try:
            self.folder.rmdir()
        except OSError:
            return False
        return True


@pytest.fixture
def group(request):
    """A MemoryGroup with the limit (MiB) of the test's parameter."""
    try:
        made = MemoryGroup(request.param)
    except (OSError, RuntimeError) as error:
        pytest.skip(f"a memory cgroup cannot be made here: {error}")
    yield made
    made.remove()


class Hog:
    def __init__(self, group):
        self.process = subprocess.Popen([sys.executable, "-c", HOG], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, preexec_fn=group.enter)

    def take(self, mib, mib_per_second):
        """Returns once the process has taken that much."""
        self.process.stdin.write(f"{int(mib)} {8 / mib_per_second}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "taken\n", f"it was killed: {self.process.wait(PATIENCE)}"

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(PATIENCE) == 0
        self.process.stdout.close()


@pytest.fixture
def hog(group):
    hog = Hog(group)
    yield hog
    hog.process.kill()
    hog.process.wait(PATIENCE)


def private_mib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^RssAnon:\s+(\d+) kB", status, re.M)[1]) / 1024


def given_back(m, model):
    return m.state(model) in ("parked", "cold")


@pytest.mark.parametrize("group", [1536], indirect=True)
def test_another_process_takes_what_idle_models_hold(group, hog, serve):
    mark = 1536 / 16  # the default of what is to stay free
    models = {name: generate(f"pressure-{name}", [*SLOW, "--seed", str(seed)]) for seed, name in enumerate("pqrs")}
    # The budget is no limit here: only the pressure says what has to be given back.
    m = serve("--memory-budget", "4GiB", models=models, before_exec=group.enter)
    m.use("p", "q")
    busy = m.chat_stream("r", max_tokens=7000, ignore_eos=True)
    busy.token()
    engines = [m.engine(model) for model in "pqr"]
    idle = sum(private_mib(pid) for pid in engines[:2])
    assert idle > 2 * mark, "what the rest is worth"
    available = m.metric("minerva_memory_available_bytes") / MIB
    assert m.metric("minerva_memory_shortages_total") == 0 and available > 2 * mark, available

    # More than half of what the idle models can give back; the rest is for what the busy one's conversation grows by
    # meanwhile. Quickly at first, and then so slowly that a machine that is busy with other tests can keep pace.
    hog.take(available - 2 * mark, 1000)
    hog.take(2 * mark + 0.6 * idle, 60)
    wait_until(lambda: given_back(m, "p") and given_back(m, "q"), "both idle models have given back their memory")
    assert group.killed() == 0
    assert m.state("r") == "hot" and m.view("r")["leases"] == 1 and m.engine("r") == engines[2]
    busy.token()

    # Nothing is left to give back, and memory still gets short: a model that is not in memory has to wait.
    left = m.metric("minerva_memory_available_bytes") / MIB
    if left > mark / 2:
        hog.take(left - mark / 2, 60)
    wait_until(lambda: m.metric("minerva_memory_short_bytes") > 0, "memory is short")
    for answer in (m.chat("s"), m.load("s")):
        assert answer.status == 503 and int(answer.headers["retry-after"]) > 0, answer
        assert "memory is short" in answer.error["message"], answer
    assert m.state("r") == "hot" and m.engine("r") == engines[2]
    busy.token()
    assert group.killed() == 0

    hog.end()
    wait_until(lambda: m.chat("s").status == 200, "models are loaded again")
    assert m.metric("minerva_memory_short_bytes") == 0 and "memory is no longer short" in m.log()
    assert m.chat("p").status == 200
    assert m.engine("r") == engines[2]
    busy.drop()
    assert group.killed() == 0


@pytest.mark.parametrize("group", [512], indirect=True)
def test_page_cache_alone_is_no_shortage(group, serve):
    m = serve(before_exec=group.enter)
    m.use("a")
    engine = m.engine("a")
    folder = pathlib.Path(os.environ.get("MINERVA_E2E_MODELS", ROOT / "build/e2e-models"))
    with tempfile.NamedTemporaryFile(dir=folder) as large:
        large.truncate(2048 * MIB)
        # Twice, so that the whole file was read while the group was full.
        subprocess.run(["sh", "-c", 'cat "$0" "$0" > /dev/null', large.name], preexec_fn=group.enter, check=True)
        assert group.usage_mib() > 0.9 * 512, "the group is full of it"
        m.use("a")
        assert m.metric("minerva_memory_shortages_total") == 0, m.log()
    assert m.engine("a") == engine and m.state("a") == "hot"
