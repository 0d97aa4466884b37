"""Four nodes behind one endpoint: Minerva's router beside round-robin and beside Ray Serve's own model multiplexing, over
the same daemons in one run; then what the endpoint adds to a request, and what the death of a node costs.

`make bench-cluster` runs it. The shared trace's first requests are played by a few clients, each of which waits for its
answer; models are tiny, and a node has room for MOST_MODELS of them. Daemons are unloaded and forget everything between two
routers, and run through all of it.

RAY_SERVE_ENABLE_HA_PROXY=1 puts Ray's bundled HAProxy in the place of its Python proxy. Environment: CLUSTER_REQUESTS (400;
0: only what the endpoint adds), CLUSTER_PROBES (300), CLUSTER_TRACE (the trace's CSV), MINERVA_BIN, MINERVA_BIN_DIR.
"""
import contextlib
import csv
import dataclasses
import http.client
import json
import os
import pathlib
import queue
import statistics
import sys
import tempfile
import threading
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests/e2e"), str(ROOT / "cluster")]

import harness  # noqa: E402
from minerva_cluster import app  # noqa: E402
from minerva_cluster.baselines import MOST_MODELS, MultiplexedReplica  # noqa: E402
from minerva_cluster.board import Ask, Board, ModelView, Prefix  # noqa: E402
from minerva_cluster.emulated import Emulated, free_port, wait_until  # noqa: E402
from ray import serve  # noqa: E402
from ray.util import get_node_ip_address  # noqa: E402
from tiny_models import generate  # noqa: E402

REQUESTS = int(os.environ.get("CLUSTER_REQUESTS", "400"))
PROBES = int(os.environ.get("CLUSTER_PROBES", "300"))
TRACE = pathlib.Path(os.environ.get("CLUSTER_TRACE", ROOT.parent / "shared/traces/gentd26-first60.csv"))
CLIENTS = 4
RATE_S = 15  # over which a rate is taken
NODES = ("n1", "n2", "n3", "n4")
SIZES = 6  # of models, from 3 MB to some 18 MB; they take turns down the list
MODELS = 12  # the trace's most asked ones
ROUTERS = {
    "minerva": {},
    "round-robin": {"router": "minerva_cluster.baselines:RoundRobinRouter"},
    "multiplexing": {
        "router": "minerva_cluster.baselines:MultiplexRouter", "replica": MultiplexedReplica, "multiplexed": True,
    },
}
MIB = 1 << 20
IS_HAPROXY = os.environ.get("RAY_SERVE_ENABLE_HA_PROXY") == "1"
# HAProxy finds the ingress at the machine's address only. For an endpoint on 127.0.0.1 HAProxy asks Ray's Python proxy
# instead. An endpoint at the machine's address needs keys.
ADDRESS = get_node_ip_address() if IS_HAPROXY else "127.0.0.1"
KEY = "benchmark"
KEYS = f'api_keys = ["{KEY}"]\n'
HEADERS = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}


def trace_requests():
    """(model, user) of the trace's requests for its most asked models."""
    if not TRACE.exists():
        sys.exit(f"bench: {TRACE} is not there; CLUSTER_TRACE names a trace with the columns model and user")
    with TRACE.open() as file:
        rows = [(row["model"], row["user"]) for row in csv.DictReader(file)]
    counts = {}
    for model, _ in rows:
        counts[model] = counts.get(model, 0) + 1
    kept = sorted(counts, key=counts.get, reverse=True)[:MODELS]
    return kept, [row for row in rows if row[0] in kept][:REQUESTS]


def model_files(names):
    """Tiny models of several sizes, by name: the sizes take turns down the list."""
    files = {}
    for number, name in enumerate(names):
        width = 64 * (1 + number % SIZES)
        files[name] = generate(f"bench{number}", ["--seed", str(number + 1), "--embd", str(width), "--ffn", str(4 * width)])
    return files


class NodeDaemon(harness.Minerva):
    @staticmethod
    def encode(body, headers):
        body, headers = harness.Minerva.encode(body, headers)
        return body, HEADERS | headers


class Daemons:
    """The nodes' daemons, which all routers share."""

    def __init__(self, files):
        self.files = files
        self.all = {
            name: NodeDaemon(files, "--max-models", str(MOST_MODELS), "--no-park", config=KEYS,
                             listen=f"unix:{tempfile.mkdtemp(prefix='mvb-', dir='/tmp')}/socket").start()
            for name in NODES
        }
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mvb-", dir="/tmp"))
        for name, daemon in self.all.items():
            (self.folder / name).symlink_to(daemon.url[len("unix:"):])

    def reset(self):
        for daemon in self.all.values():
            for model in self.files:
                daemon.delete(f"/v1/models/{model}")
            assert daemon.post("/v1/cache/clear?stats=true&history=true&conversations=true").status == 200

    def clean(self):
        for daemon in self.all.values():
            daemon.clean()


