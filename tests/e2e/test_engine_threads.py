"""Engines that compute at the same time share the cores: an engine that is told so keeps its other threads asleep."""
import contextlib
import pathlib

import pytest

from bare_engine import BareEngine, prompt
from tiny_models import generate


@pytest.fixture(scope="module")
def model():
    return generate("threads", ["--embd", "512", "--layers", "4", "--ffn", "1536", "--quant", "q4_0"])


def processor_times(pid):
    """Returns thread -> nanoseconds on a processor."""
    times = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended meanwhile
            times[int(task.name)] = int((task / "schedstat").read_text().split()[0])
    return times


def helpers_share(engine):
    """The work of the busiest other thread during an answer, as a share of the main thread's work."""
    before = processor_times(engine.pid)
    engine.complete(prompt(1, 50), count=150, slot=0)
    spent = {thread: time - before.get(thread, 0) for thread, time in processor_times(engine.pid).items()}
    return max(time for thread, time in spent.items() if thread != engine.pid) / spent[engine.pid]


def test_threads_sleep_while_cores_are_shared_and_come_back(model):
    with BareEngine(model, "-t", "2", "-np", "1") as engine:
        def tell(sharers):
            engine.say(f"sharers {sharers}\n")
            engine.measure()  # its answer comes after that of the request

        # The thread that answers over HTTP works a little too.
        assert helpers_share(engine) > 0.7
        for _ in range(2):
            tell(2)
            assert helpers_share(engine) < 0.3
            tell(1)
            assert helpers_share(engine) > 0.7
        tell(5)
        assert helpers_share(engine) < 0.3, "one thread is left to the least share"


def test_what_is_parked_computes_with_its_share_when_it_wakes(model):
    with BareEngine(model, "-t", "2", "-np", "1") as engine:
        engine.complete(prompt(2, 300), slot=0)
        engine.say("sharers 2\n")
        assert engine.park()["parked"]
        engine.wake()
        assert helpers_share(engine) < 0.3
        engine.say("sharers 1\n")
        assert engine.park()["parked"]
        engine.wake()
        assert helpers_share(engine) > 0.7
