"""Soak: many clients and four models, of which two fit in memory and the others are parked. Some clients walk away, and
engines are killed all the time.

What must hold: a complete answer is the right one (that of an undisturbed engine). An incomplete answer is an honest error,
and a killed engine explains it. Every request ends in one of these ways. When the crowd has left, nothing of it is left: no
lease, no descriptor, no engine. What the kernel counts for the engines stays within the budget at all times, and what it
counts for the daemon itself stays within a bound of its own.

Environment: SOAK_SECONDS (300), SOAK_CLIENTS (40), CAMPAIGN_SEED, SOAK_INSTRUMENTED (the daemon runs under a
sanitizer).
"""
import http.client
import json
import os
import random
import signal
import threading
import time
from collections import Counter

import common
from common import CHAT_MODELS, expect, figure, mib
from harness import chat_body, proc_cmdline, wait_until

SECONDS = common.number_from_environment("SOAK_SECONDS", 300.0)
CLIENTS = common.number_from_environment("SOAK_CLIENTS", 40)
PROMPTS = ["Hello", "the cat sat on the mat", "one two three four", "why is the sky blue? " * 12]
MAX_TOKENS = 12
# Its private memory: the pages of its program are page cache.
DAEMON_BYTES = 8 << 20
# A sanitizer makes the daemon several times as large: then the bound is not checked.
INSTRUMENTED = "SOAK_INSTRUMENTED" in os.environ
# One conversation at a time, and none goes on from the cache of the last one. What is computed together in a batch may
# differ in the last bit, and with it the greedy choice between two almost equally likely words.
EACH_ANEW = {"max_tokens": MAX_TOKENS, "cache_prompt": False}
# No prompt cache: for such small models it would be most of the predicted footprint, and hardly any of it would be
# used.
CONFIG = "".join(f'[model."{name}"]\npath = "{name}.gguf"\nparallel = 1\ncontext = 1024\nargs = ["--cache-ram", "0"]\n'
                 for name in CHAT_MODELS)
# The whole budget that is left beside the hot models.
CONFIG += '[park]\nmemory = "100%"\n'
# How long after its death an engine may explain an error: until the death is known, and while its model is in
# quarantine.
UNNOTICED_S = 5
HELD_BACK_S = 75
LEFT, RIGHT, FAILED = "client left", "right answer", "honest error"


def text_of(answer):
    return answer["choices"][0]["message"]["content"]


def model_of(pid):
    """The memory of the engine; None if it is gone."""
    argv = proc_cmdline(pid)
    return argv[argv.index("--alias") + 1] if "--alias" in argv else None


class Kills:
    """Records which engines were killed when, so that each error can be traced to a kill."""

    def __init__(self):
        self.lock = threading.Lock()
        self.times = {name: [] for name in CHAT_MODELS}

    def kill(self, pid):
        model = model_of(pid)
        if model is None:
            return
        with self.lock:
            # Recorded first, since a client may see the effect before the call returns.
            self.times[model].append(time.monotonic())
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it was evicted just now

    def explain(self, model, error, began, ended):
        lasting = HELD_BACK_S if "model_quarantined" in error else UNNOTICED_S
        with self.lock:
            return any(began - lasting <= at <= ended for at in self.times[model])

    def count(self):
        return sum(map(len, self.times.values()))


