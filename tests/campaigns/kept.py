"""Kept conversations: an engine or its daemon is killed at a random moment while it saves.

A conversation grows by one turn, its model is told to leave (which saves what is new), and something gets SIGKILL at a
random moment of that. The next turn must be answered as by an engine that has read all of it itself, and it must go on
from at least as many tokens as the turn before did: what was kept once is never lost. The files never take more than
their budget, which is small, and neither the daemon's descriptors nor its memory grow.

Then a bit of each byte of a small file is changed: the engine refuses the file, and reads the prompt again.

Environment: KEPT_KILLS (1000), or KEPT_SECONDS instead; KEPT_FLIPS (0: each byte), CAMPAIGN_SEED.
"""
import os
import random
import signal
import tempfile
import time
from collections import Counter

import common
from common import expect, figure, generate

from bare_engine import BareEngine, Conversations, prompt
from harness import in_background, wait_until

KILLS = common.number_from_environment("KEPT_KILLS", 1000)
SECONDS = common.number_from_environment("KEPT_SECONDS", 0.0)
FLIPS = common.number_from_environment("KEPT_FLIPS", 0)
BUDGET_MIB = 64  # some conversations of the longest kind
CONTEXT = 4096
LONGEST = 1500  # tokens of a conversation
LONGEST_MOMENT_S = 0.08
ANSWER = 8  # tokens
# Tokens that are read again in other batches leave a state whose last bits differ, which moves a chance by some
# hundredths. Rows of another conversation move it by more than this. (That nothing moves at all where nothing is read
# again is for the campaign of parking.)
MOST_DIFFERENCE = 0.2
CHANCES = {"n_probs": 20}
# As BareEngine has it, so that both engines read in the same batches.
ARGS = '["-t", "1", "-b", "256", "-ub", "256", "--ctx-checkpoints", "4"]'
CONFIG = f"[conversations]\ndisk = \"{BUDGET_MIB}MiB\"\n[model.m]\nparallel = 1\ncontext = {CONTEXT}\nargs = {ARGS}\n"


def difference(a, b):
    """Of the chances of the first new token, in two answers: the largest one of those that are likely in either."""
    a, b = (dict(answer[0][2]) for answer in (a, b))

    def off(token, chance, others):
        # One that is not listed is less likely than all that are.
        return abs(chance - others[token]) if token in others else max(0, chance - min(others.values()))

    return max(off(token, one[token], other) for one, other in ((a, b), (b, a)) for token in list(one)[:3])


class Conversation:
    def __init__(self, minerva, reference, source):
        self.minerva, self.reference, self.source = minerva, reference, source
        self.restored, self.largest = 0, 0.0
        self.begin()

    def begin(self):
        self.number = self.source.randrange(1 << 20)
        self.text = prompt(self.number, self.source.randrange(60, 200))
        self.floor = 0

    def turn(self):
        body = BareEngine.completion(self.text, ANSWER, -1) | CHANCES | {"model": "m"}
        answer = self.minerva.post("/completion", body)
        expect(answer.status == 200, f"no answer: {answer}")
        restored = int(answer.headers.get("x-minerva-restored", 0))
        expect(restored >= self.floor, f"{self.floor} tokens were kept, and only {restored} were restored")
        chances = [(p["id"], p["logprob"], [(t["id"], t["logprob"]) for t in p["top_logprobs"]])
                   for p in answer.json["completion_probabilities"]]
        off = difference(chances, self.reference.complete(self.text, count=1, **CHANCES)[1])
        expect(off < MOST_DIFFERENCE, f"after {restored} restored tokens of {len(self.text)} the answer is another one: {off}")
        self.floor, self.restored, self.largest = restored, self.restored + restored, max(self.largest, off)
        self.text = self.text + answer.json["tokens"] + prompt(self.source.randrange(1 << 20), self.source.randrange(1, 60))
        if len(self.text) > LONGEST:
            self.begin()


def leave(minerva, how):
    return minerva.delete("/v1/models/m") if how == "unload" else minerva.load("m", verb="park")


def attempt(call, *args):
    try:
        return call(*args)
    except OSError:
        return None  # its daemon was killed


def kill(minerva, source):
    """Something is killed while the model leaves. Returns what, and how the model was to leave."""
    how, whom = source.choice(("unload", "park")), source.choice(("engine", "daemon"))
    engines = minerva.engines("m")
    call = in_background(attempt, leave, minerva, how)
    time.sleep(source.uniform(0, LONGEST_MOMENT_S))  # the moment of the kill, and no wait for anything
    if whom == "daemon":
        minerva.kill()
    for engine in engines:
        try:
            os.kill(engine, signal.SIGKILL)
        except ProcessLookupError:
            pass
    call.result()
    wait_until(lambda: not set(engines) & set(minerva.engines()), "the engine is gone")
    if whom == "daemon":
        minerva.process.stdout.close()
        minerva.start()
    return f"{whom}, {how}"


