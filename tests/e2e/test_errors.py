"""Every refusal: its status, its code, OpenAI's shape, and a message that says what to do."""
import json

from harness import wait_until


def refused(answer, status, code):
    assert answer.status == status, answer
    assert answer.error["code"] == code, answer
    return answer.error


def test_unknown_model(serve):
    m = serve()
    for answer in (m.chat("nosuch"), m.load("nosuch"), m.get("/v1/models/nosuch"), m.delete("/v1/models/nosuch"),
                   m.get("/props?model=nosuch"), m.post("/v1/models/nosuch/pin"), m.get("/v1/models/nosuch/logs")):
        error = refused(answer, 404, "model_not_found")
        assert error["type"] == "invalid_request_error"
        assert '"nosuch"' in error["message"] and "/v1/models" in error["message"]


def test_who_names_no_model_gets_the_default_one(serve):
    body = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
    m = serve(config='default_model = "b"\n')
    answer = m.post("/v1/chat/completions", body)
    assert answer.status == 200 and answer.json["model"] == "b", answer
    refused(m.chat("nosuch"), 404, "model_not_found")
    m = serve(config='default_model = "b"\nunknown_model = "default"\n')
    for more in ({}, {"model": "nosuch"}):
        answer = m.post("/v1/chat/completions", {**body, **more})
        assert answer.status == 200 and answer.json["model"] == "b", answer
    m = serve(config='default_model = "nosuch"\n')
    error = refused(m.post("/v1/chat/completions", body), 404, "model_not_found")
    assert "default_model" in error["message"] and '"nosuch"' in error["message"], error
    assert 'default_model is "nosuch"' in m.log()


MALFORMED = ["", "{", "[]", '"text"', '{"model": "a"', '{"model": 7}', '{"messages": []}', '{"model": "a" "stream": true}',
             "\0", '{"model": ""}']


def test_malformed_bodies(serve):
    m = serve()
    for body in MALFORMED:
        answer = m.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
        assert refused(answer, 400, "invalid_argument")["type"] == "invalid_request_error"
    assert m.loaded() == []


def test_a_bad_request_is_answered_by_the_engine_in_openai_shape(serve):
    m = serve()
    answer = m.post("/v1/chat/completions", {"model": "a", "messages": "not a list"})
    assert 400 <= answer.status < 600 and answer.error["message"], answer
    answer = m.post("/v1/embeddings", {"model": "a", "input": "x"})
    assert refused(answer, 400, "unsupported")["param"] == "model"


def test_body_too_large(serve):
    m = serve(env={"MINERVA_LIMITS_MAX_BODY": "1MiB"})
    body = json.dumps({"model": "a", "content": "x" * (1 << 20)})
    refused(m.request("POST", "/tokenize", body, {"Content-Type": "application/json"}), 413, "body_too_large")
    # Without a length ahead: the bytes are counted as they come.
    pieces = (body[i:i + 65536].encode() for i in range(0, len(body), 65536))
    try:
        answer = m.request("POST", "/tokenize", pieces, {"Content-Type": "application/json"})
        refused(answer, 413, "body_too_large")
    except (BrokenPipeError, ConnectionResetError):
        pass  # the server answered and closed before everything was sent
    assert m.post("/tokenize", {"model": "a", "content": "x" * (1 << 19)}).status == 200


def test_headers_too_large(serve):
    m = serve()
    answer = m.raw(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * (1 << 20) + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 431 "), answer[:200]


def test_not_http(serve):
    m = serve()
    answer = m.raw(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 "), answer[:200]
    assert m.get("/health").status == 200


def test_wrong_route_and_method(serve):
    m = serve()
    for path in ("/v1", "/v1/nothing", "/v1/stream/x", "/slots/0"):
        refused(m.post(path, {"model": "a"}), 404, "route_not_found")
    for path in ("/tools", "/cors-proxy"):
        refused(m.post(path, {"model": "a"}), 403, "forbidden")
    refused(m.post("/"), 405, "method_not_allowed")
    refused(m.get("/v1/chat/completions"), 405, "method_not_allowed")
    refused(m.post("/v1/models"), 405, "method_not_allowed")
    refused(m.request("PUT", "/v1/models/a"), 405, "method_not_allowed")
    refused(m.get("/v1/models/a/load"), 405, "method_not_allowed")
    refused(m.request("PATCH", "/health"), 405, "method_not_allowed")


def test_wrong_parameters(serve):
    m = serve()
    for answer in (m.load("a", "?force=perhaps"), m.load("a", "?wait=%zz"), m.get("/v1/models/a/logs?tail=-1"),
                   m.post("/v1/models/a/load", [1]), m.post("/v1/models/a/load", {"model_path": 7}),
                   m.post("/v1/models/a/load", {"model_path": None}), m.get("/v1/decisions?model=")):
        assert answer.status == 400 and answer.error["message"], answer
    assert m.loaded() == []


def test_a_full_queue_says_when_to_come_back(serve, slow_model, models):
    m = serve("--max-models", 1, models={"slow": slow_model, "a": models["a"]},
              env={"MINERVA_QUEUE_MAX_PER_MODEL": "1", "MINERVA_QUEUE_MIN_RESIDENCY": "1h"})
    busy = m.chat_stream("slow", max_tokens=3000)
    busy.token()
    waiting = m.connect()
    waiting.request("POST", "/tokenize", json.dumps({"model": "a", "content": "x"}),
                    {"Content-Type": "application/json"})
    wait_until(lambda: (m.view("a") or {}).get("waiting"), "one request waits")
    answer = m.post("/tokenize", {"model": "a", "content": "x"})
    refused(answer, 429, "queue_full")
    assert int(answer.headers["retry-after"]) >= 1
    busy.drop()  # makes room
    response = waiting.getresponse()
    assert response.status == 200, response.read()
    waiting.close()


def test_waiting_has_an_end(serve, slow_model, models):
    m = serve("--max-models", 1, models={"slow": slow_model, "a": models["a"]},
              env={"MINERVA_QUEUE_MAX_WAIT": "300ms", "MINERVA_QUEUE_MIN_RESIDENCY": "1h"})
    assert m.load("a").status == 200  # so that its metadata are known
    assert m.load("a", "?dry_run=true").status == 200  # so that it need not wait for its inspection
    assert m.load("slow").status == 200  # before, since a load may take long
    busy = m.chat_stream("slow", max_tokens=3000)
    busy.token()
    answer = m.post("/tokenize", {"model": "a", "content": "x"})
    error = refused(answer, 503, "no_capacity")
    assert int(answer.headers["retry-after"]) >= 1
    assert "slow" in error["message"], error
    busy.drop()
