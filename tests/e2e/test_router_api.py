"""llama.cpp's router API, with a client that does what llama.cpp's web UI does: it asks for a load, and waits without a
limit for an event that says exactly "loaded"; likewise for an unload."""
import json
import os
import pathlib

from harness import PATIENCE, chat_body


class Ui:
    def __init__(self, m, base="/chat"):
        self.m = m
        self.base = base
        self.connection = m.connect(PATIENCE)
        self.connection.request("GET", f"{base}/models/sse")
        self.feed = self.connection.getresponse()
        assert self.feed.status == 200, self.feed.read()
        assert self.feed.getheader("content-type") == "text/event-stream"
        self.buffer = b""
        # The state of each model comes first, so that a client that lost its connection has missed nothing.
        self.rows = {}
        listed = {entry["id"] for entry in self.models()}
        while set(self.rows) != listed:
            self.event()

    def models(self):
        answer = self.m.get(f"{self.base}/v1/models")
        assert answer.status == 200, answer
        return answer.json["data"]

    def event(self):
        """The next event. A record ends with a blank line; its data are JSON."""
        while True:
            while b"\n\n" not in self.buffer:
                piece = self.feed.read1(65536)
                assert piece, "the feed ended"
                self.buffer += piece
            record, self.buffer = self.buffer.split(b"\n\n", 1)
            lines = [line[len("data:"):].strip() for line in record.decode().split("\n") if line.startswith("data:")]
            if not lines:
                continue
            event = json.loads("\n".join(lines))
            assert set(event) == {"model", "event", "data"}, event
            if event["event"] == "model_status":
                self.rows[event["model"]] = event["data"]["status"]
            return event

    def until(self, model, status):
        """The statuses that are reported for `model`, up to `status`. Raises RuntimeError where the UI shows a
        failure."""
        seen = []
        while True:
            event = self.event()
            if event["event"] != "model_status" or event["model"] != model:
                continue
            seen.append(event["data"]["status"])
            if seen[-1] == "unloaded" and event["data"].get("exit_code", 0) != 0:
                raise RuntimeError(f"{model} failed")
            if seen[-1] == status:
                return seen

    def ask(self, what, model):
        answer = self.m.post(f"{self.base}/models/{what}", {"model": model})
        assert answer.status == 200 and answer.json == {"success": True}, answer

    def load(self, model):
        self.ask("load", model)
        return self.until(model, "loaded")

    def unload(self, model):
        self.ask("unload", model)
        return self.until(model, "unloaded")

    def close(self):
        self.feed.close()
        self.connection.close()


def status(m, model):
    entry = next(entry for entry in m.get("/v1/models").json["data"] if entry["id"] == model)
    assert entry["architecture"]["output_modalities"] == ["text"], entry
    assert entry["architecture"]["input_modalities"][0] == "text", entry
    return entry["status"]


def test_load_unload_and_evictions(serve):
    m = serve("--max-models", 1, "--no-park")
    for base in ("/chat", ""):
        ui = Ui(m, base)
        assert set(ui.rows.values()) == {"unloaded"}
        loading = ui.load("a")
        assert loading[0] == "loading" and set(loading[:-1]) == {"loading"}, loading
        assert status(m, "a") == {"value": "loaded"}
        # The model is loaded already: another `loaded` is sent.
        assert ui.load("a") == ["loaded"]
        # Another client's request takes its place meanwhile.
        m.use("b")
        assert ui.until("a", "unloaded") == ["unloaded"]
        assert ui.rows["b"] == "loaded" or ui.until("b", "loaded")
        assert ui.load("a")[-1] == "loaded" and ui.rows["b"] == "unloaded"
        assert ui.unload("a") == ["unloaded"]
        # The model is not loaded: another `unloaded` is sent.
        assert ui.unload("a") == ["unloaded"]
        assert m.engines() == []
        ui.close()


def test_a_parked_model_sleeps(serve):
    m = serve("--max-models", 1)
    ui = Ui(m)
    ui.load("a")
    m.use("b")
    assert ui.until("a", "sleeping") == ["sleeping"]
    assert status(m, "a") == {"value": "sleeping"}
    # A client that connects now gets the state.
    late = Ui(m)
    assert late.rows["a"] == "sleeping" and late.rows["b"] == "loaded" and late.rows["c"] == "unloaded"
    assert ui.load("a")[-1] == "loaded"
    assert late.until("b", "sleeping")
    assert ui.rows["b"] == "sleeping" and ui.unload("b") == ["unloaded"]
    for client in (ui, late):
        client.close()


def test_a_load_that_fails_says_so(serve, models, tmp_path):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(pathlib.Path(models["a"]).read_bytes()[:1000])
    m = serve(models={"a": models["a"], "broken": broken})
    ui = Ui(m)
    m.post("/models/load", {"model": "broken"})
    try:
        ui.until("broken", "loaded")
        raise AssertionError("it cannot be loaded")
    except RuntimeError:
        pass
    failed = status(m, "broken")
    assert failed["value"] == "unloaded" and failed["failed"] is True and failed["exit_code"] != 0, failed
    for answer, code in ((m.post("/models/load", {"model": "nosuch"}), "model_not_found"),
                         (m.post("/models/load", {}), "invalid_argument"),
                         (m.post("/models/unload", "no json"), "invalid_argument"),
                         (m.post("/models/unload", {"model": 1}), "invalid_argument")):
        assert answer.error["code"] == code, answer
    ui.close()


