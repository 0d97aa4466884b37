"""Which model leaves memory, under each policy, with real models."""
import pytest

from harness import in_background


def test_lru_evicts_the_least_recently_used_of_four(serve):
    m = serve("--max-models", 3, "--no-park", "--policy", "lru")
    m.use("a", "b", "c", "a")
    assert m.load("d").json["evicted"] == ["b"]
    assert m.loaded() == ["a", "c", "d"]
    assert m.engines("b") == []


def test_inference_evicts_as_a_load_does(serve):
    m = serve("--max-models", 3, "--policy", "lru")
    m.use("a", "b", "c", "d")
    assert m.loaded() == ["b", "c", "d"]
    assert m.cache()["evictions"] == 1


def test_lfu_evicts_the_least_frequently_used(serve):
    m = serve("--max-models", 3, "--policy", "lfu")
    m.use("a", "a", "a", "b", "c", "c")
    m.use("d")
    assert m.loaded() == ["a", "c", "d"]
    assert m.cache()["policy"] == "lfu"


def test_fifo_evicts_the_first_that_came(serve):
    m = serve("--max-models", 3, "--policy", "fifo")
    m.use("a", "b", "c", "a", "a")
    m.use("d")
    assert m.loaded() == ["b", "c", "d"]
    assert m.cache()["policy"] == "fifo"


def test_a_preload_leaves_recency_untouched(serve):
    m = serve("--max-models", 2)
    m.use("a", "b")
    before = m.view("a")
    assert m.load("a", verb="preload").json["message"] == "already loaded"
    after = m.view("a")
    assert after["access_count"] == before["access_count"] and after["last_used_s"] >= before["last_used_s"]
    assert m.load("c").json["evicted"] == ["a"]


def test_an_explicit_load_marks_as_used(serve):
    m = serve("--max-models", 2)
    m.use("a", "b")
    assert m.load("a").json["message"] == "already loaded"
    assert m.load("c").json["evicted"] == ["b"]


def test_a_preloaded_model_nobody_used_goes_first(serve):
    m = serve("--max-models", 2)
    m.use("a")
    m.load("b", verb="preload")
    assert m.load("c").json["evicted"] == ["b"]


def test_a_preload_leaves_frequency_untouched(serve):
    m = serve("--max-models", 2, "--policy", "lfu")
    m.use("a", "b", "b")
    for _ in range(3):
        m.load("a", verb="preload")
    assert m.view("a")["access_count"] == 1
    assert m.load("c").json["evicted"] == ["a"]


def test_memory_bounds_too(serve, slow_model, models):
    needed = serve(models={"slow": slow_model}).load("slow").json["estimated_memory_mb"]
    m = serve("--memory-budget", f"{needed + 10}MiB", models={"slow": slow_model, "a": models["a"], "b": models["b"]})
    m.use("a", "b")
    assert m.loaded() == ["a", "b"]
    answer = m.load("slow")
    assert answer.status == 200 and sorted(answer.json["evicted"]) == ["a", "b"], answer
    assert m.stats()["estimated_memory_mb"] <= needed + 10


@pytest.mark.parametrize("policy", ["lru", "lfu", "fifo", "hazard"])
def test_models_wanted_at_once_all_get_their_turn(serve, policy):
    m = serve("--max-models", 1, "--policy", policy, env={"MINERVA_QUEUE_MIN_RESIDENCY": "50ms"})
    calls = [in_background(m.chat, model) for _ in range(4) for model in ("a", "b", "c")]
    for call in calls:
        answer = call.result()
        assert answer.status == 200, answer
    cache = m.cache()
    assert cache["hits"] + cache["misses"] == 12
    assert len(m.loaded()) == 1
