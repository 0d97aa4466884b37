"""Load, preload, pin, unload and the statistics, as a user with curl sees them."""
import re

from harness import in_background, wait_until


def test_curl_examples(serve, models):
    m = serve()
    loaded = m.post("/v1/models/a/load", {"model_id": "a", "model_path": str(m.models_dir / "a.gguf")})
    assert loaded.status == 200, loaded
    assert loaded.json["success"] is True
    assert loaded.json["message"] == "loaded"
    assert loaded.json["model_id"] == "a"
    assert loaded.json["state"] == "hot"
    assert isinstance(loaded.json["load_ms"], int) and loaded.json["load_ms"] > 0
    assert loaded.json["evicted"] == []
    assert loaded.json["estimated_memory_mb"] > 0
    assert m.engine("a")

    preloaded = m.post("/v1/models/b/preload", {"model_id": "b", "model_path": "b.gguf"})
    assert preloaded.status == 200, preloaded
    assert preloaded.json["message"] == "preloaded"
    assert m.engine("b")

    stats = m.stats()
    assert stats["loaded_models"] == ["a", "b"]
    assert stats["total_loaded"] == 2
    assert stats["memory_budget_mb"] > stats["estimated_memory_mb"] > 0
    assert stats["memory_pressure"] is False
    assert stats["cache"] == {"policy": "hazard", "hits": 0, "misses": 0, "hit_rate": 0.0, "evictions": 0, "preloads": 1}
    by_id = {view["id"]: view for view in stats["models"]}
    assert by_id["a"]["preloaded"] is False and by_id["b"]["preloaded"] is True
    assert by_id["b"]["last_used_s"] is None and by_id["b"]["access_count"] == 0

    gone = m.delete("/v1/models/a")
    assert gone.status == 200, gone
    assert gone.json["success"] is True and gone.json["message"] == "unloaded" and gone.json["state"] == "cold"
    assert m.engines("a") == []
    assert m.loaded() == ["b"]

    again = m.delete("/v1/models/a")
    assert again.status == 200 and again.json["message"] == "not loaded", again
    unknown = m.delete("/v1/models/nosuch")
    assert unknown.status == 404 and unknown.error["code"] == "model_not_found", unknown


def test_loading_twice_starts_one_engine(serve):
    m = serve()
    calls = [in_background(m.load, "a") for _ in range(4)]
    for call in calls:
        assert call.result().status == 200
    engine = m.engine("a")
    again = m.load("a")
    assert again.json["message"] == "already loaded" and again.json["evicted"] == [], again
    assert m.engine("a") == engine


def test_statistics_are_exact(serve):
    m = serve("--max-models", 2, "--no-park", "--policy", "lru")
    m.use("a", "a", "b", "a")  # miss hit miss hit
    assert m.load("c").json["evicted"] == ["b"]  # no lookup
    m.use("c", "b")  # hit, miss that evicts a
    assert m.load("d", verb="preload").json["evicted"] == ["c"]
    assert m.cache() == {"policy": "lru", "hits": 3, "misses": 3, "hit_rate": 50.0, "evictions": 3, "preloads": 1}
    m.use("d")
    # Neither is a lookup, since neither reaches a model.
    assert m.chat("nosuch").status == 404
    assert m.post("/v1/chat/completions", "{").status == 400
    assert m.delete("/v1/models/b").status == 200  # no eviction
    stats = m.stats()
    assert stats["cache"] == {"policy": "lru", "hits": 4, "misses": 3, "hit_rate": 57.1, "evictions": 3, "preloads": 1}
    assert stats["loaded_models"] == ["d"] and stats["total_loaded"] == 1
    (view,) = stats["models"]
    assert view["id"] == "d" and view["state"] == "hot" and view["leases"] == 0 and view["access_count"] == 1
    assert view["preloaded"] is False  # it has been used since
    assert view["memory_mb"] == stats["estimated_memory_mb"]


def test_memory_is_the_sum_and_is_given_back(serve):
    m = serve()
    assert m.stats()["estimated_memory_mb"] == 0
    m.load("a")
    one = m.stats()["estimated_memory_mb"]
    m.load("e")
    stats = m.stats()
    # Each number is rounded separately.
    assert abs(sum(view["memory_mb"] for view in stats["models"]) - stats["estimated_memory_mb"]) <= 2
    assert stats["estimated_memory_mb"] > one > 0
    m.delete("/v1/models/a")
    m.delete("/v1/models/e")
    assert m.stats()["estimated_memory_mb"] == 0
    assert m.stats()["models"] == []


def test_the_estimate_covers_what_the_engine_really_takes(serve, slow_model):
    m = serve(models={"slow": slow_model})
    m.use("slow")
    status = open(f"/proc/{m.engine('slow')}/status").read()
    resident_mb = int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024
    estimate_mb = m.view("slow")["memory_mb"]
    assert resident_mb <= estimate_mb, f"{resident_mb:.0f} MiB resident, {estimate_mb} MiB reserved"


def test_memory_pressure_shows_above_four_fifths(serve, slow_model):
    plenty = serve(models={"slow": slow_model})
    needed = plenty.load("slow").json["estimated_memory_mb"]
    assert plenty.stats()["memory_pressure"] is False
    tight = serve("--memory-budget", f"{needed + needed // 10}MiB", models={"slow": slow_model})
    assert tight.stats()["memory_pressure"] is False
    assert tight.load("slow").status == 200
    assert tight.stats()["memory_pressure"] is True
    tight.delete("/v1/models/slow")
    assert tight.stats()["memory_pressure"] is False


