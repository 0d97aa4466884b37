"""Kills in a cluster under load: of nodes, replicas, daemons and engines at random; then a rolling restart of all nodes.

Clients stream and wait, and some leave. Each request ends in exactly one way, and the ledger says so: completed, failed
with a reason, shed, or cancelled. In the end nothing is in flight, and no daemon and no engine is left. In the rolling
restart no request fails.

Run by the cluster's Python: `make campaign-cluster`. Environment: CLUSTER_KILLS (200), CAMPAIGN_SEED.
"""
import http.client
import json
import os
import pathlib
import random
import signal
import sys
import threading
import time
from collections import Counter

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/e2e"), str(ROOT / "cluster")]

import harness  # noqa: E402
from minerva_cluster.emulated import PATIENCE_S, Emulated, wait_until  # noqa: E402
from tiny_models import SLOW, TINY, generate  # noqa: E402

KILLS = int(os.environ.get("CLUSTER_KILLS", "200"))
SEED = int(os.environ.get("CAMPAIGN_SEED", "1"))
NODES = ("n1", "n2", "n3", "n4")
CLIENTS = 4
CHAT = ("a", "b", "c", "d", "slow")
LONGEST_PAUSE_S = 1.5
NODES_LEFT = 2  # at least, while others are away


class Ledger:
    def __init__(self):
        self.sent = 0
        self.ends = Counter()
        self.lock = threading.Lock()

    def begin(self):
        with self.lock:
            self.sent += 1

    def end(self, how):
        with self.lock:
            self.ends[how] += 1

    @property
    def total(self):
        with self.lock:
            return sum(self.ends.values())

    def kinds(self):
        found = Counter()
        for how, count in self.ends.items():
            found[how.partition(":")[0]] += count
        return found


class Clients:
    """Threads that send one request after another, until they are told to stop."""

    def __init__(self, cluster, seed, may_leave=True):
        self.ledger = Ledger()
        self._cluster = cluster
        self._may_leave = may_leave
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(random.Random(seed * 100 + n),), daemon=True)
                         for n in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _run(self, source):
        while not self._stopping.is_set():
            self.ledger.begin()
            try:
                how = self._ask(source)
            except (http.client.HTTPException, OSError) as error:
                how = f"failed: {type(error).__name__}"  # an answer that had begun was cut off
            self.ledger.end(how)
            if how.startswith(("failed", "shed")):
                time.sleep(0.05)  # as a client does that tries again

    def _ask(self, source):
        stream = source.random() < 0.6
        leaves = self._may_leave and source.random() < 0.1
        body = harness.chat_body(source.choice(CHAT), f"Number {source.randrange(1000)}.", max_tokens=source.choice((1, 4, 16)),
                                 stream=stream)
        connection = http.client.HTTPConnection("127.0.0.1", self._cluster.port, timeout=PATIENCE_S)
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            if leaves:
                return "cancelled"
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status in (429, 503):
            assert answer.headers["Retry-After"], text
            return f"shed: {json.loads(text)['error']['code']}"
        if answer.status != 200:
            return f"failed: {answer.status} {json.loads(text)['error']['code']}"
        if not stream:
            assert json.loads(text)["choices"], text
            return "completed"
        events = [line[len("data: "):] for line in text.splitlines() if line.startswith("data: ")]
        if events and events[-1] == "[DONE]":
            return "completed"
        assert events and '"error"' in events[-1], f"a stream ended without a word: {text[-300:]}"
        return f"failed: in its stream, {json.loads(events[-1])['error']['code']}"

    def stop(self):
        self._stopping.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "a request hangs"
        assert self.ledger.total == self.ledger.sent, "a request did not end"


class Killer:
    def __init__(self, cluster, source):
        self._cluster = cluster
        self._source = source
        self._away = []
        self.kills = Counter()

    def kill(self):
        kind = self._source.choices(("engine", "daemon", "replica", "node"), (40, 30, 20, 10))[0]
        if getattr(self, "_" + kind)():
            self.kills[kind] += 1
        if self._away and self._source.random() < 0.5:
            self._cluster.add(self._away.pop(0))

    def _signal(self, pids):
        if not pids:
            return False
        try:
            os.kill(self._source.choice(pids), signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def _engine(self):
        return self._signal(self._cluster.engines())

    def _daemon(self):
        return self._signal(self._cluster.daemons())

    def _replica(self):
        try:
            return self._signal([self._cluster.replica(self._source.choice(self._cluster.names()))])
        except (ValueError, OSError):
            return False  # it has no daemon now

    def _node(self):
        if len(self._cluster.names()) <= NODES_LEFT:
            return False
        name = self._source.choice(self._cluster.names())
        self._cluster.kill(name)
        self._away.append(name)
        return True

    def bring_back(self):
        while self._away:
            self._cluster.add(self._away.pop())


def quiet(cluster):
    return not any(model["in_flight"] for node in cluster.nodes().values() for model in node["models"])


def kills(cluster):
    source = random.Random(SEED)
    clients = Clients(cluster, SEED)
    killer = Killer(cluster, source)
    began = time.monotonic()
    while sum(killer.kills.values()) < KILLS:
        killer.kill()
        if sum(killer.kills.values()) % 20 == 0:
            print(f"{sum(killer.kills.values())} kills in {time.monotonic() - began:.0f} s", flush=True)
        time.sleep(source.uniform(0, LONGEST_PAUSE_S))  # the moment of the next kill, and no wait for anything
    killer.bring_back()
    cluster.wait_for(len(NODES))
    before = clients.ledger.ends["completed"]
    wait_until(lambda: clients.ledger.ends["completed"] > before + 20, "all is well again")
    clients.stop()
    wait_until(lambda: quiet(cluster), "nothing is in flight")
    print(f"kills: {dict(killer.kills)} in {time.monotonic() - began:.0f} s")
    report(clients.ledger)


def rolling_restart(cluster):
    clients = Clients(cluster, SEED + 1, may_leave=False)
    began = time.monotonic()
    for name in NODES:
        cluster.drain(name)
        cluster.add(name)
        cluster.wait_for(len(NODES))
    clients.stop()
    print(f"rolling restart of {len(NODES)} nodes in {time.monotonic() - began:.0f} s")
    report(clients.ledger)
    failed = {how: count for how, count in clients.ledger.ends.items() if how != "completed"}
    assert not failed, failed


def report(ledger):
    print(f"  requests: {ledger.sent} sent; {', '.join(f'{count} {how}' for how, count in sorted(ledger.kinds().items()))}")
    for how, count in sorted(ledger.ends.items()):
        if ":" in how:
            print(f"    {count} {how}")
    sys.stdout.flush()


def main():
    models = {**{name: generate(name, options) for name, options in TINY.items()}, "slow": generate("slow", SLOW)}
    cluster = Emulated(harness.MINERVA, harness.ENGINE, models, nodes=NODES, arguments=("--max-models", "2"))
    try:
        cluster.start()
        if KILLS:
            kills(cluster)
        rolling_restart(cluster)
    finally:
        cluster.stop()  # fails if a daemon or an engine is left
    print("no daemon and no engine is left")


if __name__ == "__main__":
    main()
