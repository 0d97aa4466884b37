"""Switches between models: a parked model beside a hot one, a cold one and llama.cpp's router, over HTTP, as clients see it.

The router runs twice: with its defaults, and with Minerva's own engine flags (`-fit off --no-warmup`, the same context,
slots and batches). Each subject has room for one model at a time. Every subject is measured once in each round.
"""
import json
import os
import shutil
import subprocess
import sys
import time

import page_cache
from subjects import BIN, DEMO, Failed, ROOT, engine_of, large_models

sys.path.insert(0, str(ROOT / "tests/e2e"))
from bare_engine import prompt  # noqa: E402

STOCK, TUNED = "router, defaults", "router, tuned"
CONVERSATIONS = (1500, 4000)  # tokens
CONVERSATION_ROUNDS = 3  # at most: in each round the router prefills for a minute or more
ANSWERED = 16                 # tokens of an answer
SAID = [2, 3, 5, 7, 11, 13, 17, 19]  # what a client says next, after token 1000
PREFILLED_AGAIN = 4  # the most tokens of a returning conversation that may be computed again, beside the new ones
PREFILLED = 128
REST = 0.1  # seconds without work, after which a processor is slower for a while
DECODED = 32
MIB = 1 << 20


class Pair:
    """Two models on all subjects. In each measurement the first model is the one that comes back."""

    def __init__(self, stage, name, files):
        self.first, self.other = files
        self.name = name
        self.files = files
        self.models_dir = stage.models_dir(name, files)
        self.minerva = stage.minerva(self.models_dir)
        self.minerva.first_token(self.first)
        engine = self.engine()
        self.flags = engine.flags()
        self.tuned = stage.router(self.models_dir, self.flags, engine.settings(), TUNED)
        self.stock = stage.router(self.models_dir, [], {}, STOCK)

    def routers(self):
        return self.stock, self.tuned

    def engine(self):
        return engine_of(self.minerva, self.first)

    def swap(self):
        self.first, self.other = self.other, self.first

    def file(self):
        return self.models_dir / f"{self.first}.gguf"

    def copy_of_file(self):
        """A copy of the file that nobody has mapped, so that its pages can be dropped from the page cache."""
        copy = self.models_dir.parent / f"copy-of-{self.first}"
        if not copy.exists():
            shutil.copyfile(self.file(), copy)
        return copy

    def image_folder(self):
        return self.engine().environment["MINERVA_IMAGE_FOLDER"]


def ask_hot(pair):
    """Asks, so that the model is hot, has answered the question before, and rests."""
    pair.minerva.first_token(pair.first)
    pair.minerva.first_token(pair.first, "hit")


# ---- the first token ----

def first_tokens(pair, figures, rounds):
    row, unit = f"first token of {pair.first}", "ms"
    minerva = pair.minerva

    def add(subject, seconds):
        figures.add(row, unit, subject, 1000 * seconds)
        return seconds

    for _ in range(rounds):
        # The routers unload the model: the page cache keeps pages that are mapped elsewhere.
        for router in pair.routers():
            router.first_token(pair.other)
        # The first park writes more than later ones.
        ask_hot(pair)
        minerva.park(pair.first)
        ask_hot(pair)

        hot = add("hot", minerva.first_token(pair.first, "hit"))
        figures.add(f"park of {pair.first}, a life-cycle call", unit, "parking", 1000 * minerva.park(pair.first))
        add("parked", minerva.first_token(pair.first, "parked"))
        minerva.first_token(pair.other)
        add("parked, switch", minerva.first_token(pair.first, "parked"))
        minerva.park(pair.first)
        drop_pages(pair, figures, add, hot)
        minerva.ask("DELETE", f"/v1/models/{pair.first}")
        add("cold", minerva.first_token(pair.first, "miss"))
        for router in pair.routers():
            add(router.name, router.first_token(pair.first))

    figures.compare(row, "parked", "hot", most=1.15)
    for subject in ("parked", "parked, switch"):
        figures.compare(row, subject, STOCK, "sooner", least=50)
        figures.compare(row, subject, TUNED, "sooner", least=20)
        figures.compare(row, subject, "cold", "sooner")
    figures.compare(row, "parked, pages dropped", "hot")
    figures.compare(row, "parked, pages dropped", STOCK, "sooner")
    figures.compare(row, "parked, pages dropped", TUNED, "sooner")
    figures.compare(row, "cold", TUNED)


