#!/usr/bin/env python3
"""What a conversation costs after its engine has ended: restored from the disk, beside llama.cpp's slot files (saved and
restored by hand) and beside reading the prompt again, in one run.

usage: bench/conversations.py [--daemon DAEMON] [--tokens N] [--rounds N] [--long]
  --long: 33,000 tokens of a model as large as SmolLM2, which take ten minutes to read; without slot files, for which
          llama-server would read them again
"""
import argparse
import http.client
import json
import os
import pathlib
import random
import statistics
import threading
import time

from subjects import BIN, DEMO, LARGE, ROOT, Failed, Server, Stage, free_port, generated_model

SMALL = ["--embd", "576", "--layers", "30", "--ffn", "1536", "--quant", "q4_0", "--ctx", "40960"]
NEW = 9            # tokens of a turn
PIECE = 8000       # tokens that one request reads
STREAMED = 100     # tokens of another stream
VOCABULARY = 250   # token ids from 3 on: every generated model has them


def text_of(count, seed):
    return [3 + number for number in random.Random(seed).choices(range(VOCABULARY), k=count)]


def load(server, model):
    return server.ask("POST", f"/v1/models/{model}/load").seconds


def unload(server, model):
    server.ask("DELETE", f"/v1/models/{model}")


def kept(server):
    return server.ask("GET", "/v1/conversations").json


def wait_until_saved(server):
    """Waits until nothing more is saved for longer than an engine's conversations have to rest. Returns the bytes."""
    before, since = None, time.monotonic()
    while time.monotonic() - since < 8:
        now = kept(server)["bytes"]
        if now != before:
            before, since = now, time.monotonic()
        time.sleep(0.2)
    if not before:
        raise Failed("nothing was saved")
    return before


def read(server, model, text, count, **more):
    """A long text in pieces, so that no request takes longer than it may. Returns the answer and the seconds in all."""
    seconds = 0
    for end in range(min(PIECE, len(text)), len(text) + PIECE, PIECE):
        answer = server.complete(model, text[:end], count if end >= len(text) else 1, **more)
        seconds += answer.timings["prompt_ms"] / 1000
    return answer, seconds


def next_turn(server, model, text, expect_restored):
    answer = server.complete(model, text, 1)
    restored = int(answer.headers.get("x-minerva-restored", 0))
    if (restored > 0) != expect_restored:
        raise Failed(f"{restored} tokens were restored")
    return answer.seconds


def line(name, text):
    print(f"{name:58} {text}", flush=True)


def against(name, seconds, loading, prefill):
    line(name, f"load {loading:.2f} s, then {seconds:.2f} s; reading again {prefill:.2f} s: {prefill / seconds:.0f} x sooner")


def by_minerva(options, stage, models_dir, model, config):
    """Returns (text of the conversation, seconds that reading it takes)."""
    server = stage.minerva(models_dir, config, program=options.daemon)
    load(server, model)
    text = text_of(options.count, 1)
    answer, prefill = read(server, model, text, 4)
    text += answer.json["tokens"]
    saved = wait_until_saved(server)
    line("saved", f"{saved / (1 << 20):.0f} MiB, {saved / len(text) / 1024:.1f} KiB a token")
    seconds, loads = [], []
    for _ in range(options.rounds):
        unload(server, model)
        loads.append(load(server, model))
        seconds.append(next_turn(server, model, text + text_of(NEW, 2), True))
    against("after an unload", statistics.median(seconds), statistics.median(loads), prefill)
    # The turn by itself: the slot has the conversation, and nothing is restored.
    plain = statistics.median(next_turn(server, model, text + text_of(NEW, 90 + i), False) for i in range(options.rounds))
    restoring = statistics.median(seconds) - plain
    line("  restored from the page cache", f"{saved / restoring / 1e9:.2f} GB/s ({restoring:.2f} s, without the {plain:.2f} s "
         f"of its {NEW} tokens)")
    from_disk(options, server, model, text, saved, plain)
    written = []
    for turn in range(options.rounds):
        before = wait_until_saved(server)
        answer = server.complete(model, text + text_of(NEW, 3 + turn), 32)
        text += text_of(NEW, 3 + turn) + answer.json["tokens"]
        written.append((wait_until_saved(server) - before) / (NEW + 32) / (saved / options.count))
    line("bytes written for a turn, against its KV cache", f"{statistics.median(written):.2f}")
    stage.stop(server)
    server = stage.minerva(models_dir, config, program=options.daemon, state=server.state)
    loading = load(server, model)
    against("after a restart of the daemon", next_turn(server, model, text + text_of(NEW, 2), True), loading, prefill)
    if options.long:
        pause_beside_a_restore(server, model, text)
    stage.stop(server)
    return text[:options.count], prefill


