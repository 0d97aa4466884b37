#!/usr/bin/env python3
"""Threads and spin policy of engines: how fast one busy engine decodes under each setting, and how fast two at once.

docs/adr/0005-engine-defaults.md is based on it; "minerva" is what Minerva does itself. The settings go round in turns, so
that a disturbance meets all of them. "together" is the sum over two busy engines (one for each demo model): what each
decodes, as a share of what it decodes alone at the best setting.

usage: bench/engine_settings.py [--rounds N] [--seconds S] [--engine-with-openmp FILE] [--only "NAME;..."]
"""
import argparse
import http.client
import json
import os
import pathlib
import statistics
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from subjects import BIN, DEMO, ROOT, Stage

FLAGS = ["--offline", "--no-ui", "--no-warmup", "-fit", "off", "-c", "2048", "-np", "1", "-b", "256", "-ub", "256",
         "--cache-ram", "0"]
PROMPT = "The history of the lighthouse begins"
CORES = os.cpu_count()
MINERVA = "minerva"


def settings(engine_with_openmp):
    """Returns name -> (engine, flags, environment); nothing for Minerva itself."""
    engine = BIN / "minerva-engine"
    half = str(max(1, CORES // 2))
    result = {MINERVA: None, "defaults": (engine, [], {})}
    for poll in (0, 10, 100):
        result[f"--poll {poll}"] = (engine, ["--poll", str(poll)], {})
    result[f"-t {half}"] = (engine, ["-t", half], {})
    if engine_with_openmp:
        result["OpenMP"] = (engine_with_openmp, [], {})
        result["OpenMP, passive"] = (engine_with_openmp, [], {"OMP_WAIT_POLICY": "passive"})
        for spin in (1000, 10000, 30000, 100000):
            result[f"OpenMP, spin {spin}"] = (engine_with_openmp, [], {"GOMP_SPINCOUNT": str(spin)})
        result[f"OpenMP, -t {half}"] = (engine_with_openmp, ["-t", half], {})
    return result


def start_engines(stage, engine, flags, environment):
    """Returns model -> server."""
    return {model: stage.direct(file, [*FLAGS, *flags], environment, engine) for model, file in DEMO.items()}


class Generation:
    """An endless stream of a model, on its own thread; `tokens` counts what came."""

    def __init__(self, server, model):
        self.model = model
        self.tokens = 0
        self.stopped = False
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stopped:
            self.connection.request("POST", "/v1/completions", json.dumps(
                {"model": self.model, "prompt": PROMPT, "max_tokens": 400, "temperature": 0, "stream": True, "ignore_eos": True,
                 "cache_prompt": False}), {"Content-Type": "application/json"})
            response = self.connection.getresponse()
            for line in response:
                self.tokens += line.startswith(b"data: {")
                if self.stopped:
                    break
        self.connection.close()


def rates(servers, seconds):
    """Tokens per second of each of `servers` (model -> server) while all of them generate."""
    running = {model: Generation(server, model) for model, server in servers.items()}
    for generation in running.values():
        generation.thread.start()
    while not all(generation.tokens > 4 for generation in running.values()):
        time.sleep(0.01)
    before = {model: generation.tokens for model, generation in running.items()}
    start = time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - start
    result = {model: (generation.tokens - before[model]) / took for model, generation in running.items()}
    for generation in running.values():
        generation.stopped = True
    for generation in running.values():
        generation.thread.join()
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement")
    parser.add_argument("--engine-with-openmp", type=pathlib.Path, help="built with -DGGML_OPENMP=ON")
    parser.add_argument("--only", help="these settings, separated by semicolons")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    options = parser.parse_args()
    tried = settings(options.engine_with_openmp)
    if options.only:
        tried = {name: tried[name] for name in options.only.split(";")}
    alone = {name: {model: [] for model in DEMO} for name in tried}
    together = {name: {model: [] for model in DEMO} for name in tried}
    load_before = os.getloadavg()[0]
    with Stage(options.build / "bin/minerva") as stage:
        models_dir = stage.models_dir("models", DEMO)
        for _ in range(options.rounds):
            for name, setting in tried.items():
                if name == MINERVA:
                    minerva = stage.minerva(models_dir, max_models=len(DEMO))
                    servers = {model: minerva for model in DEMO}
                else:
                    servers = start_engines(stage, *setting)
                try:
                    for model in DEMO:
                        alone[name][model].append(rates({model: servers[model]}, options.seconds)[model])
                    for model, rate in rates(servers, options.seconds).items():
                        together[name][model].append(rate)
                finally:
                    stage.stop_all()
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