def on_disk(minerva):
    return [path for path in (minerva.folder / "state/conversations").rglob("*") if path.is_file()]


def bytes_on_disk(minerva):
    total = 0
    for path in on_disk(minerva):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            pass  # it was evicted just now
    return total


class Watch:
    """What the daemon takes after each turn."""

    def __init__(self):
        self.descriptors, self.private, self.largest = [], [], 0

    def look(self, minerva):
        self.largest = max(self.largest, bytes_on_disk(minerva))
        wait_until(lambda: bytes_on_disk(minerva) <= BUDGET_MIB << 20, "the files are within their budget")
        self.descriptors.append(common.descriptors(minerva.process.pid))
        self.private.append(common.private_bytes(minerva.process.pid))

    def judge(self):
        quarter = max(1, len(self.private) // 4)
        (fd_first, fd_last), (first, last) = (
            (common.quantile(samples[:quarter], 0.5), common.quantile(samples[-quarter:], 0.5))
            for samples in (self.descriptors, self.private))
        figure("the most on disk", f"{common.mib(self.largest)} of {BUDGET_MIB} MiB, before it was evicted")
        figure("daemon's descriptors", f"first quarter {fd_first}, last quarter {fd_last}")
        figure("daemon's private memory", f"first quarter {common.mib(first)}, last quarter {common.mib(last)}")
        expect(fd_last <= fd_first + 4, "descriptors grow")
        expect(last <= first * 1.25 + (4 << 20), "the daemon's memory grows")


def kills(source):
    model = generate("parking", ["--embd", "512", "--layers", "4", "--ffn", "1536", "--quant", "q4_0"])
    ends, watch = Counter(), Watch()
    end = time.monotonic() + SECONDS
    with BareEngine(model, "-np", "1", context=CONTEXT) as reference:
        text = prompt(1, 600)
        same = reference.complete(text, count=1, **CHANCES)[1]
        other = reference.complete(prompt(2, 300) + text[300:], count=1, **CHANCES)[1]
        expect(difference(same, other) > MOST_DIFFERENCE, "another conversation's rows change nothing")
        with common.daemon({"m": model}, "--log-level", "info", config=CONFIG) as minerva:
            conversation = Conversation(minerva, reference, source)
            while time.monotonic() < end if SECONDS else ends.total() < KILLS:
                conversation.turn()
                watch.look(minerva)
                ends[kill(minerva, source)] += 1
            conversation.turn()
            kept = minerva.get("/v1/conversations").json
            files = on_disk(minerva)
            expect([path for path in files if path.name.startswith(".")] == [], "a temporary file is left")
            wait_until(lambda: minerva.get("/v1/conversations").json["bytes"] == bytes_on_disk(minerva),
                       "what is counted is what is there")
    for end, count in sorted(ends.items()):
        figure(f"kills of the {end}", count)
    figure("tokens restored", conversation.restored)
    figure("the largest difference of a chance", f"{conversation.largest:.4f}")
    figure("kept at the end", f"{common.mib(kept['bytes'])} in {kept['segments']} segments")
    watch.judge()
    expect(conversation.restored > 20 * ends.total(), "hardly anything was restored")


def flips(source):
    """A model with few numbers for a token, so that the file is small."""
    model = generate("flips", ["--embd", "64", "--layers", "1", "--ffn", "8192"])
    text, others = prompt(1, 64), prompt(2, 64)
    with tempfile.TemporaryDirectory(prefix="mv-kept-", dir="/tmp") as folder:
        kept = Conversations(folder)
        with BareEngine(model, "-np", "1", "--cache-ram", "0", conversations=kept) as engine:
            expected = engine.complete(text)
            engine.save()
            file = kept.files()[0]
            good = file.read_bytes()
            places = range(len(good))
            if FLIPS:
                places = sorted(source.sample(places, FLIPS))
            for place in places:
                engine.complete(others, count=1)
                bad = bytearray(good)
                bad[place] ^= 1 << source.randrange(8)
                file.write_bytes(bad)
                expect(engine.complete(text) == expected and engine.restored == 0, f"byte {place} was not seen")
                engine.measure()
                told = [line["unusable"]["name"] for line in engine.told if "unusable" in line]
                expect(told == [file.name], f"byte {place}: {engine.told}")
                engine.told.clear()
                file.write_bytes(good)
                engine.save()  # the same file again
            engine.complete(others, count=1)
            engine.complete(text)
            expect(engine.restored > 0, "a good file is not restored: that proves nothing")
            expect(kept.files() == [file], "there are other files")
    figure("bytes of a file that were changed, and seen", f"{len(places)} of {len(good)}")


def campaign():
    source = random.Random(common.seed_from_environment())
    kills(source)
    flips(source)


common.main(campaign)
