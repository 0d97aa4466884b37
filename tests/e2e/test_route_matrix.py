"""Every route of the route table x key x Host x Origin x content type: which requests are let in. A new route in the table
is covered at once."""
import itertools
import json
import subprocess

import pytest

import harness

KEY = "the-right-key"


def route_table():
    done = subprocess.run([harness.MINERVA.parent / "route_table"], capture_output=True, text=True, check=True,
                          timeout=harness.PATIENCE)
    return [json.loads(line) for line in done.stdout.splitlines()]


ALLOWED = "http://localhost:5173"  # of limits.allowed_origins
KEYS = {"none": {}, "wrong": {"Authorization": "Bearer wrong"}, "right": {"Authorization": f"Bearer {KEY}"},
        "x-api-key": {"x-api-key": KEY}}
HOSTS = {"own": None, "rebound": "rebound.example"}
ORIGINS = {"none": {}, "own": "own", "foreign": {"Origin": "http://evil.example"}, "opaque": {"Origin": "null"},
           "allowed": {"Origin": ALLOWED, "Sec-Fetch-Site": "same-site"}, "image": {"Sec-Fetch-Site": "cross-site"},
           "link": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}}
TYPES = {"json": "application/json", "text": "text/plain", "form": "application/x-www-form-urlencoded",
         "upload": "multipart/form-data; boundary=x", "none": None}


REFUSED = ("/tools", "/cors-proxy")  # refused to everybody
ENDLESS = ("/v1/events", "/models/sse", "/logs/stream", "/logs/stream/{id}")  # streams


def expected(route, key, host, origin, content_type):
    """The status of a refusal; None if the request is let in."""
    loads = route["reach"] not in (0, 2)
    may_be_linked = route["method"] == "GET" and not loads and not route["acts"]
    if host == "rebound" or origin in ("foreign", "opaque", "image") or (origin == "link" and not may_be_linked):
        return 403
    if route["acts"] and origin in ("allowed", "link"):
        return 403
    if key in ("none", "wrong") and not route["open"]:
        return 401
    from_page_with_body = origin in ("own", "allowed") and route["method"] != "GET"
    allowed = ("json", "upload") if route["takes_form"] else ("json",)
    if from_page_with_body and content_type not in allowed:
        return 403
    if route["path"] in REFUSED:
        return 403
    return None


def address(route):
    if route["path"] == "/chat/{path}":  # what is no file of the web UI is routed as if /chat were not there
        return "/chat/index.html"
    if route["path"] == "/page/{path}":
        return "/page/main.js"
    return route["path"].replace("{id}", "nosuch").replace("{path}", "x")


def cases(route, number):
    """Every key, host and origin with each route. Each content type meets every value of the others over all routes, and all
    content types are tried where they decide."""
    types = ["none"] if route["method"] == "GET" else list(TYPES)
    for at, (key, host, origin) in enumerate(itertools.product(KEYS, HOSTS, ORIGINS)):
        decides = key == "right" and host == "own" and origin in ("none", "own", "allowed")
        for content_type in types if decides else [types[(number + at) % len(types)]]:
            yield route, key, host, origin, content_type


def send(m, connection, route, key, host, origin, content_type):
    headers = dict(KEYS[key])
    own = f"127.0.0.1:{m.port}"
    headers["Host"] = HOSTS[host] or own
    headers.update({"Origin": f"http://{headers['Host']}"} if ORIGINS[origin] == "own" else ORIGINS[origin])
    body = None
    if route["method"] != "GET":
        body = "{"  # broken for every route that reads it, so that nothing is loaded
        if TYPES[content_type]:
            headers["Content-Type"] = TYPES[content_type]
    connection.request(route["method"], address(route), body, headers)
    response = connection.getresponse()
    endless = response.status == 200 and route["path"].startswith("/logs/stream")
    if endless or response.getheader("content-type") == "text/event-stream":  # let in
        connection.close()
        return harness.Answer(response.status, response.getheaders(), b"")
    return harness.Answer(response.status, response.getheaders(), response.read())


@pytest.fixture
def m(serve, tmp_path):
    (tmp_path / "index.html").write_text("the web UI")
    return serve("--api-key", KEY, "--admin-key", KEY, "--ui-dir", tmp_path, config='[limits]\nallowed_origins = ["http://localhost:*"]\n')


def test_the_matrix(m):
    table = route_table()
    assert len(table) > 20
    assert [(route["method"], route["path"]) for route in table if route["open"]] == [
        ("GET", "/health"), ("GET", "/v1/health"), ("GET", "/chat"), ("GET", "/chat/"), ("GET", "/chat/{path}"), ("GET", "/"),
        ("GET", "/v1/session"), ("POST", "/v1/session"), ("DELETE", "/v1/session"), ("GET", "/page/{path}")]
    connection = m.connect()
    count = 0
    for number, route in enumerate(table):
        for case in cases(route, number):
            answer = send(m, connection, *case)
            wanted = expected(*case)
            if wanted:
                assert answer.status == wanted, (case, answer)
                assert answer.error_message, case
            else:
                assert answer.status not in (401, 403, 405, 500), (case, answer)
            cors = [name for name in answer.headers if name.startswith("access-control-")]
            past_host = case[2] == "own" and not (case[0]["acts"] and case[3] == "allowed")
            assert bool(cors) == (case[3] == "allowed" and past_host), (case, answer.headers)
            assert answer.headers["date"], case
            count += 1
    connection.close()
    assert count > 2000
    assert m.get("/v1/models/stats", headers=KEYS["right"]).json["loaded_models"] == []


def test_preflights_grant_nothing(m):
    for route in route_table():
        answer = m.request("OPTIONS", address(route),
                           headers={**KEYS["right"], "Origin": "http://evil.example",
                                    "Access-Control-Request-Method": route["method"]})
        assert answer.status == 403, (route, answer)
        assert not [name for name in answer.headers if name.startswith("access-control-")], answer.headers


def test_engines_grant_nothing_either(m):
    own = f"127.0.0.1:{m.port}"
    answer = m.post("/v1/chat/completions", harness.chat_body("a", max_tokens=2),
                    headers={**KEYS["right"], "Host": own, "Origin": f"http://{own}"})
    assert answer.status == 200, answer
    assert not [name for name in answer.headers if name.startswith("access-control-")], answer.headers
