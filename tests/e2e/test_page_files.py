"""The page at / and its sign-in over HTTP: files, headers, cookies. Tests in page/ look at what it shows."""
import gzip
import json
import re
import ssl

import pytest

from harness import wait_until

KEY = "the-right-key"
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
OWN = {"Sec-Fetch-Site": "same-origin"}


def own(m):
    return {"Origin": f"http://127.0.0.1:{m.port}"}


def sign_in(m, key=KEY):
    return m.post("/v1/session", {"key": key}, headers=own(m))


def cookie_of(answer):
    return answer.headers["set-cookie"].split(";")[0]


@pytest.fixture(scope="module")
def plain(models):
    from harness import Minerva
    m = Minerva({"a": models["a"]})
    try:
        yield m.start()
        m.stop()
    finally:
        m.clean()


def test_a_browser_gets_the_page_and_others_a_sentence(plain):
    page = plain.get("/", headers=BROWSER)
    assert page.status == 200 and page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.body.startswith(b"<!doctype html>")
    for headers in ({}, {"Accept": "*/*"}, {"Accept": "application/json"}):
        answer = plain.get("/", headers=headers)
        assert (answer.status, answer.body) == (200, b"Minerva is running")
        assert answer.headers["vary"] == "Accept"
    head = plain.request("HEAD", "/", headers=BROWSER)
    assert head.status == 200 and head.body == b"" and head.headers["etag"] == page.headers["etag"]


def test_all_that_the_page_refers_to_is_there(plain):
    seen, todo, packed = set(), {"/"}, 0
    while todo:
        path = todo.pop()
        seen.add(path)
        answer = plain.get(path, headers={**BROWSER, "Accept-Encoding": "gzip"})
        assert answer.status == 200 and answer.headers["content-encoding"] == "gzip", path
        assert plain.get(path, headers=BROWSER).body == gzip.decompress(answer.body), path
        assert answer.headers["x-content-type-options"] == "nosniff"
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'self';") and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy and "http" not in policy
        packed += len(answer.body)
        text = gzip.decompress(answer.body).decode()
        if path == "/":
            assert not re.search(r"<script(?![^>]* src=)|<style| style=| on\w+=", text), "nothing is inline"
            todo |= {f"/{name}" for name in re.findall(r'(?:src|href)="(page/[^"]+)"', text)}
        if path.endswith(".js"):
            todo |= {f"/page/{name}" for name in re.findall(r'from "\./([^"]+)"', text)}
        todo -= seen
    assert len(seen) > 10 and packed < 300_000, (seen, packed)
    assert plain.get("/page/licenses.txt").status == 200


