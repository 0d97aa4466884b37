"""/upstream/{id}/{path}: an engine by itself, and routes that only command engines have."""
import json

import pytest

from test_command_engines import entry
from test_route_matrix import route_table


@pytest.fixture
def m(serve, models):
    """`m` and `org/m` have command engines; `org` and `a` have llama.cpp's."""
    config = (entry("m", more='default_for = ["/sdapi/v1"]') + entry("org/m") +
              '[model.org]\npath = "b.gguf"\naliases = ["org/m/alias"]\n')
    return serve(models={name: models[name] for name in ("a", "b")}, config=config)


def test_everything_of_a_program_is_there(m):
    for method in ("GET", "DELETE"):
        answer = m.request(method, "/upstream/m/any//path/?q=1&model=x")
        assert answer.status == 200 and answer.headers["x-minerva-model"] == "m", answer
        assert answer.json["method"] == method and answer.json["path"] == "/any//path/?q=1&model=x", answer
    for method in ("POST", "PUT", "PATCH"):
        answer = m.request(method, "/upstream/m/x", {"model": "nosuch", "n": 1})
        assert answer.json["path"] == "/x" and json.loads(answer.json["body"]) == {"model": "nosuch", "n": 1}, answer
    assert m.get("/upstream/m").json["path"] == m.get("/upstream/m/").json["path"] == "/"
    assert m.loaded() == ["m"]


def test_the_longest_known_id_wins(m):
    assert m.get("/upstream/org/m/x").headers["x-minerva-model"] == "org/m"
    assert m.get("/upstream/org%2Fm/x").json["path"] == "/x"
    answer = m.get("/upstream/org/m/alias/health")
    assert answer.status == 200 and answer.headers["x-minerva-model"] == "org", answer
    assert m.get("/upstream/org/health").headers["x-minerva-model"] == "org"
    for path in ("nosuch/x", "", "/m/x", "%zz/x", "%2e%2e/x", "a" * 4000, "a/" * 4000):
        if path == "a/" * 4000:  # the first is the model's name; the rest is no route of it
            assert m.get("/upstream/" + path).error["code"] == "route_not_found"
            continue
        assert m.get("/upstream/" + path).error["code"] == "model_not_found", path


def test_a_lease_like_any_other(m):
    assert m.get("/upstream/m/x").headers["x-minerva-cache"] == "miss"
    assert m.get("/upstream/m/x").headers["x-minerva-cache"] == "hit"
    assert m.view("m")["access_count"] == 2


def test_a_program_takes_bodies_of_any_type_and_json_within_its_limits(m):
    raw = m.post("/upstream/m/x", bytes(range(256)) * 8192, headers={"Content-Type": "application/octet-stream"})
    assert raw.status == 200 and raw.json["bytes"] == 256 * 8192, raw
    for kind in ("application/json", "application/vnd.x+json", None):
        headers = {"Content-Type": kind} if kind else {}
        answer = m.post("/upstream/m/x", '{"n": 1000000}', headers=headers)
        assert answer.status == 400 and answer.error["param"] == "n", (kind, answer)


def test_redirects_come_through_and_cookies_and_websockets_do_not(m):
    answer = m.get("/upstream/m/redirect", headers={"Cookie": "minerva_session=secret"})
    assert answer.status == 302 and answer.headers["location"] == "/elsewhere", answer
    assert answer.headers["x-seen-cookie"] == "none" and "set-cookie" not in answer.headers, answer.headers
    answer = m.get("/upstream/m/x", headers={"Connection": "Upgrade", "Upgrade": "websocket",
                                             "Sec-WebSocket-Key": "x", "Sec-WebSocket-Version": "13"})
    assert answer.status == 501 and answer.error["code"] == "not_supported", answer


def test_of_llama_cpps_server_what_has_a_route_here(m):
    chat = m.post("/upstream/a/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2})
    assert chat.status == 200 and chat.json["choices"], chat
    assert m.get("/upstream/a/props").json["default_generation_settings"]["params"]
    assert m.get("/upstream/a//slots/").status == 200
    wrong = m.post("/upstream/a/v1/messages", {"model": "a"})
    assert wrong.status >= 400 and wrong.json["type"] == "error", wrong
    uses = m.view("a")["access_count"]
    for method, path in (("POST", "/props"), ("POST", "/slots/0?action=save"), ("GET", "/v1/stream"),
                         ("DELETE", "/v1/stream"), ("POST", "/v1/streams/lookup"), ("GET", "/tools"), ("POST", "/tools"),
                         ("GET", "/cors-proxy"), ("POST", "/cors-proxy"), ("POST", "/models/load"), ("GET", "/"),
                         ("GET", "/index.html"), ("POST", "/%70rops"), ("POST", "/x/../props"), ("PUT", "/v1/models"),
                         ("POST", "/slots/../props"), ("POST", "/v1/audio/speech"), ("GET", "/v1/stats")):
        answer = m.request(method, "/upstream/a" + path, {"x": 1} if method != "GET" else None)
        assert answer.status == 404 and answer.error["code"] == "route_not_found", (method, path, answer)
    limited = m.post("/upstream/a/completion", '{"prompt": "x", "n": 1000000}', headers={"Content-Type": "text/plain"})
    assert limited.status == 400 and limited.error["param"] == "n", limited
    assert m.view("a")["access_count"] == uses


def test_routes_of_programs_go_where_they_are_told(m):
    for route in route_table():
        if route["reach"] != 3:
            continue
        path = route["path"].replace("{path}", "txt2img/x")
        if route["method"] == "GET":
            answer = m.get(path + "?model=m&x=1")
            assert answer.json["path"] == path + "?x=1", (path, answer)
            continue
        answer = m.post(path, {"model": "org/m", "input": "x"})
        assert answer.status == 200 and answer.headers["x-minerva-model"] == "org/m", (path, answer)
        assert answer.json["path"] == path
        form = ("--x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n"
                "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\nbytes\r\n--x--\r\n")
        answer = m.post(path, form, headers={"Content-Type": "multipart/form-data; boundary=x"})
        assert answer.status == 200 and answer.headers["x-minerva-model"] == "m", (path, answer)


def test_who_names_no_model_gets_the_paths_default(m):
    assert m.get("/sdapi/v1/sd-models").headers["x-minerva-model"] == "m"
    assert m.post("/sdapi/v1/txt2img", {"prompt": "x"}).headers["x-minerva-model"] == "m"
    assert m.post("/v1/images/generations", {"prompt": "x"}).status == 400