@dataclasses.dataclass
class Played:
    loaded_mib: float = 0
    cold_wait_s: float = 0
    misses: int = 0
    failed: int = 0
    seconds: float = 0
    waits_ms: list = dataclasses.field(default_factory=list)


class LoadCounter:
    """Follows a daemon's events: which models it loaded."""

    def __init__(self, daemon, files):
        self.mib = 0.0
        self._files = files
        self._connection = daemon.connect()
        self._connection.request("GET", "/v1/events", headers=HEADERS)
        self._response = self._connection.getresponse()
        self._response.readline()
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self):
        with contextlib.suppress(Exception):
            while line := self._response.readline():
                if not line.startswith(b"data: "):
                    continue
                event = json.loads(line[len(b"data: "):])
                if event.get("state") == "hot" and event.get("was") == "loading":
                    self.mib += self._files[event["model"]].stat().st_size / MIB


def connect(cluster, timeout_s=300):
    return http.client.HTTPConnection(urllib.parse.urlsplit(cluster.url).netloc, timeout=timeout_s)


def play(cluster, requests):
    """Each client waits for its answer, then takes the next request."""
    played = Played()
    left = queue.SimpleQueue()
    for request in requests:
        left.put(request)
    lock = threading.Lock()

    def client():
        connection = connect(cluster)
        while True:
            try:
                model, user = left.get_nowait()
            except queue.Empty:
                return
            body = json.dumps({"model": model, "max_tokens": 4, "temperature": 0,
                               "messages": [{"role": "user", "content": f"I am {user} and ask {model}."}]})
            connection.request("POST", "/v1/chat/completions", body, HEADERS)
            answer = connection.getresponse()
            answer.read()
            with lock:
                if answer.status != 200:
                    played.failed += 1
                    continue
                wait_ms = float(answer.headers["x-minerva-wait-ms"])
                played.waits_ms.append(wait_ms)
                if answer.headers["x-minerva-cache"] == "miss":
                    played.misses += 1
                    played.cold_wait_s += wait_ms / 1000

    began = time.monotonic()
    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    played.seconds = time.monotonic() - began
    return played


def compare_routers(daemons, requests):
    """One cluster of Ray; the routers take turns as its application."""
    results = {}
    cluster = above(daemons)
    cluster.start(deploy=False)
    try:
        for name, options in ROUTERS.items() if requests else [("minerva", {})]:
            daemons.reset()
            app.start(cluster.config, app.build(cluster.config, **options))
            cluster.wait_for(len(NODES))
            counters = [LoadCounter(daemon, daemons.files) for daemon in daemons.all.values()]
            results[name] = play(cluster, requests)
            results[name].loaded_mib = sum(counter.mib for counter in counters)
            if name == "minerva":
                results["latency"] = added_latency(daemons, cluster)
            serve.delete(app.APP)
    finally:
        cluster.stop()
    return results


class Load:
    """Clients that ask for whole answers, one after the other: of none has its client seen a byte when its node dies."""

    def __init__(self, cluster, models):
        self.answered = []  # moments
        self.lost = []
        self._cluster = cluster
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(model,)) for model in models]
        for thread in self._threads:
            thread.start()

    def _ask(self, model):
        body = json.dumps({"model": model, "prompt": "a", "max_tokens": 4})
        connection = connect(self._cluster)
        while not self._stopping.is_set():
            connection.request("POST", "/v1/completions", body, HEADERS)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status == 200:
                self.answered.append(time.monotonic())
            else:
                self.lost.append(text)

    def rate(self, seconds=RATE_S):
        """Answers a second, from now on."""
        began = time.monotonic()
        time.sleep(seconds)
        return sum(moment >= began for moment in self.answered) / seconds

    def stop(self):
        self._stopping.set()
        for thread in self._threads:
            thread.join()


def death_of_a_node(files):
    """Prints what the clients see of it."""
    models = dict(sorted(files.items(), key=lambda item: item[1].stat().st_size)[:CLIENTS])
    cluster = emulated(models)
    try:
        cluster.start()
        load = Load(cluster, models)
        wait_until(lambda: len(load.answered) > 10 * CLIENTS, "all is warm")
        before = load.rate()
        victim = max(cluster.nodes().values(), key=lambda node: len(node["models"]))["name"]
        began = time.monotonic()
        cluster.kill(victim)
        without = load.rate()
        cluster.add(victim)
        cluster.wait_for(len(NODES))
        back_s = time.monotonic() - began
        after = load.rate()
        load.stop()
    finally:
        cluster.stop()
    print(f"{'one of four nodes is killed: requests lost':<42}{verdict(len(load.lost), 0)}")
    print(f"{'  its rate once it is back, of that before':<42}{after / before:8.3f}   "
          f"(answers a second: {before:.1f} before, {without:.1f} in the {RATE_S} s after, {after:.1f} once it is back, "
          f"{back_s:.0f} s later)")


