"""Engines that are alive but do nothing (stopped by a signal) are killed. Only what they were doing is lost."""
import http.client
import os
import signal

import pytest

from harness import in_background, wait_until

LONG_PROMPT = "the cat sat on the mat " * 500  # about 3,500 tokens


@pytest.fixture
def watched(serve, slow_model, models):
    # Long enough that an engine on a busy machine makes some progress in between.
    return serve(models={"slow": slow_model, "a": models["a"]}, env={"MINERVA_LIMITS_STALL_TIMEOUT": "3s"})


def stop(m):
    pid = m.engine("slow")
    os.kill(pid, signal.SIGSTOP)
    return pid


def check_replaced(m, pid):
    assert m.engine("slow") != pid
    log = m.get("/v1/models/slow/logs?tail=1000").body.decode()
    assert "made no progress" in log and "): T" in log, log


def test_stopped_while_loading(watched):
    calls = []
    pid = watched.catch_loading("slow", lambda: calls.append(in_background(watched.chat, "slow")))
    assert calls[-1].result().status == 200
    check_replaced(watched, pid)


def test_stopped_while_idle(watched):
    watched.use("slow")
    pid = stop(watched)
    assert watched.chat("slow").status == 200
    check_replaced(watched, pid)


def test_stopped_in_prefill(watched):
    watched.use("slow")
    call = in_background(watched.chat, "slow", LONG_PROMPT)
    wait_until(lambda: watched.busy_slots("slow") == 1, "the prompt is being processed")
    pid = stop(watched)
    assert call.result().status == 200
    check_replaced(watched, pid)


def test_stopped_mid_stream(watched):
    stream = watched.chat_stream("slow", max_tokens=3000)
    stream.token()
    pid = stop(watched)
    assert watched.chat("a").status == 200, "another model was disturbed"
    try:
        last = stream.rest()[-1]
    except (http.client.IncompleteRead, ConnectionError):
        last = "cut"
    assert last == "cut" or '"engine_timeout"' in last, last
    assert watched.chat("slow").status == 200
    check_replaced(watched, pid)


def test_stopped_and_loaded_by_an_operator(watched):
    calls = []
    watched.catch_loading("slow", lambda: calls.append(in_background(watched.load, "slow")))
    answer = calls[-1].result()
    assert answer.status == 504 and answer.error["code"] == "engine_timeout", answer
    assert "made no progress" in answer.error["message"]
