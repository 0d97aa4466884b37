"""What a client sees while its model loads."""
import os
import signal

from harness import in_background, wait_until


def test_a_stream_gets_heartbeats_while_its_model_loads(serve, slow_model):
    m = serve(models={"slow": slow_model})
    opened = []
    pid = m.catch_loading("slow", lambda: opened.append(in_background(m.chat_stream, "slow", max_tokens=3)))
    stream = opened[-1].result()
    assert stream.status == 200 and stream.headers["content-type"].startswith("text/event-stream")
    for _ in range(2):
        stream.heartbeat("loading")
    assert m.view("slow")["state"] == "loading" and m.view("slow")["waiting"] == 1
    os.kill(pid, signal.SIGCONT)
    events = [event for event in stream.rest() if not event.startswith(":")]
    assert len(events) > 1 and events[-1] == "[DONE]"


def test_a_late_refusal_arrives_as_an_event(serve, slow_model):
    m = serve(models={"slow": slow_model})
    opened = []
    pid = m.catch_loading("slow", lambda: opened.append(in_background(m.chat_stream, "slow", max_tokens=3)))
    stream = opened[-1].result()
    stream.heartbeat("loading")
    m.fail_load("slow", pid)
    events = [event for event in stream.rest() if not event.startswith(":")]
    assert len(events) == 1 and '"code":"engine_crashed"' in events[0].replace(" ", ""), events


def test_requests_join_the_load_under_way(serve, slow_model):
    m = serve(models={"slow": slow_model})
    calls = []
    pid = m.catch_loading("slow", lambda: calls.append(in_background(m.chat, "slow")))
    before = m.cache()["misses"]
    more = [in_background(m.chat, "slow") for _ in range(3)]
    wait_until(lambda: m.view("slow")["waiting"] == 4, "all wait")
    os.kill(pid, signal.SIGCONT)
    for call in [calls[-1], *more]:
        answer = call.result()
        assert answer.status == 200 and answer.headers["x-minerva-cache"] == "miss", answer
    assert m.engine("slow") == pid
    assert m.cache()["misses"] == before + 3


def test_who_leaves_the_queue_is_forgotten_at_once(serve, slow_model):
    m = serve(models={"slow": slow_model})
    pid = m.catch_loading("slow", lambda: m.load("slow", "?wait=false"))
    connection = m.connect()
    body, headers = m.encode({"model": "slow", "content": "x"}, {})
    connection.request("POST", "/tokenize", body, headers)
    wait_until(lambda: m.view("slow")["waiting"] == 1, "it waits; the load is no request")
    connection.close()
    wait_until(lambda: m.view("slow")["waiting"] == 0, "it left the queue")
    os.kill(pid, signal.SIGCONT)
    wait_until(lambda: m.state("slow") == "hot", "the load, being paid for, goes on")


def test_a_load_shows_its_progress(serve, slow_model):
    m = serve(models={"slow": slow_model})
    streams = []

    def begin():
        in_background(lambda: streams.append(
            m.stream("/v1/models/slow/load", None, {"Accept": "text/event-stream"})))

    pid = m.catch_loading("slow", begin)
    wait_until(lambda: streams, "the answer has begun")
    stream = streams[-1]
    assert stream.status == 200
    stream.heartbeat("loading")
    os.kill(pid, signal.SIGCONT)
    events = [event for event in stream.rest() if not event.startswith(":")]
    assert len(events) == 1 and '"success":true' in events[0].replace(" ", ""), events
    assert m.state("slow") == "hot"


def test_a_busy_model_makes_room_for_another(serve, models, slow_model):
    m = serve("--max-models", 1, models={"slow": slow_model, "a": models["a"]},
              env={"MINERVA_QUEUE_MIN_RESIDENCY": "100ms"})
    stream = m.chat_stream("slow", max_tokens=60)
    stream.token()
    other = in_background(m.chat, "a")
    assert stream.rest()[-1] == "[DONE]", "it was cut off by a switch"
    assert other.result().status == 200
    assert m.loaded() == ["a"]
