"""limits.allowed_origins: what pages of these origins may do, and what they may not."""
import json

import pytest

from harness import chat_body, wait_until
from test_route_matrix import ENDLESS, REFUSED, address, route_table

KEY = "the-right-key"
BEARER = {"Authorization": f"Bearer {KEY}"}
PAGE = "http://localhost:5173"
ORIGINS = ["http://localhost:*", "chrome-extension://*", "app://*"]


@pytest.fixture
def m(serve, models):
    return serve("--api-key", KEY, models={"a": models["a"]},
                 config=f"[limits]\nallowed_origins = {json.dumps(ORIGINS)}\n")


def cors(answer):
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


def test_a_preflight_needs_no_key_and_gets_what_it_asks(m):
    for route in route_table():
        answer = m.request("OPTIONS", address(route),
                           headers={"Origin": PAGE, "Access-Control-Request-Method": route["method"],
                                    "Access-Control-Request-Headers": "authorization,x-stainless-os",
                                    "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"})
        assert answer.status == 204 and not answer.body, (route, answer)
        granted = cors(answer)
        assert granted["access-control-allow-origin"] == PAGE
        assert granted["access-control-allow-methods"] == route["method"]
        assert granted["access-control-allow-headers"] == "authorization,x-stainless-os"
        assert "access-control-allow-credentials" not in granted
        assert answer.headers["vary"] == "Origin"


def test_an_allowed_page_reads_answers_streams_and_errors(m):
    page = {"Origin": PAGE, "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}
    chat = m.post("/v1/chat/completions", chat_body("a", max_tokens=2), headers={**page, **BEARER})
    assert chat.status == 200, chat
    stream = m.stream("/v1/chat/completions", chat_body("a", max_tokens=2, stream=True), headers={**page, **BEARER})
    assert stream.rest()[-1] == "[DONE]"
    no_key = m.post("/v1/chat/completions", chat_body("a"), headers=page)
    assert no_key.status == 401
    no_model = m.post("/v1/chat/completions", chat_body("nosuch"), headers={**page, **BEARER})
    assert no_model.status == 404
    for answer in (chat, stream, no_key, no_model, m.get("/health", headers=page)):
        granted = cors(answer)
        assert granted["access-control-allow-origin"] == PAGE, answer.headers
        assert "x-minerva-cache" in granted["access-control-expose-headers"]
        assert answer.headers["vary"] == "Origin"
    # A form of the page is not allowed.
    form = m.post("/v1/chat/completions", "{}", headers={**page, **BEARER, "Content-Type": "text/plain"})
    assert form.status == 403


def test_others_get_nothing(m):
    for origin in ("http://evil.example", "null", "https://localhost:5173", "http://localhost.evil.example:80"):
        for method, headers in (("GET", BEARER), ("OPTIONS", {"Access-Control-Request-Method": "GET"})):
            answer = m.request(method, "/v1/models", headers={**headers, "Origin": origin})
            assert answer.status == 403 and not cors(answer), (origin, answer.headers)
    # A rebound name is foreign, whatever the page.
    assert m.get("/v1/models", headers={**BEARER, "Origin": PAGE, "Host": "rebound.example"}).status == 403
    plain = m.get("/v1/models", headers=BEARER)
    assert plain.status == 200 and not cors(plain)


def test_extensions_and_apps(m):
    for origin in ("chrome-extension://abcdef", "app://obsidian.md"):
        answer = m.get("/v1/models", headers={**BEARER, "Origin": origin, "Sec-Fetch-Site": "cross-site"})
        assert answer.status == 200 and cors(answer)["access-control-allow-origin"] == origin, answer


def test_a_followed_link_is_let_in_where_it_changes_nothing(m):
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    for route in route_table():
        if route["method"] != "GET" or route["path"] in (*ENDLESS, *REFUSED) or route["path"].startswith("/chat"):
            continue
        path = address(route)
        status = m.get(path, headers={**BEARER, **link}).status
        loads = route["reach"] not in (0, 2)
        assert (status == 403) == (loads or route["acts"]), (route, status)
        image = {**link, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
        assert m.get(path, headers={**BEARER, **image}).status == 403, route
    assert m.get("/health", headers={**link, "Sec-Fetch-Dest": "iframe"}).status == 403


def test_it_counts_without_a_restart(m):
    file = m.folder / "minerva.toml"
    aside = file.with_suffix(".new")
    aside.write_text('[limits]\nallowed_origins = ["*"]\n')
    aside.rename(file)
    wait_until(lambda: m.get("/health", headers={"Origin": "https://any.example"}).status == 200,
               "the new origins count")
