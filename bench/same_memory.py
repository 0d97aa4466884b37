#!/usr/bin/env python3
"""Minerva and llama.cpp's router with the same memory: a cgroup of 1.5 times one model, and two or three models in use.

"One model" is what the kernel counts for llama.cpp's server with one model loaded and used, at its leanest (weights mapped
and not repacked; with its page cache). Every setting offers the same: one conversation of CONTEXT tokens with each model,
and an f16 KV cache. Everything else is free: how many models the router keeps, how they are loaded, what they cache.

Each run starts in its own cgroup, with the models' files out of the page cache, and plays a trace: each request continues
its model's conversation. A setting fails if a request is not answered with 200, or if the kernel kills one of its
processes. All settings are first tried on the beginning of the trace. The best ones that did not fail then play all of it,
in turns with Minerva. The opponent is the best router that never failed.

usage: bench/same_memory.py [--rounds N] [--only TRACE] [--build DIR] [--json FILE]   (root: it makes cgroups)
"""
import argparse
import dataclasses
import os
import pathlib
import random
import statistics
import sys

import page_cache
from figures import Figures
from memory_group import MemoryGroup, NoGroup
from subjects import ROOT, Failed, Stage, build, large_models

sys.path.insert(0, str(ROOT / "tests/e2e"))
sys.dont_write_bytecode = True
from bare_engine import prompt  # noqa: E402

SHARE = 1.5
CONTEXT = 4096   # tokens of a conversation
OPENING = 300    # tokens
SAID = 12        # tokens that a client adds in each turn
TIMEOUT = 300    # seconds
FINALISTS = 2    # routers
MIB = 1 << 20

SERVED = ["-c", str(CONTEXT), "-np", "1"]
LEAN = ["--offline", "--no-ui", "-fit", "off", "--no-warmup", *SERVED, "-b", "256", "-ub", "256"]
ROUTERS = {
    "defaults": [],
    "its context": SERVED,
    "-fit off": ["-fit", "off", *SERVED],
    "-fit off --no-warmup": LEAN,
    "lean, mapped": [*LEAN, "--no-repack"],
    "lean, mapped, --cache-ram 0": [*LEAN, "--no-repack", "--cache-ram", "0"],
    "lean, read": [*LEAN, "--load-mode", "none"],
    "lean, read, mapped": [*LEAN, "--load-mode", "none", "--no-repack", "--cache-ram", "0"],
    "lean, direct I/O": [*LEAN, "--load-mode", "dio", "--no-repack", "--cache-ram", "0"],
}
# The settings of each model's table, beside context and parallel.
MINERVAS = {
    "as it comes": "",
    "mapped": 'weights = "mapped"\n',
    "mapped, --cache-ram 0": 'weights = "mapped"\nargs = ["--cache-ram", "0"]\n',
}


@dataclasses.dataclass(frozen=True, eq=False)
class Setting:
    name: str
    is_minerva: bool
    more: object  # router: flags; Minerva: text for the config
    models_max: int


def settings(models):
    found = [Setting(f"minerva, {name}", True, more, 0) for name, more in MINERVAS.items()]
    for most in range(1, models + 1):
        found += [Setting(f"router of {most}, {name}", False, flags, most) for name, flags in ROUTERS.items()]
    return found


def traces():
    """Returns name -> (the numbers of the models, the order in which they are asked)."""
    chance = random.Random(1)
    return {"two": (2, [1 + i % 2 for i in range(16)]),
            "three": (3, chance.choices((1, 2, 3), weights=(3, 2, 1), k=24))}


class Run:
    """The result of one setting over one trace."""

    def __init__(self):
        self.seconds = []  # for each request
        self.failure = None

    def median(self):
        return statistics.median(self.seconds)