class Client(threading.Thread):
    """Plays one user after another: asks, compares, and sometimes goes away in the middle."""

    def __init__(self, minerva, kills, reference, random_source, stop):
        super().__init__(daemon=True)
        self.minerva, self.kills, self.reference, self.random, self.stop = minerva, kills, reference, random_source, stop
        self.begun = 0
        self.ends = Counter()
        self.errors = Counter()
        self.broken = None

    def run(self):
        try:
            while not self.stop.is_set():
                self.begun += 1
                self.ends[self.one_request()] += 1
        except BaseException as error:  # the campaign reports it
            self.broken = error
            self.stop.set()

    def one_request(self):
        model, prompt = self.random.choice(CHAT_MODELS), self.random.choice(PROMPTS)
        streamed, leaves = self.random.random() < 0.5, self.random.random() < 0.2
        began = time.monotonic()
        body = chat_body(model, prompt, stream=streamed, **EACH_ANEW)
        connection = self.minerva.connect()
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
            if leaves and not streamed:
                self.stop.wait(self.random.uniform(0, 0.3))  # somewhere between the arrival and the answer
                return LEFT
            response = connection.getresponse()
            text, error = self.read_stream(response, leaves) if streamed else self.read_whole(response)
        except (http.client.HTTPException, ConnectionError) as cut:
            text, error = None, f"cut off ({type(cut).__name__})"
        finally:
            connection.close()
        if error is None and text is None:
            return LEFT
        if error is None:
            expect(text == self.reference[model, prompt],
                   f"a wrong answer of {model} to {prompt[:30]!r}: {text!r}, not {self.reference[model, prompt]!r}")
            return RIGHT
        expect(self.kills.explain(model, error, began, time.monotonic()),
               f"{model} failed though none of its engines was killed: {error}")
        self.errors[error] += 1
        return FAILED

    @staticmethod
    def refusal(status, body):
        """Returns the error in words, after a check that a killed engine can cause it."""
        error = json.loads(body)["error"]
        allowed = (status, error["code"]) in ((502, "engine_crashed"), (503, "model_quarantined"))
        expect(allowed and error["message"], f"an unexpected answer: {status} {body!r}")
        return f"{status} {error['code']}"

    def read_whole(self, response):
        body = response.read()
        if response.status != 200:
            return None, self.refusal(response.status, body)
        return text_of(json.loads(body)), None

    def read_stream(self, response, leaves):
        if response.status != 200:
            return None, self.refusal(response.status, response.read())
        words, budget = [], self.random.randrange(MAX_TOKENS) if leaves else None
        done = False
        for line in response:
            if not line.startswith(b"data: "):
                continue
            event = line[len(b"data: "):].strip()
            if event == b"[DONE]":
                done = True
                continue
            chunk = json.loads(event)
            if "error" in chunk:
                expect(chunk["error"]["code"] in ("engine_crashed", "model_quarantined"), f"in a stream: {chunk}")
                return None, f"event {chunk['error']['code']}"
            words.append(chunk["choices"][0]["delta"].get("content") or "" if chunk["choices"] else "")
            if budget is not None and len(words) > budget:
                return None, None
        expect(done, "a stream ended as if complete, without [DONE]")
        return "".join(words), None


