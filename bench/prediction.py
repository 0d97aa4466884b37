#!/usr/bin/env python3
"""What `minerva-engine inspect` predicts for an engine, beside the most memory that the engine takes.

Each engine is filled: the host prompt cache with conversations, then every slot with a conversation of several turns that
ends at the end of its context. Meanwhile the kernel is asked what the engine holds: its own memory, and the pages of its
model's files that it has mapped. "measured by itself": the engine's answer to the daemon's `measure`, after its first
request and at the end.

usage: bench/prediction.py [--only PART_OF_A_NAME ...]      exits 1 when the errors are larger than promised
"""
import argparse
import base64
import dataclasses
import json
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/e2e"))
sys.dont_write_bytecode = True

import architectures  # noqa: E402
import bare_engine  # noqa: E402
import tiny_models  # noqa: E402
from prediction_errors import keeps_promise, percent, print_errors  # noqa: E402
from bare_engine import BareEngine  # noqa: E402

CACHE = pathlib.Path(os.environ.get("MINERVA_CACHE") or pathlib.Path.home() / ".cache/minerva")
SAMPLE_SECONDS = 0.05
TURNS = 6
MIB = 1 << 20


@dataclasses.dataclass
class Case:
    model: str
    file: pathlib.Path
    context: int = 512  # tokens of a slot
    slots: int = 2
    kv: str = "f16"
    mapped: bool = False
    cache: int = 32  # MiB of the host prompt cache
    flags: tuple = ()
    kind: str = "text"  # "embed", "image"
    more_files: tuple = ()
    few_tokens: bool = False  # a vocabulary of 128

    @property
    def name(self):
        words = [self.model, f"{self.context} x {self.slots}", self.kv, "mapped" if self.mapped else "repacked"]
        return ", ".join(words + ([f"cache {self.cache}"] if self.kind == "text" else []))

    def arguments(self):
        """The engine's flags, without those that BareEngine adds: the context's, and FLAGS."""
        kv = [] if self.kv == "f16" else ["-ctk", self.kv, "-ctv", self.kv]
        return ["-np", str(self.slots), "--cache-ram", str(self.cache), *kv, *(["--no-repack"] if self.mapped else []),
                *map(str, self.flags)]

    def tokens(self, number, count):
        """Tokens that the model knows; no two numbers have the same beginning."""
        known = range(3, 100) if self.few_tokens else range(1000, 21_000)
        return random.Random(number).choices(known, k=count)


def generated(name, *options):
    return tiny_models.generate(f"prediction-{name}", list(options))


def with_vocabulary(name):
    """Options of make_gguf."""
    return ["--vocab", str(next(CACHE.glob(f"llama.cpp-*/models/ggml-vocab-{name}.gguf")))]


def cases():
    of = {file.stem.rsplit("-", 1)[0]: file for file in architectures.models(None).values()}
    for architecture, options in [
            ("llama", {"cache": 16}), ("qwen3", {"kv": "q8_0"}), ("qwen3moe", {"slots": 4}),
            ("gemma3", {"cache": 64}), ("gpt-oss", {"mapped": True}), ("deepseek2", {"slots": 1}),
            ("mamba2", {"cache": 64}), ("falcon-h1", {"slots": 3}), ("lfm2", {"cache": 0}), ("phi3", {"cache": 256}),
            ("command-r", {"slots": 8}), ("jamba", {})]:
        yield Case(f"{architecture} (tiny)", of[architecture], **{"context": 256, "few_tokens": True, **options})

    small = generated("small", "--embd", "768", "--layers", "8", "--ffn", "3072", "--quant", "q4_0")
    yield Case("54 MB, q4_0", small, context=2048, cache=64)
    yield Case("54 MB, q4_0", small, context=2048, cache=64, mapped=True)
    yield Case("54 MB, q4_0", small, context=4096, slots=1, kv="q8_0", cache=0)
    yield Case("54 MB, q4_0", small, context=512, slots=6, cache=256)
    wide = generated("wide", *with_vocabulary("llama-bpe"), "--embd", "512", "--layers", "6", "--quant", "q8_0")
    yield Case("128 k tokens, q8_0", wide, context=1024, cache=64)
    deep = generated("deep", "--embd", "512", "--layers", "32", "--ffn", "2048", "--quant", "f16")
    yield Case("32 layers, f16", deep, context=1024, mapped=True)
    middle = generated("middle", "--embd", "1024", "--layers", "16", "--ffn", "4096", "--quant", "q8_0")
    yield Case("0.3 B, q8_0", middle, context=1024, kv="q8_0", cache=64)
    yield Case("0.3 B, q8_0", middle, context=1024, slots=1, mapped=True, cache=64)
    large = generated("large", "--embd", "2048", "--layers", "16", "--ffn", "8192", "--quant", "q4_0", "--ctx", "8192")
    yield Case("1.1 B, q4_0", large, context=512, cache=64)
    yield Case("1.1 B, q4_0", large, context=512, slots=1, mapped=True, cache=64)

    for name in ("smollm2-135m", "gemma3-270m"):
        file = CACHE / f"models/{name}.gguf"
        if file.exists():
            yield Case(name, file, context=2048, cache=64)
            yield Case(name, file, context=1024, slots=4, kv="q8_0", mapped=True)

    embeds = generated("bert", "--arch", "bert", "--embd", "384", "--layers", "6", "--ffn", "1536")
    yield Case("bert", embeds, kind="embed", flags=("--embeddings", "-b", "512", "-ub", "512"))
    sees = generated("clip", "--arch", "clip", "--embd", "768", "--layers", "4", "--ffn", "1536")
    yield Case("54 MB, q4_0, with a projector", small, context=1024, kind="image", flags=("--mmproj", sees),
               more_files=(sees,), cache=0)
    drafts = generated("draft", "--embd", "256", "--layers", "2", "--ffn", "768", "--quant", "q8_0")
    yield Case("54 MB, q4_0, with a draft model", small, context=1024, flags=("-md", drafts, "--spec-type", "draft-simple"), more_files=(drafts,))