def test_load_without_waiting(serve):
    m = serve()
    answer = m.load("a", "?wait=false")
    assert answer.status == 202 and answer.json["success"] is True, answer
    wait_until(lambda: m.state("a") == "hot", "a is hot")


def test_dry_run_changes_nothing(serve):
    m = serve("--max-models", 1)
    m.load("a")
    engine = m.engine("a")
    plan = m.load("b", "?dry_run=true")
    assert plan.status == 200, plan
    assert plan.json["dry_run"] is True and plan.json["possible"] is True and plan.json["would_evict"] == ["a"], plan
    assert plan.json["estimated_memory_mb"] > 0
    assert m.engine("a") == engine and m.engines("b") == []
    assert m.cache()["evictions"] == 0


def test_a_pinned_model_stays(serve):
    m = serve("--max-models", 1)
    m.load("a")
    assert m.post("/v1/models/a/pin").json["message"] == "pinned"
    assert m.view("a")["pinned"] is True

    refused = m.load("b")
    assert refused.status == 409 and refused.error["code"] == "conflict", refused
    assert '"a"' in refused.error["message"]
    assert m.delete("/v1/models/a").status == 409
    assert m.loaded() == ["a"]

    forced = m.load("b", "?force=true")
    assert forced.status == 200 and forced.json["evicted"] == ["a"], forced
    assert m.loaded() == ["b"]


def test_a_pin_outlives_a_load_that_names_the_file(serve):
    m = serve()
    m.post("/v1/models/a/pin")
    assert m.post("/v1/models/a/load", {"model_path": "a.gguf"}).status == 200
    assert m.view("a")["pinned"] is True


def test_unpinning_lets_it_go_again(serve):
    m = serve("--max-models", 1)
    m.load("a")
    m.post("/v1/models/a/pin")
    assert m.post("/v1/models/a/unpin").json["message"] == "unpinned"
    assert m.load("b").json["evicted"] == ["a"]


def test_load_of_a_busy_model_is_refused_and_can_be_forced(serve, models, slow_model):
    m = serve("--max-models", 1, models={"slow": slow_model, "a": models["a"]})
    stream = m.chat_stream("slow", max_tokens=3000)
    stream.token()
    assert m.view("slow")["leases"] == 1
    refused = m.load("a")
    assert refused.status == 409 and '"slow"' in refused.error["message"], refused
    stream.token()  # undisturbed

    forced = in_background(m.load, "a", "?force=true")
    events = stream.rest()
    assert "[DONE]" not in events
    assert '"error"' in events[-1], events[-1]
    assert forced.result().status == 200
    assert m.loaded() == ["a"]


def test_unload_waits_for_a_running_stream(serve, slow_model):
    m = serve(models={"slow": slow_model}, env={"MINERVA_LIMITS_UNLOAD_TIMEOUT": "1h"})
    stream = m.chat_stream("slow", max_tokens=40)
    stream.token()
    unloading = in_background(m.delete, "/v1/models/slow")
    assert stream.rest()[-1] == "[DONE]"
    answer = unloading.result()
    assert answer.status == 200 and answer.json["message"] == "unloaded", answer
    assert m.engines("slow") == []


def test_unload_gives_up_in_bounded_time(serve, slow_model):
    m = serve(models={"slow": slow_model}, env={"MINERVA_LIMITS_UNLOAD_TIMEOUT": "200ms"})
    stream = m.chat_stream("slow", max_tokens=3000)
    stream.token()
    refused = m.delete("/v1/models/slow")
    assert refused.status == 409 and refused.error["code"] == "conflict", refused
    stream.token()  # undisturbed
    assert m.delete("/v1/models/slow?force=true").status == 200
    assert '"error"' in stream.rest()[-1]
    assert m.engines("slow") == []


def test_a_body_that_names_another_model_is_refused(serve):
    m = serve()
    answer = m.post("/v1/models/a/load", {"model_id": "b"})
    assert answer.status == 400 and answer.error["param"] == "model_id", answer
    assert m.loaded() == []


def test_listing(serve):
    m = serve()
    m.load("a")
    listed = m.get("/v1/models").json
    assert listed["object"] == "list"
    by_id = {model["id"]: model for model in listed["data"]}
    assert sorted(by_id) == ["a", "b", "c", "d", "e"]
    assert by_id["a"]["state"] == "hot" and by_id["b"]["state"] == "cold"
    one = m.get("/v1/models/a").json
    assert one["object"] == "model" and one["owned_by"] == "minerva" and one["id"] == "a"
    assert one["size_bytes"] == (m.models_dir / "a.gguf").stat().st_size
    assert one["parameters"] == 2179392 and one["quantization"] == "Q8_0" and one["context_length"] == 4096
    assert one["aliases"] == []


def test_a_file_that_appears_is_found_and_one_that_disappears_is_gone(serve, models):
    m = serve(models={"a": models["a"]})
    m.add_model("late", models["b"])
    wait_until(lambda: m.chat("late").status == 200, "the new file is served")
    (m.models_dir / "late.gguf").unlink()
    wait_until(lambda: [x["id"] for x in m.get("/v1/models").json["data"]] == ["a"], "it left the catalog")
    wait_until(lambda: m.engines("late") == [], "its engine is stopped")
    assert m.chat("late").status == 404
