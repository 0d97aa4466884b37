"""The way of a request to an engine and back: routing, relaying, headers."""
import json

from harness import chat_body


def test_each_route_reaches_the_model(serve):
    m = serve()
    chat = m.chat("a", max_tokens=3)
    assert chat.status == 200 and chat.json["choices"][0]["message"]["content"], chat
    assert chat.json["usage"]["completion_tokens"] == 3

    completion = m.post("/v1/completions", {"model": "a", "prompt": "Once", "max_tokens": 3})
    assert completion.status == 200 and completion.json["choices"][0]["text"], completion

    tokens = m.post("/tokenize", {"model": "a", "content": "Hello world"}).json["tokens"]
    assert len(tokens) >= 2
    assert m.post("/detokenize", {"model": "a", "tokens": tokens}).json["content"].strip() == "Hello world"

    prompt = m.post("/apply-template", chat_body("a", "Hi"))
    assert "<|im_start|>user\nHi" in prompt.json["prompt"], prompt

    embedding = m.post("/v1/embeddings", {"model": "e", "input": ["one", "two"]})
    assert embedding.status == 200 and len(embedding.json["data"]) == 2, embedding
    assert len(embedding.json["data"][0]["embedding"]) == 64

    assert m.get("/props?model=a").json["total_slots"] >= 1
    assert len(m.get("/slots?model=a").json) >= 1
    count = m.post("/v1/chat/completions/input_tokens", chat_body("a"))
    assert count.status == 200 and count.json["input_tokens"] > 0, count

    message = m.post("/v1/messages", {"model": "a", "max_tokens": 3, "messages": [{"role": "user", "content": "Hi"}]})
    assert message.status == 200 and message.json["type"] == "message", message
    response = m.post("/v1/responses", {"model": "a", "max_output_tokens": 3, "input": "Hi"})
    assert response.status == 200 and response.json["object"] == "response", response


def test_headers_tell_what_happened(serve):
    m = serve()
    first = m.chat("a")
    assert first.headers["x-minerva-cache"] == "miss" and first.headers["x-minerva-model"] == "a"
    assert int(first.headers["x-minerva-wait-ms"]) > 0
    second = m.chat("a")
    assert second.headers["x-minerva-cache"] == "hit"
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    for name in second.headers:
        assert not name.startswith("access-control-"), second.headers
    assert "server" not in second.headers


def test_a_stream_is_relayed_event_by_event(serve):
    m = serve()
    whole = m.chat("a", max_tokens=20).json["choices"][0]["message"]["content"]
    stream = m.chat_stream("a", max_tokens=20)
    assert stream.status == 200 and stream.headers["content-type"].startswith("text/event-stream")
    events = stream.rest()
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    text = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])
    assert text == whole
    assert len(chunks) >= 20


def test_the_model_may_come_last(serve):
    m = serve()
    body = '{"content": "x", "nested": {"model": "nosuch"}, "list": [{"model": "nosuch"}], "model": "a"}'
    answer = m.request("POST", "/tokenize", body, {"Content-Type": "application/json"})
    assert answer.status == 200 and answer.headers["x-minerva-model"] == "a", answer


def test_a_large_body_whose_model_comes_last(serve):
    m = serve()
    words = "hello " * 500_000  # 3 MB: streamed through, and not read ahead as a whole
    for body in (json.dumps({"model": "a", "content": words}), json.dumps({"content": words, "model": "a"})):
        answer = m.request("POST", "/tokenize", body, {"Content-Type": "application/json"})
        assert answer.status == 200, answer
        assert len(answer.json["tokens"]) >= 500_000


def test_a_body_in_chunks(serve):
    m = serve()
    pieces = [b'{"content": "Hello', b' world", "mod', b'el": "a"}']
    # The length is unknown, so http.client sends the body in chunks.
    answer = m.request("POST", "/tokenize", iter(pieces), {"Content-Type": "application/json"})
    assert answer.status == 200, answer
    assert answer.json == m.post("/tokenize", {"model": "a", "content": "Hello world"}).json


def test_one_connection_serves_many_requests_and_models(serve):
    m = serve()
    connection = m.connect()
    try:
        for model in ["a", "b"] * 20:
            body = json.dumps({"model": model, "content": "Hello"})
            connection.request("POST", "/tokenize", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            assert response.status == 200 and response.headers["x-minerva-model"] == model
            response.read()
            sock = connection.sock
            assert sock is not None, "the connection was not kept"
    finally:
        connection.close()


def test_more_requests_than_an_engine_takes_on_one_connection(serve):
    m = serve()
    for _ in range(250):
        assert m.post("/tokenize", {"model": "a", "content": "x"}).status == 200


def test_an_alias_names_the_model(serve, models):
    m = serve(config='[model."a"]\npath = "a.gguf"\naliases = ["gpt-4o-mini"]\n')
    answer = m.chat("gpt-4o-mini")
    assert answer.status == 200 and answer.headers["x-minerva-model"] == "a", answer
    assert m.get("/v1/models/gpt-4o-mini").json["id"] == "a"


def test_health_and_metrics(serve):
    m = serve()
    assert m.get("/health").status == 200
    assert m.get("/ready").status == 200
    m.use("a", "a")
    metrics = m.get("/metrics")
    assert metrics.status == 200 and metrics.headers["content-type"].startswith("text/plain")
    lines = metrics.body.decode().splitlines()
    values = {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if line and line[0] != "#"}
    assert all(name.startswith("minerva_") for name in values), values
    assert sum(v for name, v in values.items() if "hits" in name) == 1, values
    assert sum(v for name, v in values.items() if "misses" in name) == 1, values