class Contest:
    """One trace on one machine, within one limit."""

    def __init__(self, stage, name, figures):
        self.stage = stage
        self.name = name
        self.figures = figures
        models, self.trace = traces()[name]
        self.models = [f"large-{number}" for number in range(1, models + 1)]
        self.files = large_models(models)
        self.models_dir = stage.models_dir(name, self.files)

    def start(self, setting, group):
        if not setting.is_minerva:
            return self.stage.router(self.models_dir, setting.more, {}, "router", setting.models_max, group.enter)
        config = "".join(f'[model."{name}"]\npath = "{name}.gguf"\ncontext = {CONTEXT}\nparallel = 1\n{setting.more}'
                         for name in self.models)
        return self.stage.minerva(self.models_dir, config, setting.models_max, group.enter)

    def forget_files(self):
        """Drops the files from the page cache, so that what a run reads is counted for its own cgroup."""
        for file in self.files.values():
            page_cache.drop_file(file)
            if left := page_cache.cached_bytes(file):
                raise Failed(f"{left / MIB:.0f} MiB of {file} stay in the page cache: another program uses it")

    def one_model(self):
        """Returns bytes."""
        self.forget_files()
        with MemoryGroup("one") as group:
            server = self.stage.router(self.models_dir, [*LEAN, "--no-repack"], {}, "router", 1, group.enter)
            server.complete(self.models[0], prompt(1, OPENING), 1)
            used = group.used()
            self.stage.stop(server)
        return used

    def run(self, setting, limit, order):
        self.forget_files()
        run = Run()
        with MemoryGroup("same", limit) as group:
            try:
                server = self.start(setting, group)
                texts = {}
                for number, model in enumerate(self.models):
                    texts[model] = prompt(number, OPENING)
                    self.ask(server, model, texts)
                for turn, number in enumerate(order):
                    run.seconds.append(self.ask(server, self.models[number - 1], texts, turn))
            except Failed as error:
                run.failure = str(error).splitlines()[0][:300]
            if killed := group.killed():
                run.failure = f"{killed} processes were killed for want of memory" + \
                              (f"; {run.failure}" if run.failure else "")
            self.stage.stop_all()
        return run

    def ask(self, server, model, texts, turn=None):
        """Seconds until the first token of the answer to the next turn; for None: to the opening."""
        if turn is not None:
            texts[model] = texts[model] + [1000 + (turn * 97 + i * i * 31) % 20_000 for i in range(SAID)]
        answer = server.complete(model, texts[model], 1, timeout=TIMEOUT)
        texts[model] = texts[model] + answer.json["tokens"]
        return answer.seconds

    def qualify(self, limit):
        """Returns setting -> median, for those that did not fail on the beginning of the trace."""
        passed = {}
        beginning = self.trace[:2 * len(self.models)]
        for setting in settings(len(self.models)):
            run = self.run(setting, limit, beginning)
            if run.failure:
                print(f"  {setting.name:44} failed: {run.failure}", flush=True)
            else:
                passed[setting] = run.median()
                print(f"  {setting.name:44} {1000 * run.median():8.0f} ms", flush=True)
        return passed

    def measure(self, rounds):
        one = self.one_model()
        limit = int(SHARE * one)
        row = f"{len(self.models)} models, {SHARE} x one"
        print(f"{row}: one has {one / MIB:.0f} MiB, the limit is {limit / MIB:.0f} MiB; first tries, median of "
              f"{2 * len(self.models)} first tokens", flush=True)
        passed = self.qualify(limit)
        finalists = []
        for is_minerva, count in ((True, 1), (False, FINALISTS)):
            kind = sorted((s for s in passed if s.is_minerva == is_minerva), key=passed.get)
            finalists += kind[:count]
        failures = {}
        for _ in range(rounds):
            for setting in finalists:
                run = self.run(setting, limit, self.trace)
                if run.failure:
                    failures[setting] = run.failure
                    print(f"  {setting.name:44} failed on the whole trace: {run.failure}", flush=True)
                for seconds in run.seconds:
                    self.figures.add(row, "ms", setting.name, 1000 * seconds)
        minerva = next((s for s in finalists if s.is_minerva), None)
        opponents = [s for s in finalists if not s.is_minerva and s not in failures]
        self.figures.note(f"{row}: {limit / MIB:.0f} MiB; Minerva fails: "
                          f"{'always' if minerva is None else failures.get(minerva, 'never')}; of "
                          f"{len(settings(len(self.models))) - len(MINERVAS)} router settings "
                          f"{sum(not s.is_minerva for s in passed)} did not fail at first")
        if minerva and opponents:
            best = min(opponents, key=lambda s: self.figures.median(row, s.name))
            self.figures.compare(row, minerva.name, best.name, "sooner", paired=False, least=1.5)
        return minerva is not None and minerva not in failures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=list(traces()))
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--json", type=pathlib.Path, help="write every value there")
    options = parser.parse_args()
    figures = Figures()
    failure = None
    try:
        with MemoryGroup("try", 64 * MIB):
            pass
        with Stage(build(options)) as stage:
            for name in [options.only] if options.only else traces():
                if not Contest(stage, name, figures).measure(options.rounds):
                    failure = "same_memory: Minerva failed"
    except NoGroup as error:
        sys.exit(f"same_memory: {error}")
    except Failed as error:
        failure = f"same_memory: it ended early: {error}"
    figures.print_table()
    if options.json:
        figures.write(options.json)
    sys.exit(failure)


if __name__ == "__main__":
    main()
