"""Tenants: nobody's request goes on from what another one has read.

Eight tenants ask one engine with three slots for answers to prompts that begin alike, or nearly alike, and go on with
their own earlier conversations. In between the engine saves, is parked and woken, is killed and started again. Of each
prompt the engine may have found only as much as the same tenant has sent or got before. The same requests without
tenants must break that rule, or they would prove nothing.

Then the same by what is said: a real model reads a codeword of each tenant twenty times and has to repeat it, among
requests that begin alike and have no codeword, or another one. No answer has a codeword of another tenant, nor one of
another conversation of the same tenant.

Environment: TENANT_REQUESTS (10000), TENANT_CODEWORDS (500), CAMPAIGN_SEED.
"""
import random
import tempfile

import common
from common import demo_model, expect, figure, generate

from bare_engine import BareEngine, Conversations, prompt

REQUESTS = common.number_from_environment("TENANT_REQUESTS", 10_000)
CODEWORDS = common.number_from_environment("TENANT_CODEWORDS", 500)
TENANTS = [f"{i:064x}" for i in range(1, 9)]
COMMON = prompt(1, 120)  # the beginning of everybody's prompts
FLAGS = ["-np", "3", "--cache-ram", "8"]
MOST_TEXTS = 60  # that a tenant goes on with


def same(a, b):
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


class Crowd:
    def __init__(self, model, folder, seed, with_tenants):
        self.model, self.kept, self.with_tenants = model, Conversations(folder), with_tenants
        self.chance = random.Random(seed)
        self.engine = None
        self.texts = {tenant: [] for tenant in TENANTS}  # what each has sent and got
        self.found, self.broken, self.restored = 0, [], 0

    def start(self):
        self.engine = BareEngine(self.model, *FLAGS, context=3 * 1024, conversations=self.kept)

    def close(self):
        if self.engine is not None:
            self.engine.close()
            self.engine = None

    def next_prompt(self, texts):
        if texts and self.chance.random() < 0.5:
            text = self.chance.choice(texts[-MOST_TEXTS:])
            text = text[:self.chance.randrange(20, len(text) + 1)] if self.chance.random() < 0.3 else text
        else:
            text = COMMON[:self.chance.randrange(20, len(COMMON) + 1)]
        text = text + [1000 + self.chance.randrange(4) for _ in range(self.chance.randrange(1, 40))]
        return text[:900]

    def request(self):
        tenant = self.chance.choice(TENANTS)
        texts = self.texts[tenant]
        text = self.next_prompt(texts)
        answer, _, read = self.engine.complete(text, count=4, tenant=tenant if self.with_tenants else None)
        found = len(text) - read
        allowed = max((same(text, own) for own in texts), default=0)
        if found > allowed:
            self.broken.append(f"of {len(text)} tokens of {tenant[-1]} {found} were found, {allowed} are its own")
        self.found += found
        self.restored += self.engine.restored
        texts.append(text + answer)

    def something_else(self):
        kind = self.chance.random()
        if kind < 0.06:
            self.engine.save()
        elif kind < 0.09:
            expect(self.engine.park()["parked"] and not self.engine.wake()["parked"], "not parked and woken")
        elif kind < 0.10:
            self.close()
            self.start()

    def run(self, requests):
        self.start()
        try:
            for _ in range(requests):
                self.request()
                self.something_else()
        finally:
            self.close()


class Secrets(Crowd):
    """Asks the demo Gemma, whose attention has windows, for codewords."""

    SYLLABLES = ["ba", "ke", "li", "mo", "nu", "ra", "se", "ti", "vo", "zu"]
    BEGINNING = "Below is a note that somebody has written for himself, again and again, so that he keeps it in mind. "
    QUESTION = "\nQuestion: which codeword is in the note?\nAnswer: the codeword is"

    def __init__(self, folder, seed):
        super().__init__(demo_model("gemma3-270m"), folder, seed, with_tenants=True)
        self.words = {tenant: [self.word() for _ in range(3)] for tenant in TENANTS}
        self.repeated, self.asked = 0, 0

    def word(self):
        return "".join(self.chance.choice(self.SYLLABLES) for _ in range(4))

    def request(self):
        tenant = self.chance.choice(TENANTS)
        word = self.chance.choice(self.words[tenant]) if self.chance.random() < 0.7 else None
        note = f"The codeword is {word}. " * 20 if word else "The codeword is a secret. " * self.chance.randrange(3)
        answer = self.engine.post("/completion", {"prompt": self.BEGINNING + note + self.QUESTION, "n_predict": 12,
                                                  "temperature": 0, "cache_prompt": True}, tenant)
        self.restored += self.engine.restored
        self.found += answer["timings"].get("cache_n", 0)
        said = answer["content"]
        self.asked += word is not None
        self.repeated += word is not None and word in said
        self.broken += [f"{said!r} has {other}" for words in self.words.values() for other in words
                        if other != word and other in said]


def codewords(seed):
    with tempfile.TemporaryDirectory(prefix="mv-kept-", dir="/tmp") as folder:
        secrets = Secrets(folder, seed)
        secrets.run(CODEWORDS)
    figure("codewords: requests, of these with one", f"{CODEWORDS}, {secrets.asked}")
    figure("codewords: repeated", secrets.repeated)
    figure("codewords: tokens found, of these restored", f"{secrets.found}, {secrets.restored}")
    figure("codewords: another's", len(secrets.broken))
    expect(not secrets.broken, "; ".join(secrets.broken[:5]))
    expect(secrets.repeated > 0.9 * secrets.asked, "the model does not repeat what it has read: that proves nothing")


def campaign():
    seed = common.seed_from_environment()
    model = generate("parking", ["--embd", "512", "--layers", "4", "--ffn", "1536", "--quant", "q4_0"])
    for with_tenants, requests in ((False, min(REQUESTS, 200)), (True, REQUESTS)):
        with tempfile.TemporaryDirectory(prefix="mv-kept-", dir="/tmp") as folder:
            crowd = Crowd(model, folder, seed, with_tenants)
            crowd.run(requests)
            who = "eight tenants" if with_tenants else "one tenant"
            figure(f"{who}: requests", requests)
            figure(f"{who}: tokens found, of these restored", f"{crowd.found}, {crowd.restored}")
            figure(f"{who}: requests that found another's", len(crowd.broken))
            expect(bool(crowd.broken) != with_tenants, "; ".join(crowd.broken[:5]) or "the requests prove nothing")
            expect(crowd.restored > 0, "nothing was restored")
    codewords(seed)


common.main(campaign)
