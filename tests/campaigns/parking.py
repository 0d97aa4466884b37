"""Parking and kept conversations: over all architectures, and parking many times on one engine.

What must hold: after a park and a wake an engine gives the same answers (tokens and log-probabilities) as an engine that
never was parked. This holds for every architecture that can generate, with repacked and with mapped weights, with a
quantized KV cache, with pages kept and with pages dropped. It also holds where the
engine is parked, ended in order or killed after each turn, in an order drawn by the model's name, and its conversations
come back from files. And after thousands of cycles on one engine there is no growth
of memory, descriptors or image.

With PARKING_DEVICE (Vulkan0) the models are on that device, by the engine's Vulkan variant; nothing is ended there, and
architectures that the device's backend cannot run are named. On a device in software it takes hours.

Environment: PARKING_ARCHITECTURES (all; or "dozen", or names), PARKING_CYCLES (10000; on a device 1000), PARKING_DEVICE,
MINERVA_DEVICE_ENV (tests/e2e/devices/run.sh).
"""
import functools
import http.client
import os
import random
import tempfile

import common
from common import expect, figure, generate, mib

import architectures
import bare_engine
from bare_engine import Conversations, Died, prompt, talk
from harness import BIN_DIR, wait_until

DEVICE = os.environ.get("PARKING_DEVICE")
CYCLES = common.number_from_environment("PARKING_CYCLES", 1000 if DEVICE else 10_000)
CHOSEN = os.environ.get("PARKING_ARCHITECTURES", "all")
TURNS = 2 if DEVICE else 4
TOKENS = 64  # of the first turn
BareEngine = bare_engine.BareEngine
ON_DEVICE = []
if DEVICE:
    ON_DEVICE = ["--device", DEVICE, "-ngl", "all"]
    BareEngine = functools.partial(bare_engine.BareEngine, program=BIN_DIR / "minerva-engine-vulkan",
                                   env=dict(item.split("=", 1) for item in os.environ["MINERVA_DEVICE_ENV"].split()))
# Longer than the rings of the models' windows, which have 512 cells at most. The models say that they know 256 tokens.
LONG = 700


class NotKept(Exception):
    """The engine says that it keeps no conversations of this model."""


def first(tokens):
    return lambda slot: prompt(slot, tokens, first=3, kinds=97)


def flags_for(file, flags, tokens):
    architecture = file.stem.rsplit("-", 1)[0]
    more = ["--override-kv", f"{architecture}.context_length=int:4096"] if tokens > TOKENS else []
    # As the daemon says it. By itself llama.cpp has four slots that share their cells, which keep no conversations.
    return ["-np", "2", *ON_DEVICE, *flags, *more]


def never_parked(file, flags, tokens, start=BareEngine):
    """The engine's answers; None if it cannot generate with these flags."""
    try:
        with start(file, *flags, image_folder=None, context=4096) as engine:
            return talk(engine, TURNS, first=first(tokens))
    except (AssertionError, KeyError, Died, http.client.HTTPException, OSError):
        return None


def parked_each_turn(file, flags, tokens, drop):
    """The engine's answers, and the bytes of its image."""
    image = 0
    with BareEngine(file, *flags, context=4096) as engine:
        def between(_turn):
            nonlocal image
            parked = engine.park(drop=drop)
            expect(parked["parked"], f"not parked: {parked}")
            image = parked["image_bytes"]
            expect(not engine.wake()["parked"], "not woken")
        return talk(engine, TURNS, between=between, first=first(tokens)), image


def ended_each_turn(file, flags, tokens):
    """The answers of engines that go on from each other's files, and the bytes of the files."""
    chance = random.Random(file.stem)
    with tempfile.TemporaryDirectory(prefix="mv-kept-", dir="/tmp") as folder:
        kept = Conversations(folder)
        said, text, engine = [], first(tokens)(0), None
        try:
            for turn in range(TURNS):
                if engine is None:
                    engine = BareEngine(file, *flags, context=4096, conversations=kept)
                said.append(engine.complete(text, slot=0))
                text = text + said[-1][0] + [5 + turn, 7]
                answer = engine.save_once()
                if "why_not" in answer:
                    raise NotKept(answer["why_not"])
                while answer["more"]:
                    answer = engine.save_once()
                if chance.randrange(3) == 0:
                    expect(engine.park()["parked"] and not engine.wake()["parked"], "not parked and woken")
                    continue
                if chance.randrange(2) == 0:
                    engine.control.shutdown(1)
                    engine.end()
                engine.close()
                engine = None
        finally:
            if engine is not None:
                engine.close()
        return said, kept.bytes()


