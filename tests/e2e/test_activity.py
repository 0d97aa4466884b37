"""GET /v1/requests shows running and ended requests; DELETE /v1/requests/{id} ends one, in each of its phases."""
import hashlib
import json
import os
import re
import signal
import socket
import subprocess

import pytest

import harness
from harness import chat_body, in_background, wait_until

LONG_PROMPT = "the cat sat on the mat " * 250
FACTS = {"id", "model", "path", "caller", "stream", "began", "prompt_tokens", "cached_tokens", "generated_tokens",
         "tokens_per_second", "seconds"}


def requests(m, **kwargs):
    answer = m.get("/v1/requests", **kwargs)
    assert answer.status == 200, answer
    for request in answer.json["in_flight"]:
        assert set(request) == FACTS | {"phase", "fraction", "place", "phase_seconds"}, request
    for request in answer.json["recent"]:
        assert set(request) == FACTS | {"status", "outcome", "wait_seconds", "first_byte_seconds"}, request
    return answer.json


def in_flight(m, phase, count=1):
    """Waits until so many requests are in that phase. Returns them, the oldest first."""
    def found():
        there = [request for request in requests(m)["in_flight"] if request["phase"] == phase]
        return there if len(there) >= count else None

    return wait_until(found, f"{count} in flight: {phase}")


def cancel(m, request):
    """A cancelled request ends once, and leaves nothing behind."""
    answer = m.delete(f"/v1/requests/{request['id']}")
    assert answer.status == 200 and answer.json == {"id": request["id"], "cancelled": True}, answer
    wait_until(lambda: all(r["id"] != request["id"] for r in requests(m)["in_flight"]), "it is in flight no more")
    assert m.delete(f"/v1/requests/{request['id']}").status == 404, "it is cancelled once"
    ended = [r for r in requests(m)["recent"] if r["id"] == request["id"]]
    assert len(ended) == 1 and ended[0]["outcome"] == "cancelled" and ended[0]["status"] == 499, ended
    return ended[0]


def is_cancelled(answer):
    assert answer.status == 499 and answer.error["code"] == "cancelled", answer
    assert "operator" in answer.error["message"]
    return True


def ends_cancelled(stream):
    """The last event of the stream says that it was cancelled, and nothing follows."""
    events = [event for event in stream.rest() if not event.startswith(":")]
    assert json.loads(events[-1])["error"]["code"] == "cancelled", events[-1]
    return True


@pytest.fixture
def slow(serve, slow_model):
    m = serve(models={"slow": slow_model})
    m.use("slow")
    return m


def test_while_it_is_received(serve):
    m = serve()
    with socket.create_connection(("127.0.0.1", m.port), harness.PATIENCE) as sock:
        sock.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{m.port}\r\n"
                     'Content-Length: 1000\r\n\r\n{"model": "a", '.encode())
        request, = in_flight(m, "receiving")
        assert request["model"] == "" and request["path"] == "/v1/chat/completions", request
        cancel(m, request)
        answer = b""
        while piece := sock.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 499 Cancelled\r\n") and b'"code":"cancelled"' in answer, answer
    assert m.loaded() == [] and m.chat("a").status == 200


def test_while_its_model_loads(serve, slow_model):
    m = serve(models={"slow": slow_model})
    opened = []
    pid = m.catch_loading("slow", lambda: opened.append(in_background(m.chat_stream, "slow")))
    stream = opened[-1].result()
    stream.heartbeat("loading")
    whole = in_background(m.chat, "slow")
    first, second = in_flight(m, "loading", 2)
    assert first["stream"] and not second["stream"] and first["model"] == "slow"
    assert 0 <= first["fraction"] <= 1 and first["place"] is None, first
    cancel(m, first)
    assert ends_cancelled(stream)
    assert not whole.done and m.view("slow")["waiting"] == 1
    cancel(m, second)
    assert is_cancelled(whole.result())
    assert m.view("slow")["waiting"] == 0
    os.kill(pid, signal.SIGCONT)
    wait_until(lambda: m.state("slow") == "hot", "the load, being paid for, goes on")


def test_while_it_waits_in_line(serve, models, slow_model):
    m = serve("--max-models", 1, models={"slow": slow_model, "a": models["a"]},
              env={"MINERVA_QUEUE_MIN_RESIDENCY": "10m"})
    busy = m.chat_stream("slow", max_tokens=4000)
    busy.token()
    waiting = [in_background(m.chat, "a")]
    in_flight(m, "waiting", 1)
    waiting.append(in_background(m.chat, "a"))
    first, second = in_flight(m, "waiting", 2)
    assert (first["place"], second["place"]) == (1, 2) and first["model"] == "a"
    ended = cancel(m, first)
    assert ended["first_byte_seconds"] is None and ended["wait_seconds"] <= ended["seconds"]
    assert is_cancelled(waiting[0].result())
    last, = in_flight(m, "waiting")
    assert last["id"] == second["id"] and last["place"] == 1
    running, = in_flight(m, "generating")
    cancel(m, running)  # the other request can run now
    assert ends_cancelled(busy)
    assert waiting[1].result().status == 200