def forget_pages(folder):
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def seconds_to_read(folder):
    """Of all files, one after the other, in pieces as large as those of the engine."""
    began = time.monotonic()
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb", buffering=0) as file:
                while file.read(8 << 20):
                    pass
    return time.monotonic() - began


def from_disk(options, server, model, text, saved, plain):
    """The page cache has nothing of the files, and the model is loaded."""
    folder = server.state / "conversations"
    restoring, reading = [], []
    for _ in range(options.rounds):
        unload(server, model)
        load(server, model)
        forget_pages(folder)
        restoring.append(next_turn(server, model, text + text_of(NEW, 2), True))
        forget_pages(folder)
        reading.append(seconds_to_read(folder))
    seconds, read = statistics.median(restoring) - plain, statistics.median(reading)
    line("  restored from the disk", f"{saved / seconds / 1e9:.2f} GB/s ({seconds:.2f} s); read by itself "
         f"{saved / read / 1e9:.2f} GB/s ({read:.2f} s)")


def with_an_end_state(options, stage):
    """What a turn writes of a model whose attention has windows: rows of its new tokens, and the state at its end."""
    models_dir = stage.models_dir("windows", {"m": DEMO["gemma3-270m"]})
    server = stage.minerva(models_dir, "[model.m]\ncontext = 8192\nparallel = 1\n", program=options.daemon)
    load(server, "m")
    text = text_of(options.tokens // 2, 1)
    text += server.complete("m", text, 4).json["tokens"]
    written = {}
    for new in (NEW, 50 * NEW):
        before = wait_until_saved(server)
        text += text_of(new, new)
        answer = server.complete("m", text, 32)
        text += answer.json["tokens"]
        written[new + 32] = wait_until_saved(server) - before
    (few, first), (many, second) = written.items()
    row = (second - first) / (many - few)
    print("-- Gemma 3 270M, whose attention has windows")
    line(f"bytes written for turns of {few} and {many} tokens", f"{first / 1024:.0f} and {second / 1024:.0f} KiB: "
         f"{row / 1024:.1f} KiB a token, and {(first - few * row) / 1024:.0f} KiB for the end")
    stage.stop(server)


def by_slot_files(options, stage, file, text, prefill):
    folder = stage.folder / "slots"
    folder.mkdir()
    argv = ["-m", file, "-c", options.context, "-np", "1", "--slot-save-path", f"{folder}/", "--no-warmup", "--offline"]

    def start():
        port = free_port()
        began = time.monotonic()
        server = Server("llama-server", [BIN / "llama-server", "--host", "127.0.0.1", "--port", port, *argv], port)
        stage.servers.append(server)
        server.process.stdout.close()
        server.process.stdout = open("/dev/null", "rb")
        return server.wait_healthy(), time.monotonic() - began

    server, _ = start()
    read(server, None, text, 4, id_slot=0)
    saving = server.ask("POST", "/slots/0?action=save", {"filename": "conversation"}).seconds
    size = (folder / "conversation").stat().st_size
    stage.stop(server)
    server, loading = start()
    restoring = server.ask("POST", "/slots/0?action=restore", {"filename": "conversation"}).seconds
    seconds = restoring + server.complete(None, text + text_of(NEW, 2), 1, id_slot=0).seconds
    against("llama-server's slot file, by hand", seconds, loading, prefill)
    line("  saved, and again after each turn", f"{size / (1 << 20):.0f} MiB in {saving:.2f} s")
    stage.stop(server)


class Gaps:
    """A stream on its own thread: the seconds between its events."""

    def __init__(self, server, model, count):
        self.times = []
        self.thread = threading.Thread(target=self.run, args=(server.port, model, count))
        self.thread.start()

    def run(self, port, model, count):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        body = {"model": model, "prompt": text_of(8, 99), "n_predict": count, "temperature": 0, "ignore_eos": True,
                "stream": True}
        connection.request("POST", "/completion", json.dumps(body), {"Content-Type": "application/json"})
        for event in connection.getresponse():
            if event.startswith(b"data: "):
                self.times.append(time.monotonic())
        connection.close()

    def end(self):
        self.thread.join()
        gaps = [later - earlier for earlier, later in zip(self.times, self.times[1:])]
        return len(gaps) / (self.times[-1] - self.times[0]), max(gaps)

    def wait_until_it_runs(self):
        while len(self.times) < 5:
            time.sleep(0.01)


def beside_a_stream(options, stage, models_dir, model, config):
    server = stage.minerva(models_dir, config, program=options.daemon)
    load(server, model)
    rates = {"saving": [], "nothing": []}
    for turn in range(options.rounds):
        server.complete(model, text_of(options.beside, 50 + turn), 1)
        rates["saving"].append(Gaps(server, model, STREAMED).end()[0])
        wait_until_saved(server)
        rates["nothing"].append(Gaps(server, model, STREAMED).end()[0])
    ratio = statistics.median(a / b for a, b in zip(rates["saving"], rates["nothing"]))
    line(f"a stream while {options.beside} tokens of another slot are saved", f"{ratio:.3f} of its speed")
    wait_until_saved(server)
    pause_beside_a_restore(server, model, text_of(options.beside, 50))
    stage.stop(server)


def pause_beside_a_restore(server, model, text):
    unload(server, model)
    load(server, model)
    alone = Gaps(server, model, STREAMED).end()[1]
    stream = Gaps(server, model, STREAMED)
    stream.wait_until_it_runs()
    # One token, since reading more of them would make the stream wait by itself.
    next_turn(server, model, text + text_of(1, 2), True)
    line("the longest pause of a stream", f"{1000 * stream.end()[1]:.0f} ms beside a restore of {len(text)} tokens and one "
         f"token read, {1000 * alone:.0f} ms alone")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--daemon", type=pathlib.Path, default=ROOT / "build/bin/minerva")
    parser.add_argument("--tokens", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--long", action="store_true")
    options = parser.parse_args()
    options.beside = options.tokens // 2
    slots = 1
    name, shape, options.count, options.context = "1.14 billion parameters", LARGE, options.tokens, 8192
    if options.long:
        slots = 2
        name, shape, options.count, options.context = "the size of SmolLM2", SMALL, 33_000, 40960
    with Stage(None) as stage:
        file = generated_model("conversations", [*shape, "--seed", "1"])
        models_dir = stage.models_dir("models", {"m": file})
        print(f"-- a model of {name}, {options.count} tokens")
        config = f"[model.m]\ncontext = {options.context}\nparallel = {{}}\n"
        text, prefill = by_minerva(options, stage, models_dir, "m", config.format(slots))
        if not options.long:
            by_slot_files(options, stage, file, text, prefill)
            with_an_end_state(options, stage)
            beside_a_stream(options, stage, models_dir, "m", config.format(2))


if __name__ == "__main__":
    main()