def drop_pages(pair, figures, add, hot):
    """Requires: the model is parked. The model's file is in the page cache afterwards."""
    engine = pair.engine()
    file = pair.file()
    copy = pair.copy_of_file()  # reads the file
    try:
        left = page_cache.drop_model(engine.pid, file, pair.image_folder())
    except OSError as error:
        figures.note(f"not measured: {pair.first} parked with its pages dropped ({error})")
        return
    if left > 0.02 * os.stat(file).st_size:
        raise Failed(f"{left / MIB:.0f} MiB of {pair.first} stay in the page cache: somebody else uses them")
    # Before and after: the rate of a disk that others also use changes from second to second.
    rates = [page_cache.read_rate(copy)]
    before = engine.transferred()["read_bytes"]
    dropped = add("parked, pages dropped", pair.minerva.first_token(pair.first, "parked"))
    read = engine.transferred()["read_bytes"] - before
    rates.append(page_cache.read_rate(copy))
    row = f"pages of {pair.first} that were dropped"
    # The time beyond that of the computation, which a hot model needs too.
    figures.add(row, "MB/s", "come back at", read / (dropped - hot) / 1e6)
    figures.add(row, "MB/s", "such a file read in sequence", sum(rates) / len(rates) / 1e6)
    figures.compare(row, "come back at", "such a file read in sequence", least=0.85)
    figures.add(f"read for the first token of {pair.first} after that", "MiB", "from disk", read / MIB)
    page_cache.read_file(file)  # the next load finds the file in the page cache, as all other loads do


# ---- a conversation that comes back ----

class Conversation:
    """A text, its continuation by the model, and what the client says next; `length` tokens at first."""

    def __init__(self, pair, length):
        self.pair = pair
        self.length = length
        self.opening = prompt(length, length)
        self.begin()
        # Not the first answer: what is computed in one batch may differ in the last bit from what is found in the
        # cache, and with it the choice between two almost equally likely tokens.
        self.answer = self.begin()
        self.next = self.opening + self.answer + [1000 + said for said in SAID]
        # The answer if nothing comes between.
        self.begin()
        self.pair.minerva.complete(self.pair.first, self.next, 1, "hit")
        self.reference = self.go_on("hit")

    def begin(self):
        """Makes the model hold the conversation up to its first answer, and nothing beyond."""
        return self.pair.minerva.complete(self.pair.first, self.opening, ANSWERED).json["tokens"]

    def rewind(self):
        if self.begin() != self.answer:
            raise Failed(f"{self.pair.first} answers something else the second time")

    def go_on(self, found):
        """The model's answer to what the client says next."""
        return self.pair.minerva.complete(self.pair.first, self.next, ANSWERED, found).json["tokens"]

    def asked_again(self, found):
        """Seconds to the first token of an answer that the model gave before: the client says nothing new."""
        answer = self.pair.minerva.complete(self.pair.first, self.opening, 1, found)
        if answer.timings["prompt_n"] > PREFILLED_AGAIN:
            raise Failed(f"{self.pair.first} computes {answer.timings['prompt_n']} tokens that it had")
        return answer.seconds

    def first_token(self, found):
        """Returns seconds; checks that only the new tokens are computed."""
        answer = self.pair.minerva.complete(self.pair.first, self.next, 1, found)
        computed = answer.timings["prompt_n"]
        if computed > len(SAID) + PREFILLED_AGAIN:
            raise Failed(f"{self.pair.first} computes {computed} tokens of a conversation that it had: "
                         f"it was not restored")
        if self.go_on("hit") != self.reference:
            raise Failed(f"{self.pair.first} goes on with something else after it was parked")
        return answer.seconds, computed


def conversations(pair, figures, rounds):
    for length in CONVERSATIONS:
        row, unit = f"conversation of {length} tokens with {pair.first}", "ms"
        conversation = Conversation(pair, length)
        for _ in range(min(rounds, CONVERSATION_ROUNDS)):
            conversation.rewind()
            figures.add(row, unit, "goes on", 1000 * conversation.first_token("hit")[0])
            conversation.rewind()
            pair.minerva.first_token(pair.other)
            seconds, computed = conversation.first_token("parked")
            figures.add(row, unit, "comes back", 1000 * seconds)
            figures.add(f"computed when {length} tokens with {pair.first} come back", "tokens", "minerva", computed)
            conversation.rewind()
            pair.minerva.first_token(pair.other)
            figures.add(row, unit, "comes back, nothing new", 1000 * conversation.asked_again("parked"))
            for router in pair.routers():
                # The process of the first model ends, so nothing of its conversation can be left.
                router.first_token(pair.other)
                answer = router.complete(pair.first, conversation.next, 1)
                figures.add(row, unit, router.name, 1000 * answer.seconds)
                figures.add(f"computed when {length} tokens with {pair.first} come back", "tokens", router.name,
                            answer.timings["prompt_n"])
        figures.compare(row, "comes back", "goes on")
        aim = {"least": 200} if length == max(CONVERSATIONS) and pair.name == "large" else {}
        for router in pair.routers():
            figures.compare(row, "comes back", router.name, "sooner", **aim)
            figures.compare(row, "comes back, nothing new", router.name, "sooner")
    figures.note(f"{pair.first}: each conversation that came back said the same as without the interruption")


