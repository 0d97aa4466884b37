"""A model that does not fit the memory budget: what nobody set gives way, and everybody is told what."""
import subprocess

import pytest

import harness
from harness import MINERVA
from tiny_models import generate

# 100 million parameters, of which repacking makes a copy; trained with 8192 tokens.
MODEL = ["--embd", "768", "--layers", "8", "--ffn", "3072", "--quant", "q4_0", "--ctx", "8192"]
LEAST = {"context": 2048, "parallel": 1, "weights": "mapped", "prompt_cache_mib": 1}


@pytest.fixture(scope="module")
def model():
    return generate("footprint", MODEL)


@pytest.fixture(scope="module")
def least(model):
    """What the smallest shape takes, in MiB, by the engine's own prediction."""
    # A part of the prediction is what the predicting process holds, which varies by some pages.
    return 1 + -(-harness.inspect(model, *harness.LEAST)["memory"]["total_bytes"] // (1 << 20))


@pytest.fixture(scope="module")
def whole(model):
    usual = ["--no-warmup", "-fit", "off", "-c", "16384", "-np", "2", "-b", "256", "-ub", "256", "--cache-ram", "256",
             "--ctx-checkpoints", "4"]
    return harness.inspect(model, *usual)["memory"]["total_bytes"] >> 20


def gave_way(answer):
    return {each["setting"]: each["to"] for each in answer.json.get("gave_way", [])}


def alike(one, other):
    """Each prediction is by a process of its own, whose memory varies by some pages: the prompt cache, which takes what is
    left in whole MiB, may differ by one."""
    caches = [lower.get("prompt_cache_mib", 256) for lower in (one, other)]
    return abs(caches[0] - caches[1]) <= 1 and {**one, "prompt_cache_mib": 0} == {**other, "prompt_cache_mib": 0}


@pytest.mark.parametrize("share", [0, 0.1, 0.4, 0.75])
def test_it_runs_within_the_budget_and_says_with_what(serve, model, least, whole, share):
    budget = int(least + share * (whole - least))
    m = serve("--memory-budget", f"{budget}MiB", models={"m": model})
    plan = m.load("m", "?dry_run=true")
    loaded = m.load("m")
    assert loaded.status == 200, loaded
    lower = gave_way(loaded)
    assert lower and alike(lower, gave_way(plan)), (plan, loaded)
    assert "prompt_cache_mib" in lower or "weights" in lower, "what is missed least gives way first"
    if share == 0:
        assert lower | {"prompt_cache_mib": 1} == LEAST and lower["prompt_cache_mib"] <= 3
    for setting, value in lower.items():
        assert f"{setting} {value} instead of " in loaded.json["message"], loaded
    answer = m.chat("m", max_tokens=8)
    assert answer.status == 200, answer
    m.use("m")
    assert m.view("m")["memory_mb"] <= budget and gave_way(m.get("/v1/models/m")) == lower
    props = m.get("/props?model=m").json
    assert props["default_generation_settings"]["n_ctx"] == lower.get("context", 8192)
    assert m.view("m")["slots"] == lower.get("parallel", 2)
    ps = subprocess.run([MINERVA, "ps", "--url", m.url], capture_output=True, text=True, check=True).stdout
    assert "m runs with " in ps and f"{next(iter(lower))} {lower[next(iter(lower))]} instead of" in ps, ps
    assert "m runs with " in m.log()
    # The same after a restart, at once: all that was asked is known.
    m.terminate()
    assert m.wait() == 0
    m.start()
    assert gave_way(m.get("/v1/models/m")) == lower and gave_way(m.load("m")) == lower


def test_it_is_the_same_beside_others(serve, model, models, least):
    alone = serve("--memory-budget", f"{least + 200}MiB", models={"m": model})
    lower = gave_way(alone.load("m"))
    beside = serve("--memory-budget", f"{least + 200}MiB", models={"m": model, "a": models["a"], "b": models["b"]})
    beside.use("a", "b")
    others = gave_way(beside.load("m"))
    assert alike(others, lower)
    once = gave_way(beside.get("/v1/models/m"))
    beside.use("a", "m")
    assert alike(gave_way(beside.get("/v1/models/m")), once)


def test_less_than_the_least_is_refused_with_the_numbers(serve, model, least):
    m = serve("--memory-budget", f"{least - 4}MiB", models={"m": model})
    answer = m.chat("m")
    assert answer.status == 422 and answer.error["code"] == "memory_budget_exceeded", answer
    assert f"the whole memory budget is {least - 4} MiB" in answer.error["message"], answer


def test_what_is_set_is_kept(serve, model, least, whole):
    budget = least + (whole - least) // 4
    kept = 'parallel = 2\ncontext = 8192\nweights = "repacked"\n'
    for entry in (kept, 'fit = "off"\n'):
        m = serve("--memory-budget", f"{budget}MiB", models={"m": model}, config='[model."m"]\n' + entry)
        assert m.chat("m").status == 422
        m.stop()
    m = serve("--memory-budget", f"{whole - 100}MiB", models={"m": model}, config='[model."m"]\n' + kept)
    assert gave_way(m.load("m")).keys() == {"prompt_cache_mib"}
    m.stop()
    m = serve("--memory-budget", f"{budget}MiB", "--fit", "off", models={"m": model})
    assert m.chat("m").status == 422


def test_more_answers_than_slots_are_left(serve, model, least):
    m = serve("--memory-budget", f"{least}MiB", models={"m": model})
    answer = m.chat("m", max_tokens=2, n=2)
    assert answer.status == 400 and answer.error["param"] == "n", answer
    assert m.chat("m", max_tokens=2).status == 200
    assert m.chat("m", max_tokens=2, n=2).status == 400


def test_the_doctor_tells(serve, model, least):
    m = serve("--memory-budget", f"{least}MiB", models={"m": model})
    m.stop()
    done = subprocess.run([MINERVA, "doctor", *m.args], capture_output=True, text=True)
    assert '"m" runs with context 2' in done.stdout and 'parallel 1 instead of 2' in done.stdout, done
