#!/usr/bin/env python3
"""Threads and spin policy of engines: how one busy engine decodes under each setting, and two at once.

What docs/adr/0005-engine-defaults.md chose from. The settings go round in turns, so that a disturbance meets all.
"together" is the sum of what each of two engines (one per demo model) decodes while both are busy, each as a share of
what it decodes alone at the best setting.

usage: bench/engine_settings.py [--rounds N] [--seconds S] [--engine-without-openmp FILE] [--only "NAME;..."]
"""
import argparse
import http.client
import json
import os
import pathlib
import statistics
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from bench import BIN, DEMO, Server, free_port

FLAGS = ["--offline", "--no-ui", "--no-warmup", "-fit", "off", "-c", "2048", "-np", "1", "-b", "256", "-ub", "256",
         "--cache-ram", "0"]
PROMPT = "The history of the lighthouse begins"
CORES = os.cpu_count()


def settings(engine_without_openmp):
    """name -> (engine, flags, environment)"""
    engine = BIN / "minerva-engine"
    result = {
        "defaults": (engine, [], {}),
        "passive": (engine, [], {"OMP_WAIT_POLICY": "passive"}),
        "spin 1000": (engine, [], {"GOMP_SPINCOUNT": "1000"}),
        "spin 10000": (engine, [], {"GOMP_SPINCOUNT": "10000"}),
        "spin 30000": (engine, [], {"GOMP_SPINCOUNT": "30000"}),
        "spin 100000": (engine, [], {"GOMP_SPINCOUNT": "100000"}),
        f"-t {CORES // 2}": (engine, ["-t", str(CORES // 2)], {}),
    }
    if engine_without_openmp:
        for poll in (0, 10, 50, 100):
            result[f"no OpenMP, --poll {poll}"] = (engine_without_openmp, ["--poll", str(poll)], {})
        result[f"no OpenMP, -t {CORES // 2}"] = (engine_without_openmp, ["-t", str(CORES // 2)], {})
    return result


class Generation:
    """One endless stream of an engine, on a thread of its own; `tokens` counts."""

    def __init__(self, server):
        self.tokens = 0
        self.stopped = False
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stopped:
            self.connection.request("POST", "/v1/completions", json.dumps(
                {"prompt": PROMPT, "max_tokens": 400, "temperature": 0, "stream": True, "ignore_eos": True,
                 "cache_prompt": False}), {"Content-Type": "application/json"})
            response = self.connection.getresponse()
            for line in response:
                self.tokens += line.startswith(b"data: {")
                if self.stopped:
                    break
        self.connection.close()


def rates(servers, seconds):
    """Tokens per second of each server while all of them generate."""
    running = [Generation(server) for server in servers]
    for generation in running:
        generation.thread.start()
    while not all(generation.tokens > 4 for generation in running):
        time.sleep(0.01)
    before, start = [generation.tokens for generation in running], time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - start
    result = [(generation.tokens - tokens) / took for generation, tokens in zip(running, before)]
    for generation in running:
        generation.stopped = True
    for generation in running:
        generation.thread.join()
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement")
    parser.add_argument("--engine-without-openmp", type=pathlib.Path, help="built with -DGGML_OPENMP=OFF")
    parser.add_argument("--only", help="these settings, separated by semicolons")
    options = parser.parse_args()
    tried = settings(options.engine_without_openmp)
    if options.only:
        tried = {name: tried[name] for name in options.only.split(";")}
    alone = {name: {model: [] for model in DEMO} for name in tried}
    together = {name: {model: [] for model in DEMO} for name in tried}
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="mv-settings-") as folder:
        for _ in range(options.rounds):
            for name, (engine, flags, environment) in tried.items():
                servers = []
                try:
                    for model, file in DEMO.items():
                        port = free_port()
                        servers.append(Server(model, [engine, "--host", "127.0.0.1", "--port", port, "-m", file, *FLAGS,
                                                      *flags], port, {**environment, "LLAMA_SERVER_ROUTER_PORT": "1"},
                                              pathlib.Path(folder) / "log"))
                        servers[-1].read_line('"state":"ready"')
                    for server in servers:
                        alone[name][server.name] += rates([server], options.seconds)
                    for server, rate in zip(servers, rates(servers, options.seconds)):
                        together[name][server.name].append(rate)
                finally:
                    for server in servers:
                        server.stop()
    median = statistics.median
    best = {model: max(median(alone[name][model]) for name in tried) for model in DEMO}
    print(f"load of the machine before: {load_before:.1f}; {options.rounds} rounds of {options.seconds:g} s; tokens/s")
    print(f"{'':24}" + "".join(f"{model + ' alone':>24}" for model in DEMO) + f"{'together':>24}")
    for name in tried:
        cells = [f"{median(alone[name][m]):.1f} ({median(alone[name][m]) / best[m]:.2f})" for m in DEMO]
        both = [median(together[name][m]) for m in DEMO]
        share = sum(rate / best[m] for rate, m in zip(both, DEMO))
        cells.append(" + ".join(f"{rate:.1f}" for rate in both) + f" ({share:.2f})")
        print(f"{name:24}" + "".join(f"{cell:>24}" for cell in cells))


if __name__ == "__main__":
    main()