def begin_reading(m, **more):
    """Begins a stream in the background whose prompt is being read. Returns the stream, and the request as the server
    shows it."""
    body = {"model": "slow", "prompt": LONG_PROMPT, "max_tokens": 5, "stream": True, "cache_prompt": False, **more}
    opened = in_background(m.stream, "/v1/completions", body)
    in_flight(m, "reading")
    request = wait_until(lambda: next((r for r in requests(m)["in_flight"] if r["fraction"] is not None), None),
                         "it is known how far it has read")
    assert request["phase"] == "reading", request
    return opened, request


def test_while_its_prompt_is_read(slow):
    m = slow
    opened, request = begin_reading(m)
    assert request["generated_tokens"] is None and request["stream"]
    assert 0 <= request["fraction"] < 1 and request["prompt_tokens"] > 1000 and request["cached_tokens"] < 1000, request
    ended = cancel(m, request)
    assert ended["prompt_tokens"] == request["prompt_tokens"] and ended["generated_tokens"] is None, ended
    stream = opened.result()
    if stream.status == 499:
        assert json.loads(stream.response.read())["error"]["code"] == "cancelled"
    else:  # a heartbeat came first
        assert stream.status == 200 and ends_cancelled(stream)
    wait_until(lambda: m.busy_slots("slow") == 0, "the slot is free")
    m.settle()


def test_a_response_is_read_before_it_is_generated(slow):
    opened = in_background(slow.stream, "/v1/responses", {"model": "slow", "input": LONG_PROMPT, "stream": True})
    request = wait_until(lambda: next((r for r in requests(slow)["in_flight"] if r["fraction"] is not None), None),
                         "it is known how far it has read")
    assert request["phase"] == "reading" and request["generated_tokens"] is None, request
    cancel(slow, request)
    opened.result()


def test_a_stream_says_how_far_its_prompt_is_read(slow):
    m = slow
    opened, request = begin_reading(m)
    engine = m.engine("slow")
    os.kill(engine, signal.SIGSTOP)  # then it has more to send when a heartbeat is due
    wait_until(lambda: requests(m)["in_flight"][0]["seconds"] > 2.5, "a heartbeat is due")
    assert requests(m)["in_flight"][0]["fraction"] < 1
    os.kill(engine, signal.SIGCONT)
    stream = opened.result()
    assert stream.status == 200 and stream.headers["content-type"].startswith("text/event-stream")
    assert stream.headers["x-minerva-cache"] == "hit" and "x-minerva-wait-ms" in stream.headers
    events = stream.rest()
    beats = [event for event in events if event.startswith(":")]
    assert re.fullmatch(rf": reading \d+% of {request['prompt_tokens']} tokens", beats[0]), beats
    words = [event for event in events if not event.startswith(":")]
    assert words[-1] == "[DONE]" and not any("prompt_progress" in event for event in words), words
    # A client that did not ask for progress gets none; a client that asks gets it as the engine sends it.
    asked = m.stream("/v1/completions", {"model": "slow", "prompt": "Hello", "max_tokens": 2, "stream": True,
                                         "return_progress": True})
    assert "prompt_progress" in asked.rest()[0]


def same(text):
    """The event without the members that differ between answers."""
    text = re.sub(r'"timings":\{[^}]*\}', '"timings":{}', text)
    text = re.sub(r'"(created|created_at|completed_at|id_slot|seed)":\d+', r'"\1":0', text)
    text = re.sub(r"(chatcmpl|cmpl|resp|msg|rs)[-_][A-Za-z0-9]+", "ID", text)
    return [line for line in text.split("\n") if not line.startswith(":")]


def test_a_stream_is_what_its_engine_would_have_said(serve):
    m = serve()
    m.use("a")
    argv = harness.proc_cmdline(m.engine("a"))
    socket_path = argv[argv.index("--host") + 1]
    messages = [{"role": "user", "content": "Hello there"}]
    for path, body in (("/v1/chat/completions", {"messages": messages}),
                       ("/v1/chat/completions", {"messages": messages, "stream_options": {"include_usage": True}}),
                       ("/v1/chat/completions", {"messages": messages, "n": 2}),
                       ("/v1/completions", {"prompt": "Hello there"}),
                       ("/v1/completions", {"prompt": ["Hello there", "and here"]}),
                       ("/completion", {"prompt": "Hello there"}),
                       ("/v1/responses", {"input": "Hello there"}),
                       ("/v1/messages", {"messages": messages})):
        body = {"model": "a", "stream": True, "temperature": 0, "max_tokens": 4, "cache_prompt": False, **body}
        # llama.cpp drops cache_prompt from some: the daemon says it by this header.
        private = {"Content-Type": "application/json", "x-minerva-private": "1"}
        connection = harness.UnixConnection(socket_path, harness.PATIENCE)
        connection.request("POST", path, json.dumps(body), private)
        direct = connection.getresponse().read().decode()
        connection.close()
        answer = m.post(path, body)
        assert answer.status == 200 and "prompt_progress" not in answer.body.decode(), answer
        if body.get("n", 1) == 1 and not isinstance(body.get("prompt"), list):  # of several, any may come first
            assert same(answer.body.decode()) == same(direct), path


