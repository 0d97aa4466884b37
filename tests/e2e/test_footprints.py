"""The memory of models: predicted, then measured with real engines; refused or shrunk if it is too much."""
import re
import subprocess

import pytest

from harness import MINERVA, wait_until
from tiny_models import generate

# Large enough that conversations are not most of its memory; trained with 8192 tokens.
MODEL = ["--embd", "768", "--layers", "8", "--ffn", "3072", "--quant", "q4_0", "--ctx", "8192"]


@pytest.fixture(scope="module")
def model():
    return generate("footprint", MODEL)


def config(**entry):
    lines = [f"{key} = {str(value).lower() if isinstance(value, bool) else value}" for key, value in entry.items()]
    return '[model."m"]\n' + "\n".join(lines) + "\n"


def error_ratio(m, name):
    """The metric of the prediction's error; None before the model was measured."""
    found = re.search(rf'^minerva_footprint_error_ratio{{model="{name}"}} (\S+)$', m.get("/metrics").body.decode(), re.M)
    return found and float(found[1])


def estimate(m, name):
    answer = m.load(name, "?dry_run=true")
    assert answer.status == 200, answer
    return answer.json["estimated_memory_mb"]


def measured(m, name):
    """Uses the model, and waits until it is measured. Returns MiB."""
    m.use(name)
    wait_until(lambda: error_ratio(m, name) is not None, "it is measured")
    return m.view(name)["memory_mb"]


def test_what_was_measured_takes_the_place_of_the_prediction(serve, model):
    m = serve(models={"m": model})
    predicted = estimate(m, "m")
    assert error_ratio(m, "m") is None
    real = measured(m, "m")
    error = error_ratio(m, "m")
    assert abs(predicted / real - 1 - error) < 0.01 and abs(error) < 0.08, (predicted, real, error)
    assert m.stats()["estimated_memory_mb"] == real
    # After a park and a wake the figure is the same.
    assert m.load("m", verb="park").status == 200
    assert m.load("m").json["estimated_memory_mb"] == real

    # A restart keeps it, but only for the same arguments.
    m.terminate()
    assert m.wait() == 0
    m.start()
    again = estimate(m, "m")
    assert abs(again - real) <= 0.01 * real + 1
    assert abs(error_ratio(m, "m") - error) < 0.011
    assert m.load("m").json["estimated_memory_mb"] == again
    m.stop()
    other = serve(models={"m": model}, config=config(parallel=4))
    assert estimate(other, "m") > real


def test_the_first_park_after_a_restart_knows_what_will_be_left(serve, models):
    m = serve(models={"a": models["a"], "b": models["b"]})
    hot = max(measured(m, "a"), measured(m, "b"))
    left = m.load("a", verb="park").json["estimated_memory_mb"]
    guess = 32 + hot // 20  # ADR 10
    assert left + 8 < guess, "a smaller model is needed"
    m.terminate()
    assert m.wait() == 0
    m.args += ["--memory-budget", f"{hot + (left + guess) // 2}MiB"]
    m.start()
    m.use("a", "b")
    assert m.state("a") == "parked" and m.state("b") == "hot"


def test_a_context_that_does_not_fit_is_refused_before_anybody_leaves(serve, model, models):
    both = {"m": model, "a": models["a"]}
    small = estimate(serve(models=both, config=config(context=2048)), "m")
    m = serve("--memory-budget", f"{small + 20}MiB", "--fit", "off", models=both, config=config(context=8192))
    m.use("a")
    engine = m.engine("a")
    for answer in (m.load("m"), m.load("m", "?force=true"), m.chat("m")):
        assert answer.status == 422 and answer.error["code"] == "memory_budget_exceeded", answer
        assert f"the whole memory budget is {small + 20} MiB" in answer.error["message"], answer
        assert re.search(r'"m" needs \d+ MiB', answer.error["message"]), answer
    assert m.engine("a") == engine and m.cache()["evictions"] == 0


def test_a_context_that_may_shrink_does_and_everybody_is_told(serve, model):
    small = estimate(serve(models={"m": model}, config=config(context=2048)), "m")
    m = serve("--memory-budget", f"{small + 10}MiB", models={"m": model},
              config=config(context=8192, context_may_shrink=True, fit='"off"'))
    plan = m.load("m", "?dry_run=true").json
    assert plan["possible"] and plan["context_shrunk_from"] == 8192 and plan["estimated_memory_mb"] <= small + 10, plan
    loaded = m.load("m")
    assert loaded.status == 200, loaded
    tokens = loaded.json["context_length"]
    assert 512 <= tokens < 8192 and loaded.json["context_shrunk_from"] == 8192, loaded
    assert loaded.json["message"].startswith(f"loaded with context {tokens} instead of 8192"), loaded
    assert m.get("/props?model=m").json["default_generation_settings"]["n_ctx"] == tokens
    shown = m.get("/v1/models/m").json
    assert shown["context_length"] == tokens and shown["context_shrunk_from"] == 8192, shown
    assert m.view("m")["context_shrunk_from"] == 8192
    assert f"m runs with context {tokens} instead of 8192" in m.log()
    ps = subprocess.run([MINERVA, "ps", "--url", m.url], capture_output=True, text=True, check=True).stdout
    assert f"m runs with context {tokens} instead of 8192" in ps
    m.use("m")
