"""Parking as users see it, with real engines: an idle model leaves memory with its conversations, and is back when a
request comes. test_parking_engine.py tests an engine alone."""
import contextlib
import os
import pathlib
import resource
import signal
import stat
import subprocess

import pytest

import stray_touch
from harness import chat_body, in_background, wait_until
from test_command_engines import entry as command_entry

TURNS = ["the cat sat on the mat", "and then?", "tell me more", "the end"]


def park(m, model, query=""):
    return m.load(model, query, verb="park")


def parked(m, model):
    """Parks the model, and checks that it is parked."""
    answer = park(m, model)
    assert answer.status == 200 and answer.json["message"] == "parked" and answer.json["state"] == "parked", answer
    return answer


def converse(m, model, between=lambda: None):
    """A conversation of several turns. Returns the answers, and how many tokens of each turn were kept from the last
    one."""
    messages, said = [], []
    for turn in TURNS:
        messages.append({"role": "user", "content": turn})
        answer = m.post("/v1/chat/completions",
                        {"model": model, "messages": messages, "temperature": 0, "max_tokens": 12})
        assert answer.status == 200, answer
        text = answer.json["choices"][0]["message"]["content"]
        messages.append({"role": "assistant", "content": text})
        said.append((text, answer.json["timings"]["cache_n"], answer.headers["x-minerva-cache"]))
        m.settle()
        between()
    return said