# ---- speed, writing, memory ----

def speeds(pair, figures, rounds):
    """The speed of the very request that wakes a model, by the engine's own clock, beside one just before the park. An
        engine that was not parked between the two requests shows how far the figures can be trusted."""
    text = prompt(1, PREFILLED)
    minerva, model = pair.minerva, pair.first

    def decode(found=None):
        timings = minerva.complete(model, text, DECODED, found).timings
        # The whole text is in the cache, so only its last token is computed anew: that is the first step of decoding.
        return 1000 * timings["predicted_n"] / (timings["prompt_ms"] + timings["predicted_ms"])

    def prefill(found=None):
        timings = minerva.complete(model, text, 1, found, cache_prompt=False).timings
        return 1000 * timings["prompt_n"] / timings["prompt_ms"]

    rows = {f"decoding {DECODED} tokens, {model}": decode, f"prefilling {PREFILLED} tokens, {model}": prefill}
    ask_hot(pair)
    for measure in rows.values():
        measure()
        minerva.park(model)
        measure()
    for _ in range(rounds):
        for row, measure in rows.items():
            measure()
            for subject in ("hot, the time before", "hot", "waking"):
                if subject == "waking":
                    minerva.park(model)
                time.sleep(REST)
                figures.add(row, "tokens/s", subject, measure("parked" if subject == "waking" else "hit"))
    for row in rows:
        figures.compare(row, "hot", "hot, the time before")
        figures.compare(row, "waking", "hot", least=0.98)


def writing(pair, figures, rounds):
    """The bytes that a park writes after a short turn, against the KV cache that the turn filled: with 4 KiB per token and
        layer these are whole pages."""
    model = pair.first
    done = subprocess.run([BIN / "minerva-engine", "inspect", pair.file(), "-c", "8192"], check=True, capture_output=True)
    token_bytes = json.loads(done.stdout)["memory"]["host"]["context"] // 8192
    text = prompt(2, 300)
    pair.minerva.complete(model, text, 1)
    pair.minerva.park(model)
    row = f"one park of {model} after a turn"
    for _ in range(rounds):
        answer = pair.minerva.complete(model, text, 4, "parked")
        text = text + answer.json["tokens"] + [1007]
        # The last token of the answer is computed with the next turn.
        computed = answer.timings["prompt_n"] + answer.timings["predicted_n"] - 1
        engine = pair.engine()
        before = engine.transferred()["wchar"]
        pair.minerva.park(model)
        figures.add(row, "KiB", "written", (engine.transferred()["wchar"] - before) / 1024)
        figures.add(row, "KiB", "KV cache of its tokens", computed * token_bytes / 1024)
    figures.compare(row, "written", "KV cache of its tokens", most=1.2)


def residue(pair, figures):
    """Eight conversations: two in slots, the others in the host prompt cache as far as --cache-ram allows."""
    for number in range(8):
        pair.minerva.complete(pair.first, prompt(40 + number, 400), 2)
    row = f"memory of {pair.first}, with conversations"
    engine = pair.engine()
    figures.add(row, "MiB", "hot", engine.memory()["Pss"] / MIB)
    pair.minerva.park(pair.first)
    parked = engine.memory()
    figures.add(row, "MiB", "parked: private, the kernel's to keep", parked["Pss_Anon"] / MIB)
    figures.add(row, "MiB", "parked: with pages it may drop", parked["Pss"] / MIB)
    figures.compare(row, "parked: private, the kernel's to keep", "hot", most=0.07)


def measure(stage, figures, flags, rounds):
    """`flags`: model -> the flags of its engine; adds to it."""
    for name, files, both in (("large", large_models(2), False), ("demo", DEMO, True)):
        pair = Pair(stage, name, files)
        flags[pair.first] = pair.flags
        first_tokens(pair, figures, rounds)
        conversations(pair, figures, rounds)
        speeds(pair, figures, rounds)
        if name == "large":
            writing(pair, figures, rounds)
            residue(pair, figures)
        if both:
            pair.swap()
            first_tokens(pair, figures, rounds)
        stage.stop_all()