class Watch(threading.Thread):
    """Samples what the kernel says about the daemon and its engines. Of a parked engine only its own memory counts: its
        mapped weights are page cache then, which the kernel takes back as it likes."""

    def __init__(self, minerva, stop):
        super().__init__(daemon=True)
        self.minerva, self.stop = minerva, stop
        self.pid = minerva.process.pid
        self.descriptors, self.private, self.daemon, self.total = [], [], [], []

    def run(self):
        while not self.stop.wait(0.25):
            self.descriptors.append(common.descriptors(self.pid))
            self.private.append(common.private_bytes(self.pid))
            parked = [model["id"] for model in self.minerva.stats()["models"] if model["state"] == "parked"]
            self.daemon.append(common.pss_bytes(self.pid))
            total = 0
            for pid in self.minerva.engines():
                total += common.pss_bytes(pid, anonymous=model_of(pid) in parked)
            self.total.append(total)

    @staticmethod
    def quarters(samples):
        """The medians of the first and the last quarter."""
        count = max(1, len(samples) // 4)
        return common.quantile(samples[:count], 0.5), common.quantile(samples[-count:], 0.5)


def undisturbed(minerva):
    """The answer of each model to each prompt, and the budget (MiB): the predicted footprints of the two largest models, and
        what the two others keep when they are parked."""
    answers, sizes, residues = {}, [], []
    for model in CHAT_MODELS:
        sizes.append(minerva.load(model).json["estimated_memory_mb"])
        for prompt in PROMPTS:
            for _ in range(2):
                answer = minerva.chat(model, prompt, **EACH_ANEW)
                expect(answer.status == 200, f"no reference answer: {answer}")
                text = text_of(answer.json)
                expect(answers.setdefault((model, prompt), text) == text, f"{model} is not deterministic")
        residues.append(park(minerva, model))
    # Each of these figures is rounded.
    return answers, sum(sorted(sizes)[-2:]) + sum(sorted(residues)[-2:]) + len(CHAT_MODELS)


def park(minerva, model):
    """What a parked model keeps, in MiB."""
    parked = minerva.load(model, verb="park")
    expect(parked.status == 200 and parked.json["message"] == "parked", f"{model} is not parked: {parked}")
    return parked.json["estimated_memory_mb"]


def total(minerva, counter):
    """Summed over all models."""
    lines = minerva.get("/metrics").body.decode().splitlines()
    return sum(int(float(line.rsplit(" ", 1)[1])) for line in lines if line.startswith(counter + "{"))


def unload_all(minerva):
    for model in CHAT_MODELS:
        minerva.delete(f"/v1/models/{model}")
    wait_until(lambda: minerva.engines() == [], "every engine is gone")


def soak(minerva, reference, seed):
    stop = threading.Event()
    kills = Kills()
    source = random.Random(seed)
    clients = [Client(minerva, kills, reference, random.Random(source.random()), stop) for _ in range(CLIENTS)]
    watch = Watch(minerva, stop)
    for thread in [watch, *clients]:
        thread.start()
    end = time.monotonic() + SECONDS
    while not stop.wait(min(source.uniform(1.5, 5), max(0, end - time.monotonic()))) and time.monotonic() < end:
        if engines := minerva.engines():
            kills.kill(source.choice(engines))
    stop.set()
    for client in clients:
        client.join(common.harness.PATIENCE)
        expect(not client.is_alive(), "a request was never answered")
    watch.join()
    for client in clients:
        if client.broken is not None:
            raise client.broken
    return clients, kills, watch


def campaign():
    seed = common.seed_from_environment()
    models = common.tiny_models()
    # The budget is exactly what is needed, so that the kernel's figure has little room.
    with common.daemon(models, config=CONFIG) as minerva:
        reference, budget_mib = undisturbed(minerva)
    with common.daemon(models, "--max-models", 2, "--memory-budget", f"{budget_mib}MiB", "--log-level", "info",
                       config=CONFIG, env={"MINERVA_QUEUE_MIN_RESIDENCY": "200ms"}) as minerva:
        for model in CHAT_MODELS:  # the daemon does everything once before it is measured
            expect(minerva.chat(model).status == 200, "no answer before anything was killed")
            minerva.settle()
            park(minerva, model)
        unload_all(minerva)
        pid = minerva.process.pid
        # A thread of its own opens the trace of accesses, some time after the first request.
        wait_until(lambda: any(name.endswith("access.csv") for name in common.open_files(pid)), "the trace is open")
        idle = common.open_files(pid)
        clients, kills, watch = soak(minerva, reference, seed)

        ends = sum((client.ends for client in clients), Counter())
        errors = sum((client.errors for client in clients), Counter())
        begun = sum(client.begun for client in clients)
        figure("requests", f"{begun} = {dict(ends)}")
        figure("errors", dict(errors))
        figure("engines killed", kills.count())
        parks, wakes = (total(minerva, f"minerva_{what}_total") for what in ("parks", "wakes"))
        figure("parks, wakes", f"{parks}, {wakes}")
        expect(begun == sum(ends.values()), "a request ended in no way, or in two")
        expect(ends[RIGHT] >= len(CHAT_MODELS) and kills.count() > 0 and parks > 0 and wakes > 0,
               "too little happened to prove anything")

        unload_all(minerva)
        wait_until(lambda: all(m["leases"] == 0 and m["waiting"] == 0 for m in minerva.stats()["models"]),
                   "no lease and no waiter is left")
        wait_until(lambda: not common.open_files(pid) - idle, "every descriptor of the crowd is closed")
        (fd_first, fd_last), (memory_first, memory_last) = map(watch.quarters, (watch.descriptors, watch.private))
        figure("daemon's descriptors", f"idle {len(idle)}, first quarter {fd_first}, last quarter {fd_last}")
        figure("daemon's private memory", f"first quarter {mib(memory_first)}, last quarter {mib(memory_last)}")
        expect(fd_last <= fd_first + CLIENTS, "descriptors grow")
        expect(memory_last <= memory_first * 1.25 + (4 << 20), "the daemon's memory grows")
        peak = max(watch.total)
        figure("memory of the daemon", f"peak {mib(max(watch.private))} of its own, {mib(max(watch.daemon))} with its program")
        expect(INSTRUMENTED or max(watch.private) <= DAEMON_BYTES, f"the daemon takes more than {mib(DAEMON_BYTES)}")
        figure("memory of the engines", f"peak {mib(peak)} of a budget of {budget_mib} MiB")
        expect(peak <= budget_mib << 20, "the kernel counts more than the budget")


if __name__ == "__main__":
    common.main(campaign)