@contextlib.contextmanager
def halted(pid):
    """Stops the process within the `with`."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def images(m):
    """The folder of the images."""
    return m.folder / "state" / "images"


def image_files(m, pid):
    """The open files of the process below the folder of the images, as paths that can be opened."""
    found = []
    for descriptor in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if os.readlink(descriptor).startswith(f"{images(m)}/"):
                found.append(descriptor)
    return found


# ---- the call ----

def test_a_conversation_goes_on_as_if_nothing_had_been(serve, slow_model):
    never = converse(serve(models={"slow": slow_model}), "slow")
    assert [outcome for _, _, outcome in never] == ["miss", "hit", "hit", "hit"]
    assert len({text for text, *_ in never}) > 1 and all(kept > 0 for _, kept, _ in never[1:]), never

    m = serve(models={"slow": slow_model})
    m.load("slow")
    engine = m.engine("slow")
    said = converse(m, "slow", between=lambda: parked(m, "slow"))
    assert [(text, kept) for text, kept, _ in said] == [(text, kept) for text, kept, _ in never]
    assert [outcome for *_, outcome in said] == ["hit", "parked", "parked", "parked"]
    assert m.engine("slow") == engine, "its process lives on"
    assert (m.view("slow")["parks"], m.view("slow")["wakes"]) == (4, 3)
    assert m.cache() == {"policy": "hazard", "hits": 4, "misses": 0, "hit_rate": 100.0, "evictions": 0, "preloads": 0}


def test_what_the_call_answers(serve, slow_model):
    m = serve(models={"slow": slow_model})
    cold = park(m, "slow")
    assert cold.status == 200 and cold.json["message"] == "not loaded" and cold.json["state"] == "cold", cold
    assert m.engines() == []
    hot = m.load("slow").json["estimated_memory_mb"]
    before = m.view("slow")
    assert before["can_park"] is True and before["image_mb"] == before["parks"] == before["wakes"] == 0, before

    answer = parked(m, "slow").json
    assert answer["success"] is True and answer["model_id"] == "slow" and answer["evicted"] == []
    assert 0 < answer["estimated_memory_mb"] < hot
    again = park(m, "slow")
    assert again.status == 200 and again.json["message"] == "already parked" and again.json["state"] == "parked", again
    assert again.json["estimated_memory_mb"] == answer["estimated_memory_mb"]

    stats = m.stats()
    assert stats["loaded_models"] == [] and stats["total_loaded"] == 0, "loaded are the hot ones"
    (view,) = stats["models"]
    assert view["state"] == "parked" and view["image_mb"] > 0 and (view["parks"], view["wakes"]) == (1, 0), view
    assert view["memory_mb"] == stats["estimated_memory_mb"] == answer["estimated_memory_mb"]
    assert stats["cache"]["evictions"] == 0, "nobody needed the room"
    assert m.state("slow") == "parked"
    assert [model["state"] for model in m.get("/v1/models").json["data"]] == ["parked"]
    metrics = m.get("/metrics").body.decode()
    for line in ('minerva_parks_total{model="slow"} 1\n', 'minerva_wakes_total{model="slow"} 0\n',
                 'minerva_model_state{model="slow",state="parked"} 1\n'):
        assert line in metrics, metrics
    (image_bytes,) = (line.split()[1] for line in metrics.splitlines() if line.startswith("minerva_model_image_bytes{"))
    assert round(float(image_bytes) / (1 << 20)) == view["image_mb"]


def test_unknown_models_and_wrong_parameters(serve):
    m = serve()
    unknown = park(m, "nosuch")
    assert unknown.status == 404 and unknown.error["code"] == "model_not_found", unknown
    assert park(m, "a", "?force=perhaps").status == 400


def test_a_load_wakes_it(serve, slow_model):
    m = serve(models={"slow": slow_model})
    m.load("slow")
    wait_until(lambda: "slow holds" in m.log(), "it is measured")
    hot = m.view("slow")["memory_mb"]
    engine = m.engine("slow")
    parked(m, "slow")
    plan = m.load("slow", "?dry_run=true").json
    assert plan["state"] == "parked" and plan["possible"] is True and plan["would_evict"] == [], plan
    woken = m.load("slow")
    assert woken.status == 200 and woken.json["message"] == "woken" and woken.json["state"] == "hot", woken
    assert woken.json["estimated_memory_mb"] == plan["estimated_memory_mb"] == hot
    assert m.engine("slow") == engine
    assert m.load("slow").json["message"] == "already loaded"
    parked(m, "slow")
    assert m.load("slow", verb="preload").json["message"] == "woken"
    assert m.view("slow")["wakes"] == 2
    assert m.cache()["hits"] == m.cache()["misses"] == 0, "these are no lookups"


def test_a_busy_one_is_parked_once_it_has_answered(serve, slow_model):
    m = serve(models={"slow": slow_model}, env={"MINERVA_LIMITS_UNLOAD_TIMEOUT": "1h"})
    stream = m.chat_stream("slow", max_tokens=40)
    stream.token()
    call = in_background(park, m, "slow")
    assert stream.rest()[-1] == "[DONE]"
    answer = call.result()
    assert answer.status == 200 and answer.json["message"] == "parked", answer


def test_it_gives_up_on_a_busy_one_in_bounded_time(serve, slow_model):
    m = serve(models={"slow": slow_model}, env={"MINERVA_LIMITS_UNLOAD_TIMEOUT": "200ms"})
    stream = m.chat_stream("slow", max_tokens=3000)
    stream.token()
    refused = park(m, "slow")
    assert refused.status == 409 and refused.error["code"] == "conflict", refused
    assert "force" in refused.error["message"]
    stream.token()  # undisturbed


def test_force_cancels_what_it_does(serve, slow_model):
    m = serve(models={"slow": slow_model}, env={"MINERVA_LIMITS_UNLOAD_TIMEOUT": "1h"})
    stream = m.chat_stream("slow", max_tokens=3000)
    stream.token()
    call = in_background(park, m, "slow", "?force=true")
    last = stream.rest()[-1]
    assert '"error"' in last and "parked" in last, last
    assert call.result().json["state"] == "parked"
    assert m.chat("slow").headers["x-minerva-cache"] == "parked"


def test_a_pinned_one_stays(serve):
    m = serve()
    m.use("a")
    m.post("/v1/models/a/pin")
    refused = park(m, "a")
    assert refused.status == 409 and refused.error["code"] == "conflict", refused
    assert "pinned" in refused.error["message"] and "unpin" in refused.error["message"]
    assert m.state("a") == "hot"
    assert park(m, "a", "?force=true").json["message"] == "parked"
    assert m.view("a")["pinned"] is False


def test_a_loading_one_is_not_parked(serve, slow_model):
    m = serve(models={"slow": slow_model})
    calls = []
    with halted(m.catch_loading("slow", lambda: calls.append(in_background(m.load, "slow")))):
        refused = park(m, "slow")
    assert refused.status == 409 and "not loaded yet" in refused.error["message"], refused
    assert calls[-1].result().status == 200


def test_engines_that_cannot_are_not_implemented(serve):
    m = serve(config=command_entry("m"), models={})
    m.load("m")
    assert m.view("m")["can_park"] is False
    refused = park(m, "m")
    assert refused.status == 501 and refused.error["code"] == "not_supported", refused
    assert "unload" in refused.error["message"]
    assert m.state("m") == "hot" and m.chat("m").status == 200


def test_an_unload_of_a_parked_one(serve):
    m = serve()
    m.use("a")
    parked(m, "a")
    answer = m.delete("/v1/models/a")
    assert answer.status == 200 and answer.json["message"] == "unloaded" and answer.json["state"] == "cold", answer
    assert m.engines() == []
    assert m.stats()["models"] == [] and m.stats()["estimated_memory_mb"] == 0
    assert m.chat("a").headers["x-minerva-cache"] == "miss"


# ---- making room ----

def test_two_models_take_turns(serve):
    m = serve("--max-models", 1)
    m.use("a", "b")
    engines = {model: m.engine(model) for model in "ab"}
    assert m.loaded() == ["b"] and m.state("a") == "parked"
    for model in "abab":
        answer = m.chat(model)
        assert answer.status == 200 and answer.headers["x-minerva-cache"] == "parked", answer
        m.settle()
        assert m.loaded() == [model] and m.engine(model) == engines[model]
    assert m.cache() == {"policy": "hazard", "hits": 4, "misses": 2, "hit_rate": 66.7, "evictions": 5, "preloads": 0}
    assert m.load("a").json["evicted"] == ["b"]
    assert m.state("b") == "parked"


def test_a_crowd_wakes_it_once(serve):
    m = serve()
    m.use("a")
    parked(m, "a")
    calls = [in_background(m.chat, "a") for _ in range(8)]
    answers = [call.result() for call in calls]
    assert all(answer.status == 200 for answer in answers)
    assert len({answer.json["choices"][0]["message"]["content"] for answer in answers}) == 1
    assert m.view("a")["wakes"] == 1


def test_without_parking_they_are_stopped(serve):
    m = serve("--max-models", 1, "--no-park")
    m.use("a", "b")
    assert m.state("a") == "cold" and m.engines("a") == []
    assert m.view("b")["can_park"] is False
    refused = park(m, "b")
    assert refused.status == 501 and "switched off" in refused.error["message"], refused
    assert m.chat("a").headers["x-minerva-cache"] == "miss"
    assert list(images(m).iterdir()) == []


def test_idle_ones_are_parked_and_later_unloaded(serve):
    m = serve(config='[model."a"]\npath = "a.gguf"\nttl = "300ms"\n'
                     '[model."b"]\npath = "b.gguf"\nttl = "300ms"\nunload_ttl = "600ms"\n')
    m.use("a", "b")
    wait_until(lambda: m.state("a") == "parked", "it was idle long enough")
    wait_until(lambda: m.state("b") == "cold", "that one was idle even longer")
    assert m.engines("b") == []
    assert m.chat("a").headers["x-minerva-cache"] == "parked"
    wait_until(lambda: m.state("a") == "parked", "and again")
    assert m.view("a")["parks"] >= 2 and m.cache()["evictions"] == 0, "nobody needed the room"
    log = m.log()
    assert "it was idle for ttl" in log and "it was idle for unload_ttl" in log


def test_images_that_find_no_room(serve, slow_model, models):
    """The park is refused with a reason and nothing is lost. The request that needs the memory gets it nevertheless."""
    m = serve("--max-models", 1, config='[park]\nimages = "64KiB"\n', models={"slow": slow_model, "a": models["a"]})
    said = m.chat("slow").json["choices"][0]["message"]["content"]
    engine = m.engine("slow")
    for _ in range(2):
        refused = park(m, "slow")
        assert refused.status in (409, 503) and "image" in refused.error["message"], refused
        assert m.state("slow") == "hot" and m.engine("slow") == engine
        answer = m.chat("slow")
        assert answer.headers["x-minerva-cache"] == "hit" and answer.json["choices"][0]["message"]["content"] == said
        m.settle()
    assert m.load("a").json["evicted"] == ["slow"]
    assert m.state("slow") == "cold" and m.engines("slow") == []


def test_a_disk_that_is_full(serve, slow_model):
    m = serve(models={"slow": slow_model})
    said = m.chat("slow").json["choices"][0]["message"]["content"]
    m.settle()
    engine = m.engine("slow")
    before = resource.prlimit(engine, resource.RLIMIT_FSIZE)
    # For the process, the disk has no room for the file.
    resource.prlimit(engine, resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    refused = park(m, "slow")
    assert refused.status == 409 and "cannot write its image" in refused.error["message"], refused
    assert m.state("slow") == "hot" and m.engine("slow") == engine
    assert m.chat("slow").json["choices"][0]["message"]["content"] == said
    m.settle()
    resource.prlimit(engine, resource.RLIMIT_FSIZE, before)
    parked(m, "slow")
    assert m.chat("slow").json["choices"][0]["message"]["content"] == said


def test_thirty_of_two_hundred_are_parked_at_once(serve, models):
    names = [f"m{number:03}" for number in range(200)]
    m = serve("--max-models", 1, models={name: models["abcd"[i % 4]] for i, name in enumerate(names)},
              config='[park]\nmemory = "8GiB"\nimages = "8GiB"\n')
    assert len(m.get("/v1/models").json["data"]) == len(names)
    used = names[::6][:31]
    said = {}
    for model in used:
        said[model] = m.chat(model).json["choices"][0]["message"]["content"]
        m.settle()
    engines = {model: m.engine(model) for model in used}
    stats = m.stats()
    assert [view["state"] for view in stats["models"]].count("parked") == 30 and m.loaded() == used[-1:]
    assert stats["estimated_memory_mb"] <= stats["memory_budget_mb"]
    for model in used[:-1]:
        answer = m.chat(model)
        assert answer.status == 200 and answer.headers["x-minerva-cache"] == "parked", answer
        assert answer.json["choices"][0]["message"]["content"] == said[model]
        assert answer.json["timings"]["cache_n"] > 0, "its conversation is there"
        m.settle()
    assert {model: m.engine(model) for model in used} == engines
    assert m.cache()["misses"] == 31 and m.cache()["hits"] == 30


# ---- while it moves ----

def test_a_stream_hears_that_its_model_wakes(serve):
    m = serve()
    m.use("a")
    parked(m, "a")
    with halted(m.engine("a")):
        stream = m.chat_stream("a", max_tokens=4)
        assert stream.status == 200 and stream.headers["x-minerva-cache"] == "parked"
        assert [stream.event() for _ in range(2)] == [": waking"] * 2
        assert m.state("a") == "waking"
        call = in_background(park, m, "a", "?force=true")
        (last,) = [event for event in stream.rest() if not event.startswith(":")]
        assert '"error"' in last, "it is cancelled, awake or not"
    assert call.result().json["state"] == "parked"


def test_a_stream_that_waited_for_a_wake_is_complete(serve):
    m = serve()
    m.use("a")
    parked(m, "a")
    with halted(m.engine("a")):
        stream = m.chat_stream("a", max_tokens=4)
        assert stream.event() == ": waking"
    events = [event for event in stream.rest() if not event.startswith(":")]
    assert len(events) > 1 and events[-1] == "[DONE]", events


def test_who_comes_while_it_is_parked_gets_it_back(serve):
    m = serve()
    m.use("a")
    with halted(m.engine("a")):
        call = in_background(park, m, "a")
        wait_until(lambda: m.state("a") == "parking", "it is on its way")
        later = in_background(m.chat, "a")
        wait_until(lambda: m.view("a")["waiting"] == 1, "somebody waits for it")
    assert call.result().json["message"] == "parked"
    answer = later.result()
    assert answer.status == 200 and answer.headers["x-minerva-cache"] == "parked", answer


# ---- deaths ----

def test_a_parked_engine_that_dies(serve):
    m = serve()
    m.use("a")
    parked(m, "a")
    os.kill(m.engine("a"), signal.SIGKILL)
    wait_until(lambda: m.view("a") is None, "its death is known")
    assert m.stats()["estimated_memory_mb"] == 0
    answer = m.chat("a")
    assert answer.status == 200 and answer.headers["x-minerva-cache"] == "miss", answer


def test_a_request_behind_a_dying_parked_engine_is_answered(serve):
    m = serve()
    m.load("a")
    for _ in range(5):
        m.use("a")
        parked(m, "a")
        os.kill(m.engine("a"), signal.SIGKILL)
        answer = m.chat("a")  # the engine may still be listed, be waking, or be gone
        assert answer.status == 200 and answer.headers["x-minerva-cache"] in ("parked", "miss"), answer


def test_killed_while_waking(serve):
    m = serve()
    m.use("a")
    parked(m, "a")
    engine = m.engine("a")
    with halted(engine):
        call = in_background(m.chat, "a")
        wait_until(lambda: m.state("a") == "waking", "it is told to wake")
        os.kill(engine, signal.SIGKILL)
        answer = call.result()
    assert answer.status == 200 and answer.headers["x-minerva-cache"] == "parked", answer
    assert m.engine("a") != engine
    assert m.cache()["hits"] == 1, "it is one lookup, by how it found the model"


def test_killed_while_being_parked(serve):
    m = serve()
    m.use("a")
    engine = m.engine("a")
    with halted(engine):
        call = in_background(park, m, "a")
        wait_until(lambda: m.state("a") == "parking", "it is on its way")
        os.kill(engine, signal.SIGKILL)
        answer = call.result()
    assert answer.status == 409 and answer.error["message"], answer
    assert m.chat("a").status == 200
    assert os.listdir(images(m)) == []


def test_an_engine_that_does_not_park_is_replaced(serve):
    m = serve(env={"MINERVA_LIMITS_STALL_TIMEOUT": "500ms"})
    m.use("a")
    engine = m.engine("a")
    with halted(engine):
        refused = park(m, "a")
        assert refused.status == 409 and refused.error["message"], refused
        wait_until(lambda: m.engines("a") == [], "the engine that says nothing is gone")
    assert m.chat("a").status == 200
    assert m.engine("a") != engine
    assert "while it was parking or waking" in m.log()


def test_a_touch_of_what_is_parked_ends_the_engine_only(serve, slow_model, models):
    """A stray pointer in the engine: the engine must not compute with memory that is gone."""
    m = serve(models={"slow": slow_model, "a": models["a"]})
    said = m.chat("slow").json["choices"][0]["message"]["content"]
    m.use("a")
    engine, other = m.engine("slow"), m.engine("a")
    hot = stray_touch.mappings(engine)
    parked(m, "slow")
    fenced = [begin for begin, access in stray_touch.mappings(engine).items()
              if access.startswith("---") and hot.get(begin, "").startswith("rw")]
    assert fenced, "nothing of it is fenced"
    stray_touch.touch(engine, fenced[0])
    wait_until(lambda: m.state("slow") == "cold", "its death is known")
    assert m.engine("a") == other and m.chat("a").headers["x-minerva-cache"] == "hit"
    answer = m.chat("slow")
    assert answer.headers["x-minerva-cache"] == "miss" and answer.json["choices"][0]["message"]["content"] == said


def test_an_engine_that_does_not_wake_is_replaced(serve):
    m = serve(env={"MINERVA_LIMITS_STALL_TIMEOUT": "500ms"})
    m.use("a")
    parked(m, "a")
    engine = m.engine("a")
    with halted(engine):
        answer = m.chat("a")
    assert answer.status == 200, answer
    assert m.engine("a") != engine
    assert "while it was parking or waking" in m.log()


# ---- the image ----

def test_nobody_finds_an_image(serve, slow_model):
    m = serve(models={"slow": slow_model})
    m.use("slow")
    engine = m.engine("slow")
    for change in (lambda: None, lambda: parked(m, "slow"), lambda: m.use("slow"), lambda: parked(m, "slow")):
        change()
        folder = images(m).stat()
        assert stat.S_IMODE(folder.st_mode) == 0o700 and folder.st_uid == os.getuid()
        assert os.listdir(images(m)) == [], "it has no name"
        (image,) = image_files(m, engine)
        status = image.stat()
        assert stat.S_IMODE(status.st_mode) == 0o600 and status.st_nlink == 0 and status.st_uid == os.getuid()
    assert image.stat().st_blocks > 0
    if os.getuid() == 0:  # only root can become another user
        other = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "cat", str(image)],
                               capture_output=True, text=True)
        assert other.returncode != 0 and "Permission denied" in other.stderr and other.stdout == "", other


@pytest.mark.parametrize("first", ["engine", "daemon"])
def test_nothing_of_an_image_is_left(serve, slow_model, first):
    m = serve(models={"slow": slow_model})
    m.use("slow")
    parked(m, "slow")
    if first == "engine":
        os.kill(m.engine("slow"), signal.SIGKILL)
        wait_until(lambda: m.state("slow") == "cold", "its death is known")
        assert os.listdir(images(m)) == []
    m.kill()
    wait_until(lambda: m.engines() == [], "no engine outlives its daemon")
    assert os.listdir(images(m)) == []
    m.process.stdout.close()
    m.start()
    m.use("slow")
    parked(m, "slow")
    assert m.chat("slow").headers["x-minerva-cache"] == "parked"


def test_parked_engines_end_with_the_daemon(serve):
    m = serve()
    m.use("a", "b")
    parked(m, "a")
    m.terminate()
    assert m.wait() == 0
    assert m.engines() == [] and os.listdir(images(m)) == []
