"""Engines and daemons that die: only what they were doing is lost."""
import http.client
import os
import signal
import time

from harness import figures, in_background, wait_until

LONG_PROMPT = "the cat sat on the mat " * 500  # about 3,500 tokens


def broken_off(stream):
    """Reads a stream to its end. Returns "cut" if the connection broke, else the last event."""
    try:
        events = stream.rest()
    except (http.client.IncompleteRead, ConnectionError):
        return "cut"
    return events[-1] if events else ""


def kill_in_prefill(m, before=()):
    """Waits until an engine has the long prompt to read, and kills it. Returns its process id."""
    pid = wait_until(lambda: [p for p in m.engines("slow") if p not in before], "an engine appears")[0]
    wait_until(lambda: (m.view("slow") or {"leases": 0})["leases"] == 1, "the engine has the request")
    os.kill(pid, signal.SIGKILL)
    return pid


def test_killed_while_loading(serve, slow_model, models):
    m = serve(models={"slow": slow_model, "a": models["a"]})
    m.use("a")
    calls = []
    pid = m.catch_loading("slow", lambda: calls.append(in_background(m.chat, "slow")))
    died = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    answer = calls[-1].result()
    figures.append(("engine killed while loading: until the answer of another one", time.monotonic() - died))
    assert answer.status == 200, answer
    assert m.engine("slow") != pid
    assert m.chat("a").headers["x-minerva-cache"] == "hit"


def test_killed_in_prefill(serve, slow_model, models):
    m = serve(models={"slow": slow_model, "a": models["a"]})
    m.use("slow", "a")
    call = in_background(m.chat, "slow", LONG_PROMPT)
    died = time.monotonic()
    kill_in_prefill(m)
    answer = call.result()
    figures.append(("engine killed in prefill: until the answer of another one", time.monotonic() - died))
    assert answer.status == 200, answer
    assert m.chat("a").headers["x-minerva-cache"] == "hit"
    assert m.cache()["misses"] == 2, "a request that is tried again is one request"


def test_killed_in_prefill_while_a_stream_had_only_heartbeats(serve, slow_model):
    m = serve(models={"slow": slow_model})
    opened = []
    pid = m.catch_loading("slow", lambda: opened.append(in_background(m.chat_stream, "slow", LONG_PROMPT)))
    stream = opened[-1].result()
    stream.heartbeat("loading")
    os.kill(pid, signal.SIGCONT)
    kill_in_prefill(m)
    events = [event for event in stream.rest() if not event.startswith(":")]
    assert len(events) > 1 and events[-1] == "[DONE]", events


def test_never_a_third_engine(serve, slow_model):
    m = serve(models={"slow": slow_model})
    m.use("slow")
    call = in_background(m.chat, "slow", LONG_PROMPT)
    first = kill_in_prefill(m)
    kill_in_prefill(m, before=[first])
    answer = call.result()
    assert answer.status == 502 and answer.error["code"] == "engine_crashed", answer
    assert "slow" in answer.error["message"] and "signal 9" in answer.error["message"]
    assert m.state("slow") == "quarantined"
    assert m.view("slow")["breaker"] == "open" and m.view("slow")["tried_again_in_s"] > 0
    accounts = {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
                for line in m.get("/metrics").body.decode().splitlines() if not line.startswith("#")}
    ended = {outcome: accounts['minerva_requests_ended_total{outcome="%s"}' % outcome]
             for outcome in ("completed", "failed", "shed", "cancelled")}
    assert ended["failed"] == 1, ended
    assert accounts["minerva_requests_accepted_total"] == sum(ended.values()) + accounts["minerva_requests_open"]
    # After the pause one request tries the model, and all is well again.
    wait_until(lambda: m.chat("slow").status == 200, "it is tried again")
    assert m.view("slow")["breaker"] == "closed"


def test_killed_mid_stream(serve, slow_model, models):
    m = serve(models={"slow": slow_model, "other": slow_model, "a": models["a"]})
    doomed = m.chat_stream("slow", max_tokens=3000)
    other = m.chat_stream("other", max_tokens=20)
    doomed.token()
    other.token()
    died = time.monotonic()
    os.kill(m.engine("slow"), signal.SIGKILL)
    last = broken_off(doomed)
    figures.append(("engine killed mid-stream: until the client knew", time.monotonic() - died))
    assert last == "cut" or '"engine_crashed"' in last, last
    assert other.rest()[-1] == "[DONE]", "another model's stream was disturbed"
    answer = m.chat("slow")
    assert answer.status == 200 and answer.headers["x-minerva-cache"] == "miss", answer


def test_an_idle_engine_that_dies_is_noticed(serve):
    m = serve()
    m.use("a")
    os.kill(m.engine("a"), signal.SIGKILL)
    wait_until(lambda: m.loaded() == [], "its death is known")
    assert m.stats()["estimated_memory_mb"] == 0
    assert m.chat("a").status == 200


def test_a_request_behind_a_dying_engine_is_answered(serve):
    m = serve()
    for _ in range(5):
        m.use("a")
        os.kill(m.engine("a"), signal.SIGKILL)
        answer = m.chat("a")  # the engine may still be listed, or be gone
        assert answer.status == 200, answer


def test_an_engine_that_always_dies_is_held_back(serve, slow_model):
    m = serve(models={"slow": slow_model})
    for _ in range(2):
        calls = []
        pid = m.catch_loading("slow", lambda: calls.append(in_background(m.load, "slow")))
        os.kill(pid, signal.SIGKILL)
        assert calls[-1].result().status == 502
    assert m.state("slow") == "quarantined"
    answer = m.chat("slow")
    assert answer.status == 503 and answer.error["code"] == "model_quarantined", answer
    assert int(answer.headers["retry-after"]) >= 1
    assert m.engines("slow") == []
    assert m.get("/v1/models/slow").json["last_error"]["code"] == "engine_crashed"


def test_no_engine_outlives_a_killed_daemon(serve, slow_model, models):
    m = serve(models={"slow": slow_model, "a": models["a"], "b": models["b"]})
    m.use("a", "b")
    stream = m.chat_stream("slow", max_tokens=3000)
    stream.token()
    assert len(m.engines()) == 3
    died = time.monotonic()
    m.kill()
    wait_until(lambda: m.engines() == [], "every engine is gone")
    figures.append(("daemon killed: until no engine was left", time.monotonic() - died))
    assert broken_off(stream) == "cut"


def test_no_engine_outlives_a_daemon_killed_during_a_load(serve, slow_model):
    m = serve(models={"slow": slow_model})
    m.load("slow", "?wait=false")
    wait_until(lambda: m.engines("slow"), "the engine appears")
    m.kill()
    wait_until(lambda: m.engines() == [], "every engine is gone")


def test_a_daemon_starts_after_one_that_was_killed(serve):
    m = serve()
    m.use("a")
    m.kill()
    wait_until(lambda: m.engines() == [], "every engine is gone")
    m.process.stdout.close()
    m.start()
    m.use("a")
