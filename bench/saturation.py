#!/usr/bin/env python3
"""What a change of the daemon costs a saturated model: two daemons with the same engine, round by round in one run.

More clients than slots, with long answers, answers of one token, embeddings and rankings; many connections that use no
slot; one stream; and how much of ten conversations that take turns on four slots is found in the prompt cache.

usage: bench/saturation.py --before DAEMON [--after DAEMON] [--rounds N] [--seconds S]
                                                                         exits 1 when a ratio is lower than promised
"""
import argparse
import pathlib
import statistics
import sys
import time

from bench import load
from subjects import DEMO, ROOT, Stage, build, generated_model, require_demo_models

LEAST = 0.98
CHAT = next(iter(DEMO))
ENCODER = ["--arch", "bert", "--embd", "384", "--layers", "6", "--ffn", "1536", "--ctx", "512"]
CONVERSATIONS, TURNS = 10, 4


def requests(options, server, path, body, connections):
    return load(options, server, path, body, connections, options.seconds)["requests_per_s"]


def events(options, server, path, body, connections):
    return load(options, server, path, body, connections, options.seconds)["events_per_s"]


def found(server):
    """Tokens of prompts that were found in the cache, of ten conversations that take turns."""
    texts = [f"Conversation {number}. " + f"Word {number} and more. " * 20 for number in range(CONVERSATIONS)]
    cached = 0
    for _ in range(TURNS):
        for number, text in enumerate(texts):
            answer = server.call("POST", "/v1/completions", {"model": CHAT, "prompt": text, "max_tokens": 8,
                                                             "temperature": 0, "ignore_eos": True}).json
            cached += answer["usage"].get("prompt_tokens_details", {}).get("cached_tokens", 0)
            texts[number] = text + answer["choices"][0]["text"] + " And then? "
    return cached


def rows(options, slots, clients):
    text = {"model": CHAT, "prompt": "Once upon a time", "temperature": 0, "ignore_eos": True}
    ask = f"{clients} clients, {slots} slots: "
    return [
        # By tokens: only a few of these requests end in the time of a measurement.
        (ask + "150 tokens", lambda s: events(options, s, "/v1/completions", text | {"max_tokens": 150, "stream": True}, clients)),
        (ask + "1 token", lambda s: requests(options, s, "/v1/completions", text | {"max_tokens": 1}, clients)),
        (ask + "embeddings", lambda s: requests(options, s, "/v1/embeddings", {"model": "encoder", "input": "Hello world"}, clients)),
        (ask + "rerank", lambda s: requests(options, s, "/v1/rerank", {"model": "reranker", "query": "Hello", "documents": ["Hello world", "A cache"]}, clients)),
    ]


def more_rows(options):
    text = {"model": CHAT, "prompt": "Hello", "max_tokens": 200, "temperature": 0, "stream": True, "ignore_eos": True}
    return [
        ("/tokenize, 16 connections", lambda s: requests(options, s, "/tokenize", {"model": CHAT, "content": "Hello world"}, 16)),
        ("one stream", lambda s: events(options, s, "/v1/completions", text, 1)),
    ]


def measure(options, stage, slots, clients, more):
    files = DEMO | {"encoder": generated_model("encoder", ENCODER),
                    "reranker": generated_model("reranker", [*ENCODER, "--pooling", "rank"])}
    config = "".join(f'[model."{name}"]\nparallel = {slots}\ncontext = 512\n' for name in (CHAT, "encoder", "reranker"))
    daemons = {}
    for name, binary in (("before", options.before), ("after", options.after)):
        models_dir = stage.models_dir(f"{name}-{slots}", files)
        daemons[name] = stage.minerva(models_dir, config, max_models=3, program=binary, name=name)
    wanted = rows(options, slots, clients) + more
    values = {row: {name: [] for name in daemons} for row, _ in wanted}
    for round_number in range(options.rounds + 1):
        for row, deed in wanted:
            for name, server in daemons.items():
                value = deed(server)
                time.sleep(1)  # the engine's threads go on to spin after an answer
                if round_number > 0:  # the first one warms up
                    values[row][name].append(value)
    stage.stop_all()
    return values


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=pathlib.Path, required=True)
    parser.add_argument("--after", type=pathlib.Path, default=ROOT / "build/bin/minerva")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    options = parser.parse_args()
    options.loadgen = options.build / "bin/loadgen"
    require_demo_models()
    good = True
    with Stage(build(options)) as stage:
        values = measure(options, stage, 2, 8, more_rows(options))
        values |= measure(options, stage, 8, 32, [])
        values |= measure_found(options, stage)
    for row, by_name in values.items():
        ratio = statistics.median(a / b for a, b in zip(by_name["after"], by_name["before"], strict=True))
        good = good and ratio >= LEAST
        before, after = (statistics.median(by_name[name]) for name in ("before", "after"))
        print(f"{row:40} before {before:10.2f}  after {after:10.2f}  ratio {ratio:.3f}{'' if ratio >= LEAST else '   TOO LOW'}")
    sys.exit(0 if good else 1)


def measure_found(options, stage):
    row = f"cached tokens, {CONVERSATIONS} conversations on 4 slots"
    result = {row: {}}
    for name, binary in (("before", options.before), ("after", options.after)):
        models_dir = stage.models_dir(f"{name}-4", DEMO)
        server = stage.minerva(models_dir, f'[model."{CHAT}"]\nparallel = 4\ncontext = 1024\n', program=binary, name=name)
        result[row][name] = [found(server)]
        stage.stop_all()
    return result


if __name__ == "__main__":
    main()
