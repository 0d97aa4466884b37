#!/usr/bin/env python3
"""Minerva beside the bare engine and llama.cpp's own router: one run, in turns; medians and ratios.

proxying and loading: all three run the same llama.cpp with the same flags (those that Minerva gave its engine, read from
its command line). crowding: how long a request for another model waits. switching: what parking is worth (switching.py).
conversing: the engine beside llama.cpp's server in a long conversation. Each measurement goes round the subjects several
times, so that a disturbance meets all of them.

usage: bench/bench.py [--rounds N] [--seconds S] [--only NAME] [--build DIR] [--json FILE]
"""
import argparse
import concurrent.futures
import json
import pathlib
import subprocess
import sys
import time
import traceback

import switching
from bare_engine import prompt
from figures import Figures
from subjects import BIN, DEMO, Failed, ROOT, Stage, build, engine_of, large_models, require_demo_models, unload

TINY = "tiny"
STREAMS = 8
CROWD, CROWD_TOKENS, CROWD_ROUNDS = 30, 60, 3
PARTS = ("proxying", "crowding", "loading", "switching", "conversing")
SAID = 9  # tokens of the next turn of a conversation
REST = 1  # seconds: the threads of llama.cpp's server spin for a while after an answer


# ---- proxying ----

def load(options, server, path, body, connections, seconds, max_requests=0):
    done = subprocess.run([options.loadgen, f"127.0.0.1:{server.port}", path, json.dumps(body), str(connections),
                           str(seconds), str(max_requests)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{server.name}: {path}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def measure_proxying(options, servers, figures):
    tokenize = {"model": TINY, "content": "Hello world"}
    stream = {"model": TINY, "prompt": "Hello", "max_tokens": 1500, "temperature": 0, "stream": True,
              "ignore_eos": True, "cache_prompt": False}
    wanted = [
        ("/tokenize, 16 connections", "requests/s", lambda s: load(options, s, "/tokenize", tokenize, 16,
                                                                   options.seconds)["requests_per_s"]),
        ("one stream", "chunks/s", lambda s: load(options, s, "/v1/completions", stream, 1, 60, 1)["events_per_s"]),
        (f"{STREAMS} streams", "chunks/s", lambda s: load(options, s, "/v1/completions", stream, STREAMS, 60,
                                                          STREAMS)["events_per_s"]),
    ]
    for server in servers:  # warm-up: the router loads its model now
        server.first_token(TINY)
    for _ in range(options.rounds):
        for row, unit, measure in wanted:
            for server in servers:
                figures.add(row, unit, server.name, measure(server))
        for server in servers:
            latency = load(options, server, "/tokenize", tokenize, 1, options.seconds)
            figures.add("/tokenize latency p50", "ms", server.name, latency["p50_ms"])
            figures.add("/tokenize latency p99", "ms", server.name, latency["p99_ms"])
    for row, least in (("/tokenize, 16 connections", 0.6), ("one stream", 0.97), (f"{STREAMS} streams", 0.97)):
        figures.compare(row, "minerva", "direct", least=least)
        figures.compare(row, "minerva", "router")
    for row in ("/tokenize latency p50", "/tokenize latency p99"):
        figures.compare(row, "minerva", "direct", "more", most=0.5)
        figures.compare(row, "minerva", "router")


def proxying(options, stage, figures, flags):
    source = stage.folder / f"{TINY}.gguf"
    subprocess.run([BIN / "make_gguf", source], check=True, capture_output=True)
    models_dir = stage.models_dir("tiny", {TINY: source})
    config = f'[model."{TINY}"]\npath = "{TINY}.gguf"\nparallel = {STREAMS}\ncontext = 2048\n'
    minerva = stage.minerva(models_dir, config)
    minerva.first_token(TINY)
    engine = engine_of(minerva, TINY)
    flags[TINY] = engine.flags()
    direct = stage.direct(models_dir / f"{TINY}.gguf", engine.flags(), engine.settings())
    router = stage.router(models_dir, engine.flags(), engine.settings())
    measure_proxying(options, [minerva, direct, router], figures)
    stage.stop_all()


# ---- crowding ----

def crowd(server, busy, other):
    """Sends many requests for one model at once, and then one for another. Returns the seconds that the one takes, the
        seconds until all are answered, and how many of the crowd got no answer."""
    body = {"model": busy, "prompt": "Once upon a time", "max_tokens": CROWD_TOKENS, "temperature": 0,
            "ignore_eos": True}
    server.first_token(busy)
    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(CROWD) as pool:
        calls = [pool.submit(server.call, "POST", "/v1/completions", body) for _ in range(CROWD)]
        # Requests of the crowd run by now.
        concurrent.futures.wait(calls, return_when=concurrent.futures.FIRST_COMPLETED)
        single = server.first_token(other)
        failed = sum(call.exception() is not None or call.result().status != 200 for call in calls)
    return single, time.monotonic() - start, failed


def crowding(options, stage, figures, flags):
    models_dir = stage.models_dir("crowding", DEMO)
    busy, other = DEMO
    minerva = stage.minerva(models_dir)
    minerva.first_token(busy)
    engine = engine_of(minerva, busy)
    flags[busy] = engine.flags()
    router = stage.router(models_dir, engine.flags(), engine.settings())
    many = f"{CROWD} requests of {CROWD_TOKENS} tokens at once"
    rows = (f"another model's request beside {many}", f"{many}, and that one", f"of {many}, without an answer")
    for _ in range(min(options.rounds, CROWD_ROUNDS)):
        for server in (minerva, router):
            for row, unit, value in zip(rows, ("s", "s", "requests"), crowd(server, busy, other), strict=True):
                figures.add(row, unit, server.name, value)
    for row in rows[:2]:
        figures.compare(row, "minerva", "router")
    figures.compare(rows[2], "minerva", "router", "more", most=0)
    stage.stop_all()


# ---- loading ----

def measure_cold_load(options, stage, minerva, router, model, engine, figures):
    row = "cold load to first token"
    minerva.first_token(model)
    router.first_token(model)
    for _ in range(options.rounds):
        minerva.ask("DELETE", f"/v1/models/{model}")
        figures.add(row, "ms", "minerva", 1000 * minerva.first_token(model))

        start = time.monotonic()
        direct = stage.direct(DEMO[model], engine.flags(), engine.settings())
        direct.first_token(model)
        figures.add(row, "ms", "direct", 1000 * (time.monotonic() - start))
        stage.stop(direct)

        unload(router, model)
        figures.add(row, "ms", "router", 1000 * router.first_token(model))
    figures.compare(row, "minerva", "direct", "more", most=30)
    figures.compare(row, "minerva", "router")


def loading(options, stage, figures, flags):
    models_dir = stage.models_dir("loading", DEMO)
    model = next(iter(DEMO))
    # Without parking: measures a load.
    minerva = stage.minerva(models_dir, "[park]\nenabled = false\n")
    minerva.first_token(model)
    engine = engine_of(minerva, model)
    flags[model] = engine.flags()
    router = stage.router(models_dir, engine.flags(), engine.settings())
    measure_cold_load(options, stage, minerva, router, model, engine, figures)
    row = "switch to the other model, without parking"
    for _ in range(options.rounds):
        for server in (minerva, router):
            for name in DEMO:
                figures.add(row, "ms", server.name, 1000 * server.first_token(name))
    figures.compare(row, "minerva", "router", most=1.0)
    stage.stop_all()


# ---- conversing ----

def conversing(options, stage, figures, flags):
    length = max(switching.CONVERSATIONS)
    used = ["--offline", "--no-ui", "-fit", "off", "-c", str(2 * length), "-np", "1", "-b", "256", "-ub", "256"]
    models = dict(list(DEMO.items())[:1]) | large_models(1)
    for model, file in models.items():
        flags[model] = used
        servers = {name: stage.direct(file, used, {}, BIN / name) for name in ("minerva-engine", "llama-server")}
        opening = prompt(1, length)
        turn, token, first = (f"{what}, {model}" for what in (
            f"the next turn of {SAID} tokens after {length}", "a token of the answer to it",
            f"prefilling {length} tokens, once"))
        for name, server in servers.items():
            figures.add(first, "tokens/s", name, server.complete(model, opening, 1).timings["prompt_per_second"])
        for number in range(options.rounds):
            for name, server in servers.items():
                said = [1000 + SAID * number + i for i in range(SAID)]
                time.sleep(REST)
                timings = server.complete(model, opening + said, switching.ANSWERED).timings
                if timings["prompt_n"] != SAID:
                    raise Failed(f"{name} computes {timings['prompt_n']} tokens for {SAID} new ones")
                figures.add(turn, "ms", name, timings["prompt_ms"])
                figures.add(token, "ms", name, timings["predicted_per_token_ms"])
        for row in (turn, token):
            figures.compare(row, "minerva-engine", "llama-server", "sooner")
        figures.compare(first, "minerva-engine", "llama-server")
        stage.stop_all()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="of each throughput measurement")
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--json", type=pathlib.Path, help="write every value there")
    options = parser.parse_args()
    options.loadgen = options.build / "bin/loadgen"
    require_demo_models()
    figures = Figures()
    flags = {}  # model -> the flags of its engine
    failure = None
    try:
        with Stage(build(options)) as stage:
            if options.only in (None, "proxying"):
                proxying(options, stage, figures, flags)
            if options.only in (None, "crowding"):
                crowding(options, stage, figures, flags)
            if options.only in (None, "loading"):
                loading(options, stage, figures, flags)
            if options.only in (None, "switching"):
                switching.measure(stage, figures, flags, options.rounds)
            if options.only in (None, "conversing"):
                conversing(options, stage, figures, flags)
    except Failed as error:
        failure = f"bench: it ended early: {error}"
    except Exception:  # whatever it is, earlier measurements are kept
        failure = f"bench: it ended early:\n{traceback.format_exc()}"
    for model, used in flags.items():
        figures.note(f"engine of {model}: {' '.join(used)}")
    figures.print_table()
    if options.json:
        figures.write(options.json)
    sys.exit(failure)


if __name__ == "__main__":
    main()
