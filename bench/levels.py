#!/usr/bin/env python3
"""How fast an engine of the package decodes beside one that was built for this processor: round by round in one run.

usage: bench/levels.py --engine FILE [--beside FILE] [--rounds N]        FILE: a minerva-engine; exits 1 below 0.97
"""
import argparse
import pathlib
import statistics
import sys

from subjects import BIN, DEMO, Stage, require_demo_models

FLAGS = ["--offline", "--no-ui", "-c", "1024", "-np", "1", "--cache-ram", "0"]
TOKENS = 128
LEAST = 0.97


def decoded_per_second(server, model):
    prompt = server.ask("POST", "/tokenize", {"content": "The history of the lighthouse begins"}).json["tokens"]
    return server.complete(model, prompt, TOKENS).timings["predicted_per_second"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", type=pathlib.Path, required=True)
    parser.add_argument("--beside", type=pathlib.Path, default=BIN / "minerva-engine")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    require_demo_models()
    good = True
    with Stage(None) as stage:
        for model, file in DEMO.items():
            servers = [stage.direct(file, FLAGS, {}, engine) for engine in (options.engine, options.beside)]
            rounds = [[decoded_per_second(server, model) for server in servers] for _ in range(options.rounds + 1)][1:]
            ratio = statistics.median(one / other for one, other in rounds)
            good = good and ratio >= LEAST
            one, other = (statistics.median(values) for values in zip(*rounds, strict=True))
            print(f"{model:14} {one:7.1f} of {other:7.1f} tokens a second: {ratio:.3f}{'' if ratio >= LEAST else '   TOO LOW'}")
            stage.stop_all()
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
