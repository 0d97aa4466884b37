#!/usr/bin/env python3
"""What parking costs: an engine that is parked and woken, beside one that never is; in turns, medians and ratios.

It drives the engine alone, as the daemon does. Processor time is reported beside wall time, since it says more on a machine
that is busy with something else.

usage: bench/parking.py [--rounds N] [--model FILE]   (default: a generated model of 1.2 B parameters)
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/e2e"))
sys.dont_write_bytecode = True

import page_cache  # noqa: E402
from bare_engine import BareEngine, prompt  # noqa: E402
from harness import ENGINE  # noqa: E402
from subjects import EngineProcess, large_models  # noqa: E402

DECODED = 24
PREFILLED = 64


def processor_seconds(engine):
    """The processor time of the thread that infers (with one thread: all computation). The image's check runs beside
    it."""
    return int(pathlib.Path(f"/proc/{engine.pid}/task/{engine.pid}/schedstat").read_text().split()[0]) / 1e9


def timed(engine, action):
    """Returns (wall milliseconds, milliseconds of processor time, what the call returned)."""
    began, used = time.monotonic(), processor_seconds(engine)
    result = action()
    return 1000 * (time.monotonic() - began), 1000 * (processor_seconds(engine) - used), result


def median(values):
    return statistics.median(values)


def mib(count):
    return f"{count / (1 << 20):.0f} MiB"


def line(name, text):
    print(f"  {name:52} {text}", flush=True)


def pairs(name, before, after, faster_is=lambda x, y: x / y):
    """Returns the medians of both, and the median of the ratio in each round (the speed after against that before)."""
    for what, index in (("wall", 0), ("processor", 1)):
        ratio = median([faster_is(b[index], a[index]) for b, a in zip(before, after)])
        line(f"{name}, {what} time", f"{median([b[index] for b in before]):.0f} ms, then "
             f"{median([a[index] for a in after]):.0f} ms: speed {ratio:.3f}")


def first_tokens(engine, rounds):
    """A request whose whole prompt is in the cache: hot, after a park, and after a park that dropped pages."""
    text = prompt(1, 300)
    engine.complete(text, count=4)
    found = {"hot": [], "kept": [], "dropped": []}
    parks = {"kept": [], "dropped": []}
    for _ in range(rounds):
        found["hot"].append(timed(engine, lambda: engine.complete(text, count=1)))
        for how in ("kept", "dropped"):
            drop = how == "dropped"
            parks[how].append(timed(engine, lambda: engine.park(drop=drop)))
            woken = timed(engine, engine.wake)
            asked = timed(engine, lambda: engine.complete(text, count=1))
            found[how].append((woken[0] + asked[0], woken[1] + asked[1], woken[0]))
    hot = median([sample[0] for sample in found["hot"]])
    line("first token, hot", f"{hot:.1f} ms")
    for how in ("kept", "dropped"):
        wall = median([sample[0] for sample in found[how]])
        line(f"first token, parked with pages {how}",
             f"{wall:.1f} ms = {median([p[0] / h[0] for p, h in zip(found[how], found['hot'])]):.2f} x hot "
             f"(of it the wake {median([sample[2] for sample in found[how]]):.1f} ms); "
             f"park {median([sample[0] for sample in parks[how]]):.0f} ms")
    return found


def speeds(parked, never, rounds, parks=True):
    """Decodes and prefills right after a wake, beside an engine that was never parked. With `parks` False neither is
        parked, which shows how far the figures can be trusted."""
    decode, prefill = ([], []), ([], [])
    text = prompt(2, 100)
    for engine in (never, parked):
        engine.complete(text, count=4)
    for i in range(rounds):
        # Which one comes first alternates from round to round.
        for engine in (never, parked) if i % 2 == 0 else (parked, never):
            if parks and engine is parked:
                parked.park()
                parked.wake()
            mine = 1 if engine is parked else 0
            decode[mine].append(timed(engine, lambda: engine.complete(text, count=DECODED)))
            fresh = prompt((1000 if parks else 2000) + i, PREFILLED)
            prefill[mine].append(timed(engine, lambda: engine.complete(fresh, count=1)))
            engine.complete(text, count=1)
    what = "" if parks else "neither is parked: "
    pairs(f"{what}decoding {DECODED} tokens", *decode)
    pairs(f"{what}prefilling {PREFILLED} tokens", *prefill)


def written(engine, token_bytes, rounds):
    """The bytes that a park writes after a turn of five tokens, against the KV cache that such a turn fills."""
    text = prompt(3, 300)
    engine.complete(text, count=4)
    engine.park()
    engine.wake()
    found = []
    for _ in range(rounds):
        text += engine.complete(text, count=4)[0] + [7]
        found.append(engine.park()["written_bytes"])
        engine.wake()
    line("written per park after a turn of 5 tokens", f"{median(found) / 1024:.0f} KiB; their KV cache has "
         f"{5 * token_bytes / 1024:.0f} KiB: {median(found) / (5 * token_bytes):.2f}")


def cache_bytes_of_a_token(file):
    """The bytes of a token in the KV cache, over all layers."""
    done = subprocess.run([ENGINE, "inspect", file, "-c", "8192"], check=True, capture_output=True)
    return json.loads(done.stdout)["memory"]["host"]["context"] // 8192


def residue(engine, conversations=4):
    """Private memory while parked, with conversations in the host prompt cache, against all memory while hot."""
    for number in range(conversations):
        for slot in (0, 1):
            engine.complete(prompt(40 + 2 * number + slot, 400), count=2, slot=slot)
    hot = engine.memory()["Pss"]
    answer = engine.park()
    private = engine.memory()["Pss_Anon"]
    line("private memory parked", f"{mib(private)} of {mib(hot)} hot: {100 * private / hot:.1f} %; "
         f"image {mib(answer['image_bytes'])}")
    engine.park(drop=True)
    line("all memory parked, pages dropped", mib(engine.memory()["Pss"]))
    engine.wake()


def read_rates(engine, file, rounds):
    """How fast dropped pages come back for a first token (beyond the time that it takes hot), against a sequential
    read."""
    size = file.stat().st_size
    text = prompt(1, 300)
    engine.complete(text, count=4)
    process = EngineProcess(engine.pid, [], {})
    plain, woken = [], []
    for _ in range(rounds):
        hot = timed(engine, lambda: engine.complete(text, count=1))[0]
        engine.park(drop=True)
        began = time.monotonic()
        page_cache.read_file(file)
        plain.append(size / (time.monotonic() - began))
        engine.park(drop=True)
        before = process.transferred()["read_bytes"]
        asked = timed(engine, lambda: (engine.wake(), engine.complete(text, count=1)))[0]
        woken.append(1000 * (process.transferred()["read_bytes"] - before) / (asked - hot))
    line("pages dropped: they come back at", f"{median(woken) / 1e6:.0f} MB/s; the file read in sequence "
         f"{median(plain) / 1e6:.0f} MB/s: {median([w / p for w, p in zip(woken, plain)]):.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--model", type=pathlib.Path)
    options = parser.parse_args()
    file = options.model or large_models(1)["large-1"]
    print(f"{file.name}, {mib(file.stat().st_size)}, {options.rounds} rounds, load "
          f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for weights, flags in (("mapped weights", ["--no-repack"]), ("repacked weights", [])):
        print(weights)
        flags = [*flags, "-np", "2", "--cache-ram", "256"]
        with BareEngine(file, *flags, context=8192) as engine:
            began = time.monotonic()
            engine.complete(prompt(0, 300), count=4)
            first = engine.park()
            line("first park", f"{1000 * (time.monotonic() - began):.0f} ms with the request, "
                 f"{mib(first['written_bytes'])} written")
            engine.wake()
            first_tokens(engine, options.rounds)
            written(engine, cache_bytes_of_a_token(file), options.rounds)
            read_rates(engine, file, max(options.rounds // 3, 3))
            residue(engine)
        # Without the host prompt cache: otherwise a conversation that makes room is copied into it.
        flags[-1] = "0"
        with BareEngine(file, *flags, context=8192) as never, BareEngine(file, *flags, context=8192) as other:
            speeds(other, never, options.rounds, parks=False)
            speeds(other, never, options.rounds)


main()
