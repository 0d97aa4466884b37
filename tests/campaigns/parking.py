"""Parking: over all architectures, and many times on one engine.

What must hold: after a park and a wake an engine gives the same answers (tokens and log-probabilities) as an engine that
never was parked. This holds for every architecture that can generate, with repacked and with mapped weights, with a
quantized KV cache, with pages kept and with pages dropped. And after thousands of cycles on one engine there is no growth
of memory, descriptors or image.

Environment: PARKING_ARCHITECTURES (all; or "dozen", or names), PARKING_CYCLES (10000).
"""
import http.client
import os

import common
from common import expect, figure, generate, mib

import architectures
from bare_engine import BareEngine, Died, prompt, talk
from harness import wait_until

CYCLES = common.number_from_environment("PARKING_CYCLES", 10_000)
CHOSEN = os.environ.get("PARKING_ARCHITECTURES", "all")
TURNS = 4
# The name, the engine's flags, and how it is parked and woken.
VARIANTS = [
    ("repacked, pages kept", [], False),
    ("mapped, pages dropped", ["--no-repack"], True),
    ("quantized KV cache", ["-ctk", "q8_0", "-ctv", "q8_0"], False),
]


def conversation(engine, between=lambda turn: None):
    return talk(engine, TURNS, between=between, first=lambda slot: prompt(slot, 64, first=3, kinds=97))


def never_parked(file, flags):
    """The engine's answers; None if it cannot generate with these flags."""
    try:
        with BareEngine(file, *flags, image_folder=None, context=4096) as engine:
            return conversation(engine)
    except (AssertionError, KeyError, Died, http.client.HTTPException, OSError):
        return None


def parked_each_turn(file, flags, drop):
    """The engine's answers, and the bytes of its image."""
    image = 0
    with BareEngine(file, *flags, context=4096) as engine:
        def between(_turn):
            nonlocal image
            parked = engine.park(drop=drop)
            expect(parked["parked"], f"not parked: {parked}")
            image = parked["image_bytes"]
            expect(not engine.wake()["parked"], "not woken")
        return conversation(engine, between), image


def over_architectures():
    names = {"all": None, "dozen": architectures.DOZEN}.get(CHOSEN, CHOSEN.split())
    files = architectures.models(names)
    expect(names is None or len(files) >= len(names), f"of {names} there are only {sorted(files)}")
    wrong = []
    for variant, flags, drop in VARIANTS:
        same, cannot, without_image, monotonous = 0, [], 0, []
        for name, file in files.items():
            expected = never_parked(file, flags)
            if expected is None:
                cannot.append(name)
                continue
            try:
                answers, image = parked_each_turn(file, flags, drop)
            except (AssertionError, Died, http.client.HTTPException, OSError) as error:
                wrong.append(f"{name} ({variant}): {error!r:.500}")
                continue
            without_image += image == 0
            if len({chance for _, chances, _ in expected for _, chance, _ in chances}) < TURNS:
                monotonous.append(name)
            if answers == expected:
                same += 1
            else:
                wrong.append(f"{name} ({variant}): another answer")
        figure(f"{variant}: models that answer the same", f"{same} of {len(files) - len(cannot)}")
        figure(f"{variant}: models without anything in their image", without_image)
        figure(f"{variant}: models that always say the same", f"{len(monotonous)} ({', '.join(monotonous)})")
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
