"""Every route of the route table x key x Host x Origin x content type: who gets past the door. A new route is covered
the moment it is in the table."""
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


KEYS = {"none": {}, "wrong": {"Authorization": "Bearer wrong"}, "right": {"Authorization": f"Bearer {KEY}"},
        "x-api-key": {"x-api-key": KEY}}
HOSTS = {"own": None, "rebound": "rebound.example"}
ORIGINS = {"none": {}, "own": "own", "foreign": {"Origin": "http://evil.example"}, "opaque": {"Origin": "null"},
           "image": {"Sec-Fetch-Site": "cross-site"}}
TYPES = {"json": "application/json", "text": "text/plain", "form": "application/x-www-form-urlencoded",
         "upload": "multipart/form-data; boundary=x", "none": None}


def expected(route, key, host, origin, content_type):
    """The door's status, or None: past it."""
    if host == "rebound" or origin in ("foreign", "opaque", "image"):
        return 403
    if key in ("none", "wrong") and not route["open"]:
        return 401
    from_page_with_body = origin == "own" and route["method"] != "GET"
    allowed = ("json", "upload") if route["takes_form"] else ("json",)
    if from_page_with_body and content_type not in allowed:
        return 403
    return None


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
    connection.request(route["method"], route["path"].replace("{id}", "nosuch"), body, headers)
    response = connection.getresponse()
    if response.getheader("content-type") == "text/event-stream":  # without an end: past the door
        connection.close()
        return harness.Answer(response.status, response.getheaders(), b"")
    return harness.Answer(response.status, response.getheaders(), response.read())


def message(answer):
    """Of an error, in whatever API's shape it is."""
    error = answer.json["error"]
    return error if isinstance(error, str) else error["message"]


@pytest.fixture
def m(serve):
    return serve("--api-key", KEY)


def test_the_matrix(m):
    table = route_table()
    assert len(table) > 20
    assert [route["path"] for route in table if route["open"]] == ["/health"]
    connection = m.connect()
    count = 0
    for route in table:
        types = ["none"] if route["method"] == "GET" else TYPES
        for case in itertools.product([route], KEYS, HOSTS, ORIGINS, types):
            answer = send(m, connection, *case)
            wanted = expected(*case)
            if wanted:
                assert answer.status == wanted, (case, answer)
                assert message(answer), case
            else:
                assert answer.status not in (401, 403, 405, 500), (case, answer)
            cors = [name for name in answer.headers if name.startswith("access-control-")]
            assert not cors, (case, answer.headers)
            count += 1
    connection.close()
    assert count > 2000
    assert m.get("/v1/models/stats", headers=KEYS["right"]).json["loaded_models"] == []


def test_preflights_grant_nothing(m):
    for route in route_table():
        answer = m.request("OPTIONS", route["path"].replace("{id}", "a"),
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
