"""The paths that clients of llama-server and llama-swap know: each answers in the shape that it has in those
servers."""
import email.utils
import socket
import time

import pytest

import harness
from harness import chat_body
from test_route_matrix import ENDLESS, route_table


@pytest.fixture(scope="module")
def m(models):
    minerva = harness.Minerva({name: models[name] for name in ("a", "e")}).start()
    try:
        yield minerva
        minerva.stop()
    finally:
        minerva.clean()


CHAT = chat_body("a", max_tokens=2)
PROMPT = {"model": "a", "prompt": "Once", "max_tokens": 2, "n_predict": 2}
INPUT = {"model": "e", "input": "one"}
RESPONSE = {"model": "a", "input": "Hi", "max_output_tokens": 2}
MESSAGE = {"model": "a", "max_tokens": 2, "messages": [{"role": "user", "content": "Hi"}]}

# path -> the body, and a word that only this shape of answer has.
SHAPES = {
    "/v1/chat/completions": (CHAT, lambda a: a["choices"][0]["message"]),
    "/v1/chat/completions/input_tokens": (CHAT, lambda a: a["input_tokens"]),
    "/v1/completions": (PROMPT, lambda a: a["choices"][0]["text"]),
    "/completion": (PROMPT, lambda a: a["content"] and a["timings"]),
    "/v1/embeddings": (INPUT, lambda a: a["data"][0]["embedding"]),
    "/embeddings": (INPUT, lambda a: a[0]["embedding"]),
    "/v1/responses": (RESPONSE, lambda a: a["output"]),
    "/v1/responses/input_tokens": (RESPONSE, lambda a: a["input_tokens"]),
    "/v1/messages": (MESSAGE, lambda a: a["content"] and a["type"] == "message"),
    "/v1/messages/count_tokens": (MESSAGE, lambda a: a["input_tokens"]),
}


def test_each_alias_answers_as_what_it_is_another_name_of(m):
    asked = 0
    for route in route_table():
        contract = route["same_as"] or route["path"]
        if route["method"] != "POST" or contract not in SHAPES:
            continue
        body, shape = SHAPES[contract]
        answer = m.post(route["path"], body)
        assert answer.status == 200, (route, answer)
        assert shape(answer.json), (route, answer)
        asked += 1
    assert asked == len(SHAPES) + 14


def test_every_alias_means_a_path_that_is_there(m):
    table = {(route["method"], route["path"]): route for route in route_table()}
    for (method, path), route in table.items():
        if not route["same_as"]:
            continue
        meant = table[method, route["same_as"]]
        assert not meant["same_as"], "an alias of an alias"
        for key in ("meaning", "open", "takes_form", "dialect", "reach", "acts"):
            assert route[key] == meant[key], (path, key)


@pytest.mark.parametrize("path", ["/v1/chat/completions/", "//v1/chat/completions", "/v1//chat///completions//"])
def test_slashes_too_many_are_none(m, path):
    answer = m.post(path, CHAT)
    assert answer.status == 200 and answer.json["choices"], answer


def test_without_v1_it_lists_and_is_healthy(m):
    assert m.get("/models").json == m.get("/v1/models").json
    assert m.get("/v1/health").json == m.get("/health").json == m.get("/v1/health/").json


def test_errors_of_an_alias_have_the_shape_of_its_api(m):
    for path in ("/messages", "/v/messages", "/messages/count_tokens"):
        answer = m.post(path, {**MESSAGE, "model": "nosuch"})
        assert answer.status == 404 and answer.json["type"] == "error", (path, answer)
    assert m.post("/chat/completions", chat_body("nosuch")).error["code"] == "model_not_found"


def test_a_method_that_is_not_there_is_told_which_are(m):
    for method, path, allowed in (("DELETE", "/v1/models", "GET, HEAD"), ("GET", "/chat/completions", "POST"),
                                  ("PUT", "/v1/models/a", "DELETE, GET, HEAD"), ("PATCH", "/props", "GET, HEAD, POST"),
                                  ("GET", "/v1/models/a/load", "POST"), ("OPTIONS", "/health", "GET, HEAD")):
        answer = m.request(method, path)
        assert answer.status == 405 and answer.headers["allow"] == allowed, (path, answer, answer.headers)
        assert answer.error["code"] == "method_not_allowed"
    assert "allow" not in m.get("/nothing").headers


def test_every_answer_has_one_date(m):
    stream = m.chat_stream("a")
    stream.rest()
    answers = [m.get("/health"), m.get("/nothing"), m.chat("a"), m.chat("nosuch"), m.get("/props?model=a"),
               m.request("PUT", "/health"), stream]
    for answer in answers:
        date = email.utils.parsedate_to_datetime(answer.headers["date"])
        assert abs(date.timestamp() - time.time()) < harness.PATIENCE
    for request in (b"GET /health HTTP/1.1\r\nHost: x\r\nbroken\r\n\r\n", b"GET /props?model=a HTTP/1.0\r\nHost: localhost\r\n\r\n"):
        assert m.raw(request).lower().count(b"\r\ndate: ") == 1


def head(m, path):
    """Everything that comes back for a HEAD."""
    with socket.create_connection(("127.0.0.1", m.port), harness.PATIENCE) as sock:
        sock.sendall(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while piece := sock.recv(65536):
            answer += piece
    return answer


def test_head_works_where_get_does(m):
    m.use("a")
    for route in route_table():
        if route["method"] != "GET" or "{path}" in route["path"]:
            continue
        path = route["path"].replace("{id}", "a")
        if route["reach"] == 2 and path != "/metrics":
            path += "?model=a"
        got = m.get(path) if route["path"] not in ENDLESS and not route["acts"] else None
        answer = head(m, path)
        status = int(answer.split()[1])
        assert answer.endswith(b"\r\n\r\n") and answer.count(b"\r\n\r\n") == 1, (path, answer)
        assert status == (got.status if got else 200), (path, answer)


def test_words_of_routes_are_no_ids(m):
    for word in ("load", "unload", "sse", "stats"):
        assert m.get(f"/v1/models/{word}/logs").status == 400, word
        answer = m.post(f"/v1/models/{word}/load", {"model_path": "a.gguf"})
        assert answer.status == 400, (word, answer)


def test_properties_cannot_be_set(m):
    answer = m.post("/props", {"model": "a"})
    assert answer.status == 501 and answer.error["code"] == "not_supported", answer


def test_what_only_programs_of_the_operators_have_loads_nothing(m):
    before = m.cache()
    for route in route_table():
        if route["reach"] != 3:
            continue
        path = route["path"].replace("{path}", "txt2img")
        answer = m.post(path, {"model": "a", "input": "x"}) if route["method"] == "POST" else m.get(path + "?model=a")
        assert answer.status == 400 and answer.error["code"] == "unsupported", (path, answer)
        assert answer.error["param"] == "model"
    assert m.cache() == before


def test_control_is_of_a_hot_model_only(serve, models):
    m = serve(models={"a": models["a"]})
    answer = m.post("/v1/chat/completions/control", {"model": "a"})
    assert answer.status == 409 and answer.error["code"] == "model_not_loaded", answer
    assert m.state("a") == "cold"
    m.use("a")
    uses = m.view("a")["access_count"]
    assert m.post("/v1/chat/completions/control", {"model": "a"}).status != 409
    assert m.view("a")["access_count"] == uses
