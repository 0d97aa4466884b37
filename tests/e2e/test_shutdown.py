"""SIGTERM drains the server: running requests may finish, new ones are refused, and the exit code is 0."""
import http.client
import os
import signal

import pytest

from harness import in_background, wait_until


def test_idle(serve):
    m = serve()
    m.use("a", "b")
    m.terminate()
    assert m.wait() == 0
    assert m.engines() == []


def test_a_running_stream_finishes(serve, slow_model):
    m = serve(models={"slow": slow_model})
    stream = m.chat_stream("slow", max_tokens=40)
    stream.token()
    m.terminate()
    assert stream.rest()[-1] == "[DONE]"
    assert m.wait() == 0
    assert m.engines() == []


def test_nothing_new_begins(serve, slow_model, models):
    m = serve(models={"slow": slow_model, "a": models["a"]})
    stream = m.chat_stream("slow", max_tokens=-1)  # until the context is full
    stream.token()
    m.terminate()
    wait_until(lambda: m.get("/ready").status == 503, "it says that it is not ready")
    assert m.get("/health").status == 200
    for answer in (m.get("/ready"), m.chat("slow"), m.chat("a"), m.load("a")):
        assert answer.status == 503 and answer.error["code"] == "draining", answer
        assert int(answer.headers["retry-after"]) >= 1
    stream.token()
    stream.drop()
    assert m.wait() == 0
    with pytest.raises(ConnectionError):
        m.get("/health")


def test_a_stream_that_takes_too_long_is_ended(serve, slow_model):
    m = serve(models={"slow": slow_model}, env={"MINERVA_LIMITS_DRAIN_TIMEOUT": "200ms"})
    stream = m.chat_stream("slow", max_tokens=4000)
    stream.token()
    m.terminate()
    try:
        events = stream.rest()
        assert '"error"' in events[-1], events[-1]
    except (http.client.IncompleteRead, ConnectionError):
        pass
    assert m.wait() == 0
    assert m.engines() == []


def test_during_a_load(serve, slow_model):
    m = serve(models={"slow": slow_model})
    calls = []
    m.catch_loading("slow", lambda: calls.append(in_background(m.chat, "slow")))
    m.terminate()
    answer = calls[-1].result()
    assert answer.status == 503 and answer.error["code"] == "draining", answer
    assert int(answer.headers["retry-after"]) >= 1
    assert m.wait() == 0
    assert m.engines() == []


@pytest.mark.parametrize("signals", [1, 2])
def test_an_engine_that_does_not_react_is_killed(serve, signals):
    m = serve(env={"MINERVA_LIMITS_STOP_GRACE": "200ms"})
    m.use("a")
    os.kill(m.engine("a"), signal.SIGSTOP)
    for _ in range(signals):
        m.terminate()
    assert m.wait() == 0
    wait_until(lambda: m.engines() == [], "no engine is left")