def test_while_it_is_generated(slow):
    m = slow
    stream = m.chat_stream("slow", max_tokens=3000)
    stream.token()
    request, = in_flight(m, "generating")
    assert request["id"] == stream.headers["x-request-id"]
    wait_until(lambda: requests(m)["in_flight"][0]["generated_tokens"] > 2, "it goes on")
    assert requests(m)["in_flight"][0]["tokens_per_second"] > 0
    ended = cancel(m, request)
    assert ends_cancelled(stream)
    assert ended["generated_tokens"] > 2 and ended["tokens_per_second"] > 0, ended
    wait_until(lambda: m.busy_slots("slow") == 0, "the slot is free")

    whole = in_background(m.chat, "slow", max_tokens=3000)
    request, = in_flight(m, "generating")
    cancel(m, request)
    assert is_cancelled(whole.result())
    m.settle()
    assert m.chat("slow").status == 200


def test_each_api_is_told_in_its_own_words(slow):
    m = slow
    messages = [{"role": "user", "content": "Hello"}]
    for path, body, told in (
            ("/v1/messages", {"max_tokens": 3000, "stream": True}, '"type":"error"'),
            ("/api/chat", {"options": {"num_predict": 3000}}, '{"error":"An operator')):
        stream = m.stream(path, {"model": "slow", "messages": messages, **body})
        assert stream.line(), "it has begun"
        request, = in_flight(m, "generating")
        assert request["path"] == path
        cancel(m, request)
        lines = []
        while (line := stream.line()) is not None:
            lines.append(line)
        assert any(told in line.replace('": ', '":') for line in lines[-3:]), lines[-3:]


def test_who_takes_nothing_of_the_answer_is_not_waited_for(slow):
    m = slow
    body = json.dumps(chat_body("slow", max_tokens=3000, stream=True))
    with socket.create_connection(("127.0.0.1", m.port), harness.PATIENCE) as sock:
        sock.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{m.port}\r\n"
                     f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
        request, = in_flight(m, "generating")
        cancel(m, request)
        wait_until(lambda: m.busy_slots("slow") == 0, "the slot is free")


def test_what_ended_is_told_with_its_numbers(serve):
    m = serve()
    answer = m.chat("a", "a secret of nobody's business", max_tokens=5)
    stream = m.chat_stream("a", max_tokens=6)
    stream.rest()
    refused = m.chat("nosuch")
    m.settle()
    now = wait_until(lambda: (r := requests(m)) and len(r["recent"]) == 3 and r, "all have ended")
    assert now["in_flight"] == []
    third, second, first = now["recent"]
    usage = answer.json["usage"]
    assert first["id"] == answer.headers["x-request-id"] and first["model"] == "a" and not first["stream"]
    assert first["outcome"] == "completed" and first["status"] == 200
    assert first["prompt_tokens"] == usage["prompt_tokens"] and first["generated_tokens"] == 5
    assert 0 < first["wait_seconds"] <= first["first_byte_seconds"] <= first["seconds"]
    assert second["stream"] and second["generated_tokens"] == 6 and second["cached_tokens"] is not None
    assert third["status"] == refused.status == 404 and third["outcome"] == "failed"
    assert "secret" not in m.get("/v1/requests").body.decode()
    # A look is no use of a model.
    assert m.get("/props?model=a").status == 200
    assert len(requests(m)["recent"]) == 3


def test_the_list_is_bounded(serve):
    m = serve()
    for _ in range(205):
        assert m.chat("nosuch").status == 404
    recent = requests(m)["recent"]
    assert len(recent) == 200 and len({r["id"] for r in recent}) == 200