def test_a_file_that_did_not_change_is_not_sent_again(plain):
    first = plain.get("/page/main.js")
    again = plain.get("/page/main.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    assert again.headers["cache-control"] == first.headers["cache-control"] == "no-cache"
    assert plain.get("/page/main.js", headers={"If-None-Match": '"other"'}).status == 200


def test_there_is_nothing_else_below_page(plain):
    for path in ("/page/", "/page/nosuch.js", "/page/../minerva.toml", "/page/%2e%2e/x", "/page/x/main.js", "/page//main.js"):
        assert plain.get(path).status == 404, path


def test_without_keys_nobody_signs_in(plain):
    assert plain.get("/v1/session").json == {"keys_needed": False, "signed_in": False}
    answer = sign_in(plain, "anything")
    assert answer.status == 200 and "set-cookie" not in answer.headers


def test_a_key_becomes_a_cookie(serve, models):
    m = serve("--api-key", KEY, models={"a": models["a"]})
    assert m.get("/", headers=BROWSER).status == m.get("/page/main.js").status == 200
    assert m.get("/v1/session").json == {"keys_needed": True, "signed_in": False}
    wrong = sign_in(m, "wrong")
    assert wrong.status == 401 and "set-cookie" not in wrong.headers
    for body in ("{", {"key": 1}, {}, []):
        assert m.post("/v1/session", body, headers={**own(m), "Content-Type": "application/json"}).status == 400, body
    answer = sign_in(m)
    assert answer.json == {"keys_needed": True, "signed_in": True}
    name, *attributes = answer.headers["set-cookie"].split("; ")
    assert name.startswith(f"minerva_session_{m.port}=")
    assert sorted(attributes) == ["HttpOnly", "Path=/", "SameSite=Strict"]
    assert KEY not in answer.headers["set-cookie"]

    cookie = {"Cookie": f"other=1; {name}"}
    assert m.get("/v1/session", headers=cookie).json["signed_in"] is True
    for path in ("/v1/models/stats", "/v1/models", "/chat/v1/models", "/chat/props"):
        assert m.get(path).status == 401, path
        assert m.get(path, headers=cookie).status == 200, path
    # A key in the request takes precedence over the cookie.
    assert m.get("/v1/models", headers={**cookie, "x-api-key": "wrong"}).status == 401

    # A request that changes something must come from the server's own page.
    assert m.load("a", "").status == 401
    for headers in ({}, {"Sec-Fetch-Site": "none"}):
        assert m.post("/v1/models/a/load", headers={**cookie, **headers}).status == 401, headers
    for headers in ({"Sec-Fetch-Site": "same-site", **own(m)}, {"Origin": "http://127.0.0.1:1"}):
        assert m.post("/v1/models/a/load", headers={**cookie, **headers}).status == 403, headers
    for headers in (own(m), OWN, {**OWN, **own(m)}):
        assert m.post("/v1/models/a/load", headers={**cookie, **headers}).status == 200, headers
    # A GET that loads a model is no look.
    assert m.get("/upstream/a/health", headers=cookie).status == 401
    assert m.get("/upstream/a/health", headers={**cookie, **OWN}).status == 200

    gone = m.delete("/v1/session", headers={**cookie, **own(m)})
    assert gone.json["signed_in"] is False and "Max-Age=0" in gone.headers["set-cookie"]
    assert m.get("/v1/models", headers=cookie).status == 401


def test_pages_that_may_use_the_server_may_not_use_its_cookie(serve, models):
    m = serve("--api-key", KEY, models={"a": models["a"]}, config='[limits]\nallowed_origins = ["http://localhost:*"]\n')
    cookie = {"Cookie": cookie_of(sign_in(m))}
    other = {"Origin": "http://localhost:5173"}
    assert m.post("/v1/models/a/load", headers={**cookie, **other}).status == 401
    assert m.post("/v1/models/a/load", headers={**other, "x-api-key": KEY}).status == 200


def test_a_session_ends_when_its_key_does(serve, models):
    config = 'api_keys = ["{}", "the-other-key"]\n'
    m = serve(models={"a": models["a"]}, config=config.format(KEY))
    mine, others = ({"Cookie": cookie_of(sign_in(m, key))} for key in (KEY, "the-other-key"))
    assert m.get("/v1/models", headers=mine).status == m.get("/v1/models", headers=others).status == 200
    (m.folder / "minerva.toml").write_text(config.format("a-new-key"))
    wait_until(lambda: m.get("/v1/models", headers=mine).status == 401, "the session ended with its key")
    assert m.get("/v1/session", headers=mine).json["signed_in"] is False
    assert m.get("/v1/models", headers=others).status == 200


def test_under_tls_the_cookie_is_secure(serve, models, tmp_path):
    import http.client
    import subprocess
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=localhost", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
                   check=True, capture_output=True)
    m = serve("--api-key", KEY, models={"a": models["a"]},
              config=f'[tls]\ncertificate = "{tmp_path}/cert.pem"\nkey = "{tmp_path}/key.pem"\n')
    connection = http.client.HTTPSConnection("127.0.0.1", m.port, context=ssl._create_unverified_context())
    connection.request("POST", "/v1/session", json.dumps({"key": KEY}), {"Content-Type": "application/json"})
    cookie = connection.getresponse().getheader("set-cookie")
    connection.close()
    assert cookie.endswith("; Secure"), cookie