def emulated(models):
    return Emulated(
        harness.MINERVA, harness.ENGINE, models, nodes=NODES, arguments=("--max-models", str(MOST_MODELS)),
        daemon_config=KEYS, cluster={"listen": f"{ADDRESS}:{free_port()}"}, admin_key=KEY,
    )


def above(daemons):
    cluster = emulated({})
    node = dataclasses.replace(cluster.config.node, daemon=f"unix:{daemons.folder}/{{node}}")
    cluster.config = dataclasses.replace(cluster.config, node=node)
    return cluster


def added_latency(daemons, cluster):
    """(p50, p99 in ms) of an answer's first byte: by a daemon alone, and by the endpoint. They take turns."""
    model = min(daemons.files, key=lambda name: daemons.files[name].stat().st_size)
    body = json.dumps({"model": model, "prompt": "a", "max_tokens": 1})
    connections = {"endpoint": connect(cluster, 60)}

    def ask(connection):
        began = time.perf_counter()
        connection.request("POST", "/v1/completions", body, HEADERS)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        return (time.perf_counter() - began) * 1000

    for _ in range(10):
        ask(connections["endpoint"])
    hot = next(daemon for daemon in daemons.all.values() if model in daemon.loaded())
    connections["daemon"] = hot.connect()
    times = {name: [] for name in connections}
    for _ in range(PROBES):
        for name, connection in connections.items():
            times[name].append(ask(connection))
    return {name: (statistics.median(values), sorted(values)[int(len(values) * 0.99)]) for name, values in times.items()}


def decision_ms():
    """The median of a decision among 1,000 nodes."""
    board = Board()
    for node in range(1000):
        views = {f"m{number}": ModelView(ready_ms=1000 + node, cost_ms=node) for number in range(20)}
        board.publish(f"node{node}", views | {"hot": ModelView(state="hot")})
    times = []
    for number in range(400):
        ask = Ask("hot" if number % 2 else f"m{number % 20}", (Prefix(number, 100),))
        began = time.perf_counter()
        board.choose(ask)
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def ratio(results, other, figure):
    mine, others = getattr(results["minerva"], figure), getattr(results[other], figure)
    return mine / others if others else float("inf")


def verdict(value, most):
    return f"{value:8.3f}   at most {most:g}: {'reached' if value <= most else 'NOT reached'}"


def main():
    kept, requests = trace_requests()
    files = model_files(kept)
    print(f"{len(requests)} requests of {TRACE.name} for {len(files)} models, {len(NODES)} nodes with room for {MOST_MODELS} "
          f"models each, {CLIENTS} clients; load before: {os.getloadavg()[0]:.1f}", flush=True)
    daemons = Daemons(files)
    try:
        results = compare_routers(daemons, requests)
    finally:
        daemons.clean()
    latency = results.pop("latency")
    if requests:
        print_routers(results)
    added = latency["endpoint"][0] - latency["daemon"][0]
    proxy = "HAProxy" if IS_HAPROXY else "Python proxy"
    print(f"{'added latency, p50 ms, ' + proxy:<42}{verdict(added, 8 if IS_HAPROXY else 20)}"
          f"   (daemon {latency['daemon'][0]:.1f}, endpoint {latency['endpoint'][0]:.1f}; p99 {latency['daemon'][1]:.1f}, "
          f"{latency['endpoint'][1]:.1f})")
    print(f"{'decision at 1,000 nodes, median ms':<42}{verdict(decision_ms(), 1)}")
    if requests:
        death_of_a_node(files)


def print_routers(results):
    print(f"{'router':<14}{'loaded MiB':>12}{'loads':>8}{'cold wait s':>13}{'p50 wait':>11}{'p99 wait':>11}{'failed':>8}{'took':>9}")
    for name, played in results.items():
        waits = sorted(played.waits_ms)
        print(f"{name:<14}{played.loaded_mib:>12.1f}{played.misses:>8}{played.cold_wait_s:>13.1f}"
              f"{waits[len(waits) // 2]:>8.0f} ms{waits[int(len(waits) * 0.99)]:>8.0f} ms{played.failed:>8}{played.seconds:>7.0f} s")
    for figure, text in (("loaded_mib", "bytes loaded"), ("cold_wait_s", "cold wait")):
        for other, most in (("round-robin", 0.5), ("multiplexing", 0.8)):
            print(f"{text + ', of ' + other + chr(39) + 's':<42}{verdict(ratio(results, other, figure), most)}")


if __name__ == "__main__":
    main()
