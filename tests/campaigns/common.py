"""What the campaigns share: models, the kernel's view of a daemon and its engines, and how a run ends.

A campaign is a plain program. It prints what it measured as lines `name: value`, and exits 1 with a sentence when a promise
does not hold. All randomness comes from one seed, which it prints.
"""
import contextlib
import os
import pathlib
import random
import sys
import time

E2E = pathlib.Path(__file__).resolve().parents[1] / "e2e"
sys.path.insert(0, str(E2E))

import harness  # noqa: E402
from tiny_models import SLOW, TINY, generate  # noqa: E402

CHAT_MODELS = ("a", "b", "c", "d")


class Broken(AssertionError):
    """A promise that did not hold."""


def expect(condition, sentence):
    if not condition:
        raise Broken(sentence)


def seed_from_environment():
    seed = int(os.environ.get("CAMPAIGN_SEED") or random.SystemRandom().randrange(1 << 31))
    print(f"seed: {seed} (CAMPAIGN_SEED={seed} repeats the choices)", flush=True)
    return seed


def number_from_environment(name, default):
    return type(default)(os.environ.get(name) or default)


def tiny_models():
    return {name: generate(name, TINY[name]) for name in CHAT_MODELS}


def demo_model(name):
    """The file of a demo model, as tools/fetch_demo_models.sh leaves it."""
    cache = os.environ.get("MINERVA_CACHE") or pathlib.Path(
        os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "minerva"
    path = pathlib.Path(cache) / "models" / f"{name}.gguf"
    expect(path.exists(), f"{path} is missing: run tools/fetch_demo_models.sh")
    return path


def slow_model():
    return generate("slow", SLOW)


def figure(name, value):
    print(f"{name}: {value}", flush=True)


@contextlib.contextmanager
def daemon(*args, **kwargs):
    """A running Minerva. At the end it drains, exits with 0 and leaves no engine. If something broke, its log is
    shown."""
    minerva = harness.Minerva(*args, **kwargs)
    try:
        minerva.start()
        yield minerva
        minerva.stop()
    except BaseException:
        sys.stderr.write(f"--- the daemon's log ends with ---\n{minerva.log()[-6000:]}\n---\n")
        raise
    finally:
        minerva.clean()


# ---- the kernel's view ----

def pss_bytes(pid, anonymous=False):
    """Proportional set size: a shared page counts in parts for all processes that map it. 0 when the process is
    gone."""
    field = "Pss_Anon:" if anonymous else "Pss:"
    try:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return 0


def private_bytes(pid):
    """Only anonymous memory: this is what a leak increases."""
    found = pss_bytes(pid, anonymous=True)
    expect(found > 0, f"/proc/{pid}/smaps_rollup has no Pss_Anon")
    return found


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def open_files(pid):
    """The names of what a process has open: paths, "socket:[1]". A descriptor that is closed meanwhile is left out."""
    names = set()
    for entry in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            names.add(os.readlink(f"/proc/{pid}/fd/{entry}"))
    return names


def mib(count):
    return f"{count / (1 << 20):.1f} MiB"


def quantile(values, q):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def main(campaign):
    """Runs `campaign()` and turns its result into an exit code."""
    began = time.monotonic()
    try:
        campaign()
    except (Broken, AssertionError) as broken:
        print(f"FAILED after {time.monotonic() - began:.0f} s: {broken}", flush=True)
        sys.exit(1)
    print(f"passed in {time.monotonic() - began:.0f} s", flush=True)