# The name, the engine's flags, the tokens of the first turn, and what happens between turns.
VARIANTS = [
    ("repacked, pages kept", [], TOKENS, lambda *what: parked_each_turn(*what, drop=False)),
    ("mapped, pages dropped", ["--no-repack"], TOKENS, lambda *what: parked_each_turn(*what, drop=True)),
    ("quantized KV cache", ["-ctk", "q8_0", "-ctv", "q8_0"], TOKENS, lambda *what: parked_each_turn(*what, drop=False)),
    ("engines that end, repacked", [], LONG, ended_each_turn),
    ("engines that end, mapped", ["--no-repack"], TOKENS, ended_each_turn),
    ("engines that end, quantized KV cache", ["-ctk", "q8_0", "-ctv", "q8_0"], LONG, ended_each_turn),
]


VARIANTS_ON_DEVICE = [
    ("on the device, pages kept", [], TOKENS, lambda *what: parked_each_turn(*what, drop=False)),
    ("on the device, quantized KV cache, pages dropped", ["-ctk", "q8_0", "-ctv", "q8_0"], TOKENS,
     lambda *what: parked_each_turn(*what, drop=True)),
]


def over_architectures():
    names = {"all": None, "dozen": architectures.DOZEN}.get(CHOSEN, CHOSEN.split())
    files = architectures.models(names)
    expect(names is None or len(files) >= len(names), f"of {names} there are only {sorted(files)}")
    wrong = []
    for variant, variant_flags, tokens, run in VARIANTS_ON_DEVICE if DEVICE else VARIANTS:
        same, cannot, without_bytes, monotonous, not_kept, not_there = 0, [], 0, [], [], []
        for name, file in files.items():
            flags = flags_for(file, variant_flags, tokens)
            expected = never_parked(file, flags, tokens)
            if expected is None:
                on_host = [flag for flag in flags if flag not in ON_DEVICE]
                host_can = DEVICE and never_parked(file, on_host, tokens, bare_engine.BareEngine)
                (not_there if host_can else cannot).append(name)
                continue
            try:
                answers, stored = run(file, flags, tokens)
            except NotKept as why:
                not_kept.append(f"{name}: {why}")
                continue
            except (AssertionError, Died, http.client.HTTPException, OSError) as error:
                wrong.append(f"{name} ({variant}): {error!r:.500}")
                continue
            without_bytes += stored == 0
            if len({chance for _, chances, _ in expected for _, chance, _ in chances}) < TURNS:
                monotonous.append(name)
            if answers == expected:
                same += 1
            else:
                wrong.append(f"{name} ({variant}): another answer")
        if same == 0:
            wrong.append(f"{variant}: no model showed it")
        figure(f"{variant}: models that answer the same", f"{same} of {len(files) - len(cannot) - len(not_there)}")
        figure(f"{variant}: models whose conversations are not kept", f"{len(not_kept)} ({', '.join(not_kept)})")
        figure(f"{variant}: models of which nothing was stored", without_bytes)
        figure(f"{variant}: models that always say the same", f"{len(monotonous)} ({', '.join(monotonous)})")
        if DEVICE:
            figure(f"{variant}: models that only the host can run so", f"{len(not_there)} ({', '.join(not_there)})")
        figure(f"{variant}: models that cannot generate so", f"{len(cannot)} ({', '.join(cannot)})")
    expect(not wrong, "; ".join(wrong))


def over_and_over():
    model = generate("parking", ["--embd", "512", "--layers", "4", "--ffn", "1536", "--quant", "q4_0"])
    every = max(CYCLES // 100, 1)

    def run(engine, cycle):
        said = []
        for i in range(CYCLES):
            cycle(i)
            if i % every == 0:
                said.append(engine.complete(prompt(i % 3, 100 + i % 7 * 10)))
        return said

    with BareEngine(model, image_folder=None, context=2048) as engine:
        expected = run(engine, lambda i: None)
    with BareEngine(model, context=2048) as engine:
        seen = {}
        at_first = common.descriptors(engine.pid)

        def cycle(i):
            parked = engine.park(drop=i % 500 == 499)
            expect(parked["parked"], f"cycle {i}: {parked}")
            if i in (CYCLES // 5, CYCLES - 1):
                # The connection of the last request may still be open.
                wait_until(lambda: common.descriptors(engine.pid) <= at_first, f"descriptors are no more than {at_first}")
                seen[i] = (common.private_bytes(engine.pid), parked["image_bytes"])
            expect(not engine.wake()["parked"], f"cycle {i}: it does not wake")

        answers = run(engine, cycle)
        (memory, image), (last_memory, last_image) = seen[CYCLES // 5], seen[CYCLES - 1]
        figure("cycles", CYCLES)
        figure(f"private memory parked, after {CYCLES // 5} cycles and in the end", f"{mib(memory)}, {mib(last_memory)}")
        figure("descriptors", f"never more than {at_first} between requests")
        figure("image", f"{mib(image)}, {mib(last_image)}")
        expect(answers == expected, "another answer than of an engine that was never parked")
        expect(last_memory <= memory + (4 << 20), "memory grows")
        expect(last_image <= image + (1 << 20), "the image grows")


def campaign():
    over_and_over()
    over_architectures()


common.main(campaign)