def test_presets_are_models_to_it(serve, models):
    m = serve(models={"a": models["a"]}, config='[preset."a:calm"]\nmodel = "a"\ndefault = { temperature = 0.1 }\n')
    ui = Ui(m)
    assert set(ui.rows) == {"a", "a:calm"}
    assert ui.load("a:calm")[-1] == "loaded"
    assert ui.rows["a"] == "loaded"
    ui.unload("a")
    assert ui.rows["a:calm"] == "unloaded" or ui.until("a:calm", "unloaded")
    ui.close()


def test_new_and_removed_models_are_told(serve, models):
    m = serve(models={"a": models["a"]})
    ui = Ui(m)
    m.add_model("b", models["b"])
    while ui.event()["event"] != "models_reload":
        pass
    assert {entry["id"] for entry in ui.models()} == {"a", "b"}
    os.remove(m.models_dir / "b.gguf")
    while (event := ui.event())["event"] != "model_remove":
        pass
    assert event["model"] == "b"
    ui.close()


def test_the_routers_own_answers(serve):
    m = serve("--max-models", 3)
    for path in ("/props?autoload=false", "/chat/props?autoload=false", "/props"):
        props = m.get(path).json
        assert props["role"] == "router" and props["max_instances"] == 3 and props["models_autoload"] is True, props
        assert {"model_alias", "model_path", "ui_settings", "build_info", "cors_proxy_enabled"} <= set(props), props
        assert props["default_generation_settings"] == {"params": {}, "n_ctx": 0}
    assert m.post("/v1/streams/lookup", {"conversation_ids": ["x"]}).json == []
    assert m.get("/v1/stream?conv_id=x").error["code"] == "route_not_found"
    for path in ("/tools", "/cors-proxy?url=x"):
        assert m.get(path).status == m.post(path, {}).status == 403
    # None of all this was a use of a model.
    assert m.loaded() == [] and m.cache()["misses"] == 0


def test_below_chat_is_what_is_elsewhere(serve):
    m = serve("--api-key", "secret")
    key = {"Authorization": "Bearer secret"}
    missing = m.get("/chat/")
    assert missing.status == 404 and "make ui" in missing.error["message"], missing
    moved = m.get("/chat")
    assert moved.status == 302 and moved.headers["location"] == "/chat/"
    for path in ("/chat/v1/models", "/chat/props", "/chat/nosuch", "/chat/models/sse"):
        assert m.get(path).status == 401, path
    assert m.get("/chat/nosuch", headers=key).error["code"] == "route_not_found"
    assert "There is no route /nosuch." in m.get("/chat/nosuch", headers=key).error["message"]
    assert m.get("/chat/chat/v1/models", headers=key).status == 404, "once only"
    answer = m.post("/chat/v1/chat/completions", chat_body("a", max_tokens=2), headers=key)
    assert answer.status == 200 and answer.json["object"] == "chat.completion", answer
    # This path is an API route of its own.
    answer = m.post("/chat/completions", chat_body("a", max_tokens=2), headers=key)
    assert answer.status == 200 and answer.json["object"] == "chat.completion", answer


def test_the_files_of_a_built_ui(serve, tmp_path):
    """A folder in the form that `make ui` makes."""
    ui = tmp_path / "ui"
    (ui / "_app/immutable").mkdir(parents=True)
    (ui / "index.html").write_text("<script>alert(1)</script>")
    (ui / "_app/immutable/bundle.js").write_text("let x = 1;")
    (tmp_path / "secret").write_text("secret")
    (ui / "link.txt").symlink_to(tmp_path / "secret")
    m = serve("--ui-dir", ui, "--api-key", "secret")
    page = m.get("/chat/")
    assert page.status == 200 and page.headers["content-type"] == "text/html; charset=utf-8", page
    policy = page.headers["content-security-policy"]
    assert "script-src 'self' 'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI=';" in policy, policy
    assert "unsafe-eval" not in policy
    assert m.get("/chat/index.html").body == page.body
    assert page.headers["cache-control"] == "no-cache"
    again = m.get("/chat/", headers={"If-None-Match": page.headers["etag"]})
    assert again.status == 304 and again.body == b"", again
    asset = m.get("/chat/_app/immutable/bundle.js")
    assert asset.body == b"let x = 1;" and "immutable" in asset.headers["cache-control"], asset
    assert asset.headers["content-type"].startswith("text/javascript") and asset.headers["x-content-type-options"] == "nosniff"
    head = m.request("HEAD", "/chat/")
    assert head.status == 200 and head.body == b"" and head.headers["content-length"] == str(len(page.body))
    for path in ("/chat/link.txt", "/chat/../secret", "/chat/_app/../../secret", "/chat/%2e%2e/secret", "/chat/_app"):
        assert m.get(path).status == 401, path
    assert m.post("/chat/index.html", "{}").status == 401
    # Any page may link to the page; a page of another origin cannot read anything.
    assert m.get("/chat/", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate",
                                    "Sec-Fetch-Dest": "document"}).status == 200
    assert m.get("/chat/", headers={"Origin": "http://evil.example"}).status == 403