# ---- what the kernel says ----

def held_bytes(pid, files):
    """The engine's own memory, and its share of the pages of these files."""
    total, of_file = 0, False
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        first, _, rest = line.partition(" ")
        if not first.endswith(":"):
            of_file = rest.split(None, 4)[-1] in files
        elif first in (("Pss:",) if of_file else ("Private_Clean:", "Private_Dirty:", "Swap:")):
            total += int(rest.split()[0]) << 10
    return total


class Peak:
    """Finds the most that a process holds while this exists."""

    def __init__(self, pid, files):
        self.most = 0
        self.pid = pid
        self.files = {str(file.resolve()) for file in files}
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def look(self):
        self.most = max(self.most, held_bytes(self.pid, self.files))

    def run(self):
        while not self.ended.wait(SAMPLE_SECONDS):
            self.look()

    def __enter__(self):
        self.look()
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


# ---- what fills an engine ----

def fill_prompt_cache(case, engine, longest, memory):
    """Adds short conversations until the engine holds no more of them."""
    bytes_per_token = max(memory["host"]["context"] / (case.context * case.slots), 1)
    tokens = int(min(longest, max(8, case.cache * MIB / 40 / bytes_per_token)))
    number, held, before = 1000, 0, -1
    while held > before:
        for _ in range(12):
            # Goes into the slot that was not used for longest: its old conversation moves to the prompt cache.
            engine.complete(case.tokens(number, tokens), count=1)
            number += 1
        before, held = held, engine.measure()["conversations_bytes"] // (case.cache * MIB // 100)  # %


def fill_slots(case, engine, longest):
    for slot in range(case.slots):
        text = case.tokens(slot + 1, longest)
        # The first turn takes half of the context: checkpoints that are made later hold a whole attention window.
        for turn in range(1, TURNS + 1):
            engine.complete(text[:longest * (TURNS + turn - 1) // (2 * TURNS - 1)], count=1, slot=slot)


def embed(case, engine, longest):
    inputs = [case.tokens(number, longest) for number in range(2 * case.slots)]
    engine.post("/v1/embeddings", {"model": "e", "input": inputs})


def picture():
    """A picture of one colour."""
    side = 64
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + b"\x40\x80\xc0" * side for _ in range(side))
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)) \
        + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(data).decode()


def look(engine):
    content = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": picture()}}]
    engine.post("/v1/chat/completions", {"messages": [{"role": "user", "content": content}], "max_tokens": 8})


def run(case):
    """Returns (predicted, measured, by itself after the first request, by itself at the end), in bytes."""
    total = str(case.context * case.slots)
    done = subprocess.run([bare_engine.ENGINE, "inspect", case.file, "-c", total, *bare_engine.FLAGS, *case.arguments()],
                          capture_output=True, check=True)
    told = json.loads(done.stdout)
    memory = told["memory"]
    conversations = memory["prompt_cache_bytes"] + memory["checkpoints_bytes"]
    longest = min(case.context, told["trained_context"]) - 8
    sandbox = "off" if case.more_files else "required"  # the sandbox would have to know the other files
    with BareEngine(case.file, *case.arguments(), context=int(total), sandbox=sandbox) as engine, \
            Peak(engine.pid, (case.file, *case.more_files)) as peak:
        if case.kind == "embed":
            embed(case, engine, longest // 8)
            early = engine.measure(conversations)
            embed(case, engine, longest)
        else:
            engine.complete(case.tokens(0, longest // 8))
            early = engine.measure(conversations)
            if case.kind == "image":
                look(engine)
            if case.cache > 0:
                fill_prompt_cache(case, engine, longest, memory)
            fill_slots(case, engine, longest)
        peak.look()
        late = engine.measure(conversations)
    return memory["total_bytes"], peak.most, early["footprint_bytes"], late["footprint_bytes"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[""])
    options = parser.parse_args()
    chosen = [case for case in cases() if any(part in case.name for part in options.only)]
    errors, own_errors = [], []
    print(f"{'':64} {'file':>6} {'predicted':>10} {'measured':>9} {'error':>8}   measured by itself (MiB, %)")
    with tempfile.TemporaryDirectory(prefix="mv-prediction-", dir="/tmp") as folder:
        # A copy of the program: its pages are not mapped by other engines, which would not count.
        bare_engine.ENGINE = pathlib.Path(shutil.copy2(bare_engine.ENGINE, folder))
        for case in chosen:
            predicted, measured, early, late = run(case)
            errors.append(percent(predicted, measured))
            own_errors += [percent(early, measured), percent(late, measured)]
            size = sum(file.stat().st_size for file in (case.file, *case.more_files))
            print(f"{case.name:64} {size / MIB:6.0f} {predicted / MIB:10.1f} {measured / MIB:9.1f} {errors[-1]:+7.1f} %"
                  f"   {early / MIB:.1f} ({own_errors[-2]:+.1f}), {late / MIB:.1f} ({own_errors[-1]:+.1f})", flush=True)
    kept = keeps_promise(f"{len(errors)} configurations", errors)
    print_errors("measured by itself", own_errors)
    sys.exit(not kept)


if __name__ == "__main__":
    main()