def test_a_key_shows_its_own_only(serve, slow_model):
    m = serve("--api-key", "mine", "--api-key", "yours", "--admin-key", "operator's", models={"slow": slow_model})
    mine, yours, operators = {"x-api-key": "mine"}, {"x-api-key": "yours"}, {"x-api-key": "operator's"}
    stream = m.stream("/v1/chat/completions", chat_body("slow", max_tokens=3000, stream=True), mine)
    stream.token()
    request, = requests(m, headers=mine)["in_flight"]
    assert requests(m, headers=yours) == {"in_flight": [], "recent": []}
    assert m.delete(f"/v1/requests/{request['id']}", headers=yours).status == 404
    assert m.delete(f"/v1/requests/{request['id']}").status == 401
    assert requests(m, headers=operators)["in_flight"][0]["id"] == request["id"]
    assert m.get("/v1/requests").status == 401
    stream.token()  # undisturbed
    assert m.delete(f"/v1/requests/{request['id']}", headers=mine).status == 200
    assert ends_cancelled(stream)
    wait_until(lambda: requests(m, headers=mine)["recent"], "it has ended")
    assert requests(m, headers=yours)["recent"] == []

    stream = m.stream("/v1/chat/completions", chat_body("slow", max_tokens=3000, stream=True), mine)
    stream.token()
    assert m.delete(f"/v1/requests/{stream.headers['x-request-id']}", headers=operators).status == 200
    assert ends_cancelled(stream)


def test_who_asks_has_a_name(serve, tmp_path):
    file = tmp_path / "keys"
    hashed = hashlib.sha256(b"of-ben").hexdigest()
    file.write_text(f"anna: of-anna\nben: sha256:{hashed}\nnameless\n")
    file.chmod(0o600)
    m = serve("--api-key-file", file, "--admin-key", "operator: of-the-operator")
    callers = lambda key: [request["caller"] for request in requests(m, headers={"x-api-key": key})["recent"]]
    for key in ("of-anna", "nameless", "of-ben", "of-the-operator", "nameless"):
        assert m.request("POST", "/v1/chat/completions", chat_body("a", max_tokens=1), {"x-api-key": key}).status == 200
    wait_until(lambda: len(callers("of-the-operator")) == 5, "they have ended")
    assert callers("of-anna") == ["anna"] and callers("of-ben") == ["ben"]
    number, = set(callers("nameless"))
    assert re.fullmatch("key [0-9]", number), number
    assert callers("of-the-operator") == [number, "operator", "ben", number, "anna"]
    everything = m.request("GET", "/v1/requests", headers={"x-api-key": "of-the-operator"}).body.decode()
    assert hashed[:8] not in everything and "of-anna" not in everything + m.log()
    top = subprocess.run([harness.MINERVA, "top", "--url", m.url, "--api-key", "of-the-operator"], capture_output=True, text=True,
                         timeout=harness.PATIENCE)
    assert top.returncode == 0 and "anna" in top.stdout and number in top.stdout, (top.stdout, top.stderr)
    # A new name takes effect at once, for new requests.
    file.write_text("berta: of-anna\nnameless\n")
    wait_until(lambda: "config reloaded: changed api_key_file" in m.log(), "it is read")
    m.request("POST", "/v1/chat/completions", chat_body("a", max_tokens=1), {"x-api-key": "of-anna"})
    wait_until(lambda: callers("of-anna") == ["berta", "anna"], "it has ended")


def test_who_needs_no_key_is_shown_by_its_address(serve):
    m = serve()
    assert m.chat("a").status == 200
    wait_until(lambda: [request["caller"] for request in requests(m)["recent"]] == ["127.0.0.1"], "it has ended")


def test_what_is_not_in_flight_cannot_be_cancelled(serve):
    m = serve()
    for name in ("req_0", "a", "x" * 200):
        answer = m.delete(f"/v1/requests/{name}")
        assert answer.status == 404 and "in flight" in answer.error["message"], answer


def test_samples_say_how_it_was(serve):
    m = serve()
    first = m.get("/v1/samples").json
    assert first["interval_seconds"] == 5 and len(first["samples"]) >= 1
    assert first["samples"][0]["models"] == {} and first["samples"][0]["used_bytes"] == 0
    m.chat("a", max_tokens=50)
    wanted = wait_until(lambda: next((s for s in m.get("/v1/samples").json["samples"] if s["tokens_per_second"]), None),
                        "a sample has the answer")
    assert set(wanted) == {"time", "budget_bytes", "used_bytes", "others_bytes", "waiting", "running",
                           "tokens_per_second", "models"}, wanted
    assert set(wanted["models"]) == {"a"} and wanted["models"]["a"]["state"] == "hot"
    assert wanted["models"]["a"]["bytes"] == wanted["used_bytes"] <= wanted["budget_bytes"]
    assert wanted["tokens_per_second"] > 0 and wanted["others_bytes"] > 0
    newer = m.get(f"/v1/samples?since={wanted['time'] - 0.5}").json["samples"]
    assert newer[0]["time"] == wanted["time"]
    assert all(s["time"] > wanted["time"] for s in m.get(f"/v1/samples?since={wanted['time']}").json["samples"])
    for since in ("abc", "-1", "nan", "1e400"):
        assert m.get(f"/v1/samples?since={since}").status == 400, since
