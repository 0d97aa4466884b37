#!/usr/bin/env python3
"""Models on a device (GPU): the same answers after a park, what a park and a wake take, and a switch of two models beside
llama.cpp's router with the same backend.

It needs no network: its models are generated, for an architecture that every backend computes. On a GPU it takes some
minutes. On a device that is a processor (Mesa's lavapipe) `--small` is for trying the script; its times mean nothing.

usage: bench/devices.py [--variant vulkan|cuda] [--device Vulkan0] [--rounds N] [--small]
It needs `make build engine engine-vulkan`. Variables such as GGML_VK_VISIBLE_DEVICES go on to the engines.
"""
import argparse
import json
import os
import pathlib
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/e2e"))
sys.dont_write_bytecode = True

from bare_engine import BareEngine, prompt, talk  # noqa: E402
from subjects import BIN, Failed, Stage, generated_model  # noqa: E402

LARGE = ["--embd", "2048", "--layers", "16", "--ffn", "8192", "--quant", "q4_0", "--ctx", "8192"]
SMALL = ["--embd", "256", "--layers", "4", "--ffn", "512", "--quant", "q4_0", "--ctx", "8192"]
PASSED_ON = ("GGML_VK_VISIBLE_DEVICES", "VK_DRIVER_FILES", "VK_ICD_FILENAMES", "CUDA_VISIBLE_DEVICES",
             "MESA_SHADER_CACHE_DIR")
MIB = 1 << 20


def line(name, text):
    print(f"  {name:44} {text}", flush=True)


def passed_on():
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}


def seconds_of(action):
    began = time.monotonic()
    answer = action()
    return time.monotonic() - began, answer


def alone(options, file):
    """One engine, as the daemon drives it."""
    flags = ("--device", options.device, "-ngl", "all", "-np", "2")
    start = dict(program=BIN / f"minerva-engine-{options.variant}", env=passed_on(), context=8192)
    tokens = 40 if options.small else 1500
    first = lambda slot: prompt(slot, tokens)  # noqa: E731
    with BareEngine(file, *flags, **start) as engine:
        expected = talk(engine, 3, (0, 1), first=first)
        hot = engine.measure()
    parks, wakes, written = [], [], []
    with BareEngine(file, *flags, **start) as engine:
        if not engine.greeting["can_park"]:
            line("park", f"not measured: {engine.greeting['why_not']}")
            return

        def between(_turn):
            for _ in range(options.rounds):
                took, parked = seconds_of(engine.park)
                if not parked["parked"]:
                    raise Failed(f"it is not parked: {parked}")
                parks.append(took)
                written.append(parked["written_bytes"])
                wakes.append(seconds_of(engine.wake)[0])

        same = talk(engine, 3, (0, 1), between, first=first) == expected
    on_device = hot["devices"][options.device]
    line("the same answers with and without parks", "yes" if same else "NO")
    line("on the device", f"{on_device / MIB:.0f} MiB")
    line("park", f"{1000 * statistics.median(parks):.0f} ms, the first {1000 * parks[0]:.0f} ms; "
         f"{max(written) / MIB:.0f} MiB written at most")
    wake = statistics.median(wakes)
    line("wake", f"{1000 * wake:.0f} ms, {on_device / wake / 1e9:.2f} GB/s")
    if not same:
        raise Failed("an engine gives other answers after it was parked")


def switches(options, files):
    """Two models on room for one and a half, in turns, with a conversation each."""
    tokens = 40 if options.small else 1500
    with Stage(ROOT / "build/release/bin/minerva") as stage:
        folder = stage.models_dir("models", files)
        os.environ.update(passed_on())
        measured = probe(stage, folder, options, files)
        config = f'[device."{options.device}"]\nmemory_budget = "{measured * 3 // 2 // MIB}MiB"\n'
        minerva = start_minerva(stage, folder, config, "minerva")
        engine = BIN / f"llama-server-{options.variant}"
        subjects = [minerva]
        if engine.exists():
            subjects.append(start_router(stage, folder, options, engine))
        else:
            line("llama.cpp's router", f"not measured: there is no {engine.name}")
        times = {subject.name: [] for subject in subjects}
        again = {subject.name: [] for subject in subjects}
        for subject in subjects:
            for number, model in enumerate(files):
                subject.complete(model, prompt(number, tokens), 4)
        for _ in range(options.rounds):
            for subject in subjects:
                for number, model in enumerate(files):
                    answer = subject.complete(model, prompt(number, tokens), 1)
                    times[subject.name].append(answer.seconds)
                    again[subject.name].append(answer.timings["prompt_n"])
        for subject in subjects:
            line(f"switch, {subject.name}", f"{1000 * statistics.median(times[subject.name]):.0f} ms to the first token; "
                 f"{statistics.median(again[subject.name]):.0f} of {tokens} tokens read again")


def start_minerva(stage, folder, config, name):
    server = stage.minerva(folder, config, max_models=0, name=name, environment=passed_on())
    return server


def probe(stage, folder, options, files):
    """What one of the models takes of the device, in bytes."""
    minerva = start_minerva(stage, folder, "", "probe")
    minerva.first_token(next(iter(files)))
    devices = json.loads(minerva.ask("GET", "/v1/devices").body)["data"]
    stage.stop(minerva)
    taken = next(device["reserved_bytes"] for device in devices if device["id"] == options.device)
    if taken == 0:
        raise Failed(f"the model is not on {options.device}: {devices}")
    return taken


def start_router(stage, folder, options, program):
    flags = ["--device", options.device, "-ngl", "all", "-fit", "off", "--no-warmup", "-c", "16384", "-np", "2", "-b",
             "256", "-ub", "256"]
    return stage.router(folder, flags, passed_on(), "llama.cpp's router", program=program)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", default="vulkan", choices=["vulkan", "cuda"])
    parser.add_argument("--device", default=None, help="default: the first of the variant")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    options.device = options.device or {"vulkan": "Vulkan0", "cuda": "CUDA0"}[options.variant]
    made = SMALL if options.small else LARGE
    kind = "small" if options.small else "large"
    files = {f"{kind}-{n}": generated_model(f"device-{kind}-{n}", [*made, "--seed", str(n)]) for n in (1, 2)}
    began = time.monotonic()
    try:
        alone(options, next(iter(files.values())))
        switches(options, files)
    except Failed as failed:
        sys.exit(f"bench: {failed}")
    line("in all", f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
