"""The page at / in Debian's Chromium: each view and each button, against real engines, with and without keys, at two
widths, light and dark. Nothing leaves the machine, nothing is inline, and axe finds nothing serious."""
import json
import os
import pathlib
import re
import time

import pytest
from playwright.sync_api import expect, sync_playwright

import fake_hub
from harness import PATIENCE, Minerva, wait_until

SCREENSHOTS = os.environ.get("MINERVA_SCREENSHOTS")
AXE = pathlib.Path(os.environ["MINERVA_AXE"]).read_text()
KEY = "the-right-key"
VIEWS = {"memory": "Memory", "models": "Models", "timeline": "Timeline", "requests": "Requests", "get": "Get models",
         "doctor": "Doctor", "chat": "Chat", "model/alpha": "alpha"}
NOT_FOUND = {"error": {"message": "There is no route.", "type": "invalid_request_error", "param": None,
                       "code": "route_not_found"}}


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield chromium
        chromium.close()


class View:
    def __init__(self, page, m):
        self.page = page
        self.m = m
        self.told = []  # what the browser reports: errors of scripts, and what the policy refused
        self.asked = []  # every address that was requested
        page.on("pageerror", lambda error: self.told.append(str(error)))
        page.on("console", lambda message: self.told.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: self.asked.append(request.url))

    def open(self, path="memory"):
        title = VIEWS.get(path, path)
        self.page.goto(f"{self.m.url}/#/{path}")
        expect(self.page.get_by_role("heading", level=1, name=title)).to_be_visible()

    def sign_in(self, key):
        if not self.page.url.startswith(self.m.url):
            self.page.goto(self.m.url)
        self.page.get_by_label("API key").fill(key)
        self.page.keyboard.press("Enter")
        expect(self.button("Sign out")).to_be_visible()

    def go(self, path):
        self.page.get_by_role("navigation").get_by_role("link", name=VIEWS[path], exact=True).click()
        expect(self.page.get_by_role("heading", level=1, name=VIEWS[path])).to_be_focused()

    def button(self, name):
        return self.page.get_by_role("button", name=name, exact=True)

    def row(self, text, table="Models"):
        return self.page.get_by_role("table", name=table).get_by_role("row").filter(has_text=text)

    def shot(self, name):
        if SCREENSHOTS:
            self.page.screenshot(path=str(pathlib.Path(SCREENSHOTS) / f"{name}.png"), full_page=True)

    def fake(self, path, answer, status=200):
        """Answers the page's requests to that address with `answer`, which may be a function of the request."""
        def fulfill(route):
            body = answer(route.request) if callable(answer) else answer
            route.fulfill(status=status, content_type="application/json", body=json.dumps(body))

        self.page.route(re.compile(rf"/{path}(\?.*)?$"), fulfill)

    def check(self, name, axe=True):
        """What holds for every view."""
        wide = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{name} is {wide} px wider than the screen"
        if not axe:
            return
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE)
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations'], preload: false})")["violations"]
        serious = [(v["id"], [n["html"][:200] for n in v["nodes"]][:5]) for v in found if v["impact"] in ("serious", "critical")]
        assert serious == [], f"{name}: {serious}"

    def close(self):
        foreign = [url for url in self.asked if not url.startswith((self.m.url + "/", "data:", "blob:"))]
        assert foreign == [], foreign
        # The browser also reports missing routes; the page has its own words for them.
        told = [text for text in self.told if "Failed to load resource" not in text]
        assert told == [], told
        self.page.context.close()


@pytest.fixture
def view(browser):
    opened = []

    def make(m, width=1280, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce")
        context.set_default_timeout(PATIENCE * 1000)
        expect.set_options(timeout=PATIENCE * 1000)
        opened.append(View(context.new_page(), m))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


@pytest.fixture
def start(serve, models):
    names = {"alpha": models["a"], "beta": models["b"]}
    return lambda *args, **kwargs: serve("--max-models", 1, *args, models=names, **kwargs)


def request_of(number, **more):
    return {"id": f"req_{number}", "model": "alpha", "path": "/v1/chat/completions", "caller": "alice", "stream": True,
            "fraction": None, "place": None, "prompt_tokens": None, "cached_tokens": None, "generated_tokens": None,
            "tokens_per_second": None, "began": "2026-11-29T14:00:00.123Z", **more}


def in_flight(number, phase, **more):
    return request_of(number, phase=phase, phase_seconds=1.2, seconds=3.4, **more)


def ended(number, outcome="completed", status=200, **more):
    return {**request_of(number, prompt_tokens=1200, cached_tokens=1000, generated_tokens=64, tokens_per_second=8.1),
            "status": status, "outcome": outcome, "wait_seconds": 0.5, "seconds": 9.25, "first_byte_seconds": 0.9, **more}


REQUESTS = {
    "in_flight": [in_flight(1, "waiting", place=2), in_flight(2, "loading", fraction=0.42, model="beta"),
                  in_flight(3, "reading", fraction=0.31, prompt_tokens=12000),
                  in_flight(4, "generating", generated_tokens=17, tokens_per_second=8.1, caller=None),
                  in_flight(5, "receiving", model="")],
    "recent": [ended(6), ended(7, "failed", 502), ended(8, "shed", 429, model="beta"), ended(9, "cancelled", 499)]
              + [ended(n) for n in range(10, 206)],
}
DOWNLOADS = {"object": "list", "data": [
    {"id": "d1", "model": "org/large-GGUF:Q4_K_M", "state": "running", "doing": "fetching", "model_id": None,
     "size_bytes": 4_000_000_000, "done_bytes": 1_300_000_000, "bytes_per_second": 42_000_000, "seconds_left": 64,
     "why": "The largest that fits.", "license": "apache-2.0", "commit": "abc", "file": "x.gguf", "error": None,
     "created": "2026-11-29T14:00:00Z"},
    {"id": "d2", "model": "org/gone-GGUF", "state": "failed", "doing": None, "model_id": None, "size_bytes": 0,
     "done_bytes": 0, "bytes_per_second": 0, "seconds_left": None, "why": None, "license": None, "commit": None,
     "file": None, "error": {"code": "model_not_found", "message": "There is no such repository. Look for a typing error."},
     "created": "2026-11-29T13:00:00Z"}]}
CHOICES = {"object": "list", "repo": "org/large-GGUF", "license": "apache-2.0", "gated": False,
           "chosen": "org/large-GGUF:Q4_K_M", "why": "It is the largest that fits this machine's budget.",
           "data": [{"model": f"org/large-GGUF:{quant}", "size_bytes": size, "expected_memory_mb": size >> 20, "fit": fit, "files": [],
                     "companions": [{"kind": "mtp", "file": "mtp-large.gguf", "size_bytes": 300 << 20}]}
                    for quant, size, fit in (("Q8_0", 8 << 30, "does not fit"), ("Q6_K", 6 << 30, "fits smaller"), ("Q4_K_M", 4 << 30, "fits"))]}


CONVERSATIONS = {"object": "list", "enabled": True, "bytes": 3 << 30, "segments": 70, "budget_bytes": 40 << 30,
                 "restored_tokens": 123_456, "saved_seconds": 987.0,
                 "data": [{"model": name, "bytes": size, "segments": 35, "last_used": int(time.time()) - 90}
                          for name, size in (("alpha", 1 << 30), ("org/a-model-with-a-long-name-GGUF:Q4_K_M", 2 << 30))]}


def samples(models, number=720):
    now = int(time.time())
    made = []
    for at in range(number):
        names = [name for place, name in enumerate(models) if (at // 90 + place) % 2 == 0]
        memory = {name: {"state": "hot", "bytes": (300 + 100 * models.index(name)) << 20, "tokens_per_second": 8.0} for name in names}
        made.append({"time": now - 5 * (number - at), "budget_bytes": 2 << 30, "used_bytes": sum(m["bytes"] for m in memory.values()),
                     "others_bytes": 1 << 30, "waiting": at // 60 % 3, "running": 1, "tokens_per_second": 8 * len(names), "models": memory})
    return {"interval_seconds": 5, "now": now, "samples": made}


def fake_all(view):
    view.fake("v1/requests", REQUESTS)
    view.fake("v1/samples", lambda request: samples(["alpha", "beta"]) if "since" not in request.url else {"samples": []})
    view.fake("v1/downloads", DOWNLOADS)
    view.fake("v1/conversations", CONVERSATIONS)


@pytest.fixture(scope="module")
def quiet(models):
    """A server that the tests only look at: alpha is parked, beta is hot."""
    m = Minerva({"alpha": models["a"], "beta": models["b"]}, "--max-models", 1)
    try:
        m.start().use("alpha", "beta")
        yield m
        m.stop()
    finally:
        m.clean()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_view_at_every_width(quiet, view, width, scheme):
    m = quiet
    # Contrasts are the colours', order and names the width's: two of the four see all of both.
    axe = (width == 1280) == (scheme == "light")
    v = view(m, width, scheme)
    fake_all(v)
    v.fake("v1/pull", CHOICES)
    v.open()
    bar = v.page.get_by_role("img", name="Of a budget of")
    expect(bar).to_have_accessible_name(re.compile("alpha .* \\(parked\\)"))
    expect(bar).to_have_accessible_name(re.compile("Other programs have 1.0 GiB"))
    for path in VIEWS:
        v.page.goto(f"{m.url}/#/{path}")
        expect(v.page.get_by_role("heading", level=1, name=VIEWS[path])).to_be_visible()
        if path == "get":
            v.page.get_by_label("Repository").fill("org/large-GGUF")
            v.button("Show what it has").click()
            expect(v.row("Q6_K", "What the repository has")).to_contain_text("fits with less than usual")
        if path == "timeline":
            expect(v.page.locator(".chart canvas")).to_have_count(3)
            expect(v.row("beta", "Switches").first).to_be_visible()
        if path == "model/alpha":
            v.button("Follow its engine's log").click()
            expect(v.page.get_by_role("log")).to_contain_text("model")
        if path == "chat":
            expect(v.page.get_by_text("is not built here")).to_be_visible()
        v.check(path, axe)
        v.shot(f"{path.replace('/', '-')}-{width}-{scheme}")
    v.page.goto(f"{m.url}/#/models")
    v.button("Wake alpha").click()
    expect(v.page.get_by_role("dialog")).to_contain_text("beta has to leave for it")
    v.check("dialog", axe)
    v.shot(f"dialog-{width}-{scheme}")


@pytest.mark.parametrize("width", [1280, 390])
def test_devices_have_their_own_bars(quiet, view, width):
    stats = quiet.stats()
    held = {"alpha": {"host": 40, "CUDA0": 0}, "beta": {"host": 300, "CUDA0": 1740}}
    stats["models"] = [{**m, "pools_mb": held[m["id"]], "memory_mb": sum(held[m["id"]].values())} for m in stats["models"]]
    stats["estimated_memory_mb"], stats["memory_budget_mb"] = 340, 2048
    stats["pools"] = [{"id": "host", "memory_mb": 340, "memory_budget_mb": 2048, "available_mb": 2048},
                      {"id": "CUDA0", "memory_mb": 1740, "memory_budget_mb": 10240, "available_mb": 8192}]
    v = view(quiet, width)
    fake_all(v)
    v.fake("v1/models/stats", stats)
    v.open()
    host = v.page.get_by_role("img", name=re.compile("^Of a budget of"))
    expect(host).to_have_accessible_name(re.compile("beta 300 MiB, alpha 40 MiB"))
    device = v.page.get_by_role("region", name="CUDA0")
    expect(device.get_by_role("img")).to_have_accessible_name(
        "CUDA0: Of a budget of 8.0 GiB, models have 1.7 GiB: beta 1.7 GiB. Free: 6.3 GiB. Other programs have 2.0 GiB.")
    expect(device).to_contain_text("10 GiB")
    expect(v.row("beta", "Models that hold memory")).to_contain_text("1.7 GiB CUDA0, 300 MiB host")
    v.check("memory with devices")
    v.page.goto(f"{quiet.url}/#/model/beta")
    expect(v.page.get_by_text("2.0 GiB now: 1.7 GiB CUDA0, 300 MiB host")).to_be_visible()


def test_models_come_and_go(start, view):
    m = start()
    v = view(m)
    v.open("models")
    expect(v.row("alpha")).to_contain_text("not in memory")

    def act(verb, model, button, words):
        v.button(f"{verb} {model}").click()
        dialog = v.page.get_by_role("dialog")
        for text in words:
            expect(dialog).to_contain_text(text)
        dialog.get_by_role("button", name=button).click()
        expect(dialog).to_have_count(0)

    act("Load", "alpha", "Load it", ["Load alpha?", "Nobody has to leave for it.", "How long it takes is not known"])
    expect(v.row("alpha")).to_contain_text("in memory")
    expect(v.page.get_by_role("status").filter(has_text="alpha: loaded.")).to_be_visible()
    act("Load", "beta", "Load it", ["alpha has to leave for it", "back takes about"])
    expect(v.row("alpha")).to_contain_text("parked")
    expect(v.page.get_by_role("status").filter(has_text="beta: loaded. To make room, alpha left.")).to_be_visible()
    assert m.loaded() == ["beta"]
    act("Wake", "alpha", "Wake it", ["Wake alpha?", "It should take about"])
    expect(v.row("beta")).to_contain_text("parked")
    act("Park", "alpha", "Park it", ["Its conversations go to an image on disk"])
    expect(v.row("alpha")).to_contain_text("parked")
    act("Pin", "alpha", "Pin it", ["It never leaves memory for another model"])
    expect(v.row("alpha")).to_contain_text("pinned")
    assert m.view("alpha")["pinned"] is True
    act("Unpin", "alpha", "Unpin it", ["It may leave memory for another model again."])
    wait_until(lambda: m.view("alpha")["pinned"] is False, "it is unpinned")
    for model in ("alpha", "beta"):
        act("Unload", model, "Unload it", ["the next request loads it anew"])
        expect(v.row(model)).to_contain_text("not in memory")
    assert m.engines() == []

    # The keyboard closes a dialog, and nothing was done.
    v.button("Load beta").click()
    expect(v.page.get_by_role("dialog")).to_be_visible()
    v.page.keyboard.press("Escape")
    expect(v.page.get_by_role("dialog")).to_have_count(0)
    assert m.engines() == []
    # The page shows another client's request without a touch.
    m.use("beta")
    expect(v.row("beta")).to_contain_text("in memory")
    v.page.get_by_label("Find").fill("alp")
    expect(v.row("beta")).to_have_count(0)
    expect(v.row("alpha")).to_be_visible()


def test_a_busy_model_leaves_only_by_force(start, view):
    m = start(env={"MINERVA_LIMITS_UNLOAD_TIMEOUT": "200ms"})
    stream = m.chat_stream("alpha", max_tokens=4000, ignore_eos=True)
    stream.token()
    v = view(m)
    v.open("models")
    v.button("Unload alpha").click()
    dialog = v.page.get_by_role("dialog")
    expect(dialog).to_contain_text("1 request of it is running")
    dialog.get_by_role("button", name="Unload it").click()
    expect(dialog.get_by_role("alert")).to_be_visible()
    dialog.get_by_role("button", name="Do it anyway").click()
    expect(dialog).to_have_count(0)
    expect(v.row("alpha")).to_contain_text("not in memory")
    stream.drop()


def test_decisions_in_words(start, view):
    m = start()
    m.use("alpha", "beta", "alpha")
    v = view(m)
    v.fake("v1/samples", lambda request: samples(["alpha", "beta"]) if "since" not in request.url else {"samples": []})
    v.open("timeline")
    v.row("made room", "Switches").first.get_by_role("button").click()
    expect(v.page.locator(".chosen")).to_contain_text(re.compile("was parked, which frees"))
    # A click on the chart chooses the switch that is drawn there. These switches have just happened, so they are at its
    # right end.
    chart = v.page.locator(".chart .u-over").first
    box = chart.bounding_box()
    v.row("loaded", "Switches").last.get_by_role("button").click()
    expect(v.page.locator(".chosen")).to_contain_text("loaded:")
    chart.click(position={"x": box["width"] - 2, "y": 20})
    expect(v.page.locator(".chosen")).to_contain_text(re.compile("alpha|beta"))
    v.page.get_by_role("link", name="alpha").first.click()
    expect(v.page.get_by_role("heading", level=1, name="alpha")).to_be_visible()
    v.page.get_by_role("table", name="Decisions about alpha").get_by_role("button").first.click()
    expect(v.page.locator(".chosen")).to_contain_text("alpha")
    expect(v.page.get_by_text(re.compile("as measured in use, or predicted"))).to_be_visible()
    v.button("Follow its engine's log").click()
    log = v.page.get_by_role("log")
    expect(log).to_contain_text("model")
    before = log.inner_text()
    m.use("alpha")
    wait_until(lambda: log.inner_text() != before, "the log goes on")


def test_presets_are_shown_at_their_model(start, view):
    m = start(config='[preset."alpha:calm"]\nmodel = "alpha"\ndefault = { temperature = 0.1 }\n')
    v = view(m)
    v.open("model/alpha")
    expect(v.page.get_by_text("alpha:calm")).to_be_visible()
    v.page.goto(f"{m.url}/#/model/alpha%3Acalm")
    expect(v.page.get_by_text("is a preset of alpha")).to_be_visible()
    v.page.goto(f"{m.url}/#/model/nosuch")
    expect(v.page.get_by_text("There is no model “nosuch”")).to_be_visible()


def test_requests_and_their_end(quiet, view):
    v = view(quiet)
    cancelled = []
    v.fake("v1/requests", lambda request: {**REQUESTS, "in_flight": [r for r in REQUESTS["in_flight"] if r["id"] not in cancelled]})

    def cancel(request):
        assert request.method == "DELETE"
        cancelled.append(request.url.rsplit("/", 1)[1])
        return {"id": cancelled[-1], "cancelled": True}

    v.fake("v1/requests/req_\\d", cancel)
    v.open("requests")
    table = "Requests in flight"
    for words in ("waiting for its turn, number 2 in line", "loading 42 %", "reading 31 % of 12,000 tokens",
                  "generating, 17 tokens so far", "receiving the request"):
        expect(v.row(words, table)).to_be_visible()
    expect(v.row("turned away", "Requests that ended")).to_contain_text("429")
    v.row("generating", table).get_by_role("button").click()
    expect(v.row("generating", table)).to_have_count(0)
    assert cancelled == ["req_4"]


def test_getting_a_model(serve, models, view):
    data = models["a"].read_bytes()
    files = {"tiny-Q8_0.gguf": data, "mtp-tiny-Q8_0.gguf": models["b"].read_bytes(), "README.md": b"# tiny"}
    with fake_hub.running({"org/tiny-GGUF": files}) as hub:
        m = serve("--api-key", KEY, "--admin-key", "the-admins", models={}, env={"HF_ENDPOINT": hub.url})
        v = view(m)
        v.sign_in(KEY)
        v.go("get")
        v.page.get_by_label("Repository").fill("org/tiny-GGUF")
        v.page.keyboard.press("Enter")
        expect(v.page.get_by_role("alert")).to_contain_text("admin_keys")
        assert hub.requests == []
        v.button("Sign out").click()
        v.sign_in("the-admins")
        v.page.get_by_label("Repository").fill("org/nosuch")
        v.button("Show what it has").click()
        expect(v.page.get_by_role("alert")).to_contain_text("org/nosuch")
        v.page.get_by_label("Repository").fill("org/tiny-GGUF")
        v.button("Show what it has").click()
        expect(v.row("org/tiny-GGUF:Q8_0", "What the repository has")).to_contain_text("fits")
        expect(v.page.get_by_text("For this machine: org/tiny-GGUF:Q8_0.")).to_be_visible()
        hub.fault("tiny-Q8_0.gguf", ("stall", len(data) // 2))
        v.button("Get org/tiny-GGUF:Q8_0").click()
        job = v.row("org/tiny-GGUF:Q8_0", "Downloads")
        expect(job).to_contain_text(" of 3 MiB")
        assert hub.stalled.wait(PATIENCE)
        v.button("Pause the download of org/tiny-GGUF:Q8_0").click()
        expect(job).to_contain_text("paused")
        v.button("Resume the download of org/tiny-GGUF:Q8_0").click()
        expect(job).to_contain_text("done: ask for org/tiny-GGUF:Q8_0")
        m.delete("/v1/models/org%2Ftiny-GGUF%3AQ8_0/files", headers={"x-api-key": "the-admins"})
        hub.fault("tiny-Q8_0.gguf", ("stall", len(data) // 2))
        v.button("Get org/tiny-GGUF:Q8_0").click()
        job = job.first  # the newest is first
        expect(job).to_contain_text(" of 3 MiB")
        v.button("Cancel the download of org/tiny-GGUF:Q8_0").first.click()
        expect(job).to_contain_text("cancelled; what came of it is not kept")
        assert hub.count("hub", "GET", "mtp-tiny") == 0  # nobody asked for it
        v.page.get_by_label("With its file for predicting several tokens (MTP)").check()
        v.button("Get org/tiny-GGUF:Q8_0").click()
        expect(job.filter(has_text="done: ask for org/tiny-GGUF:Q8_0")).to_be_visible()
        v.go("models")
        expect(v.row("org/tiny-GGUF:Q8_0")).to_contain_text("not in memory")
        assert hub.count("hub", "GET", "mtp-tiny") == 1


def test_what_the_server_does_not_have_is_said(quiet, view):
    v = view(quiet)
    for path in ("v1/requests", "v1/samples", "v1/downloads", "v1/conversations"):
        v.fake(path, NOT_FOUND, status=404)
    v.open("requests")
    expect(v.page.get_by_text("does not answer GET /v1/requests")).to_be_visible()
    v.go("timeline")
    expect(v.page.get_by_text("does not answer GET /v1/samples")).to_be_visible()
    v.go("get")
    expect(v.page.get_by_text("does not answer GET /v1/downloads")).to_be_visible()
    v.go("memory")
    expect(v.page.get_by_text("does not answer GET /v1/samples")).to_be_visible()
    expect(v.page.get_by_text("does not answer GET /v1/conversations")).to_be_visible()
    v.check("memory")


def test_conversations_are_removed(start, view):
    m = start()
    words = "One goes on where one was. " * 10
    for model in ("alpha", "beta"):
        m.chat(model, words, max_tokens=4)
    for model in ("alpha", "beta"):
        assert m.delete(f"/v1/models/{model}").status == 200
    v = view(m)
    v.open()
    table = "Conversations on disk"
    v.button("Remove the conversations of alpha").click()
    v.page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(v.row("alpha", table)).to_be_visible()
    v.button("Remove the conversations of alpha").click()
    v.check("dialog")
    v.button("Remove them").click()
    expect(v.row("alpha", table)).to_have_count(0)
    expect(v.page.get_by_role("status").filter(has_text="are removed from the disk")).to_be_visible()
    assert [row["model"] for row in m.get("/v1/conversations").json["data"]] == ["beta"]
    v.button("Remove the conversations of beta").click()
    v.button("Remove them").click()
    expect(v.page.get_by_text("No conversation has rested yet.")).to_be_visible()


def test_the_doctor_says_what_is_wrong(start, view):
    m = start()
    (m.models_dir / "broken.gguf").write_bytes(b"GGUF, but no more")
    assert m.load("broken").status == 422
    v = view(m)
    v.open("doctor")
    expect(v.page.get_by_role("listitem").filter(has_text="broken cannot be run")).to_be_visible()
    v.page.get_by_text("What the server runs with").click()
    expect(v.page.get_by_text("max_models = 1")).to_be_visible()


def test_a_prompt_streams(serve, models, slow_model, view):
    m = serve("--max-models", 1, models={"alpha": models["a"], "beta": slow_model})  # beta answers until it is stopped
    v = view(m)
    v.open("chat")
    v.page.get_by_label("Model").select_option("beta")
    # Models that write random text do not stop by themselves.
    v.page.route("**/v1/chat/completions", lambda route: route.continue_(
        post_data=json.dumps({**route.request.post_data_json, "max_tokens": 8})))
    v.page.get_by_label("Prompt").fill("Hello")
    v.page.keyboard.press("Control+Enter")
    turns = v.page.locator(".turn")
    expect(turns).to_have_count(2)
    expect(v.button("Begin anew")).to_be_visible()
    assert turns.nth(1).locator("p").inner_text() not in ("", "…")
    assert m.loaded() == ["beta"]
    v.page.unroute("**/v1/chat/completions")
    v.page.get_by_label("Prompt").fill("And then?")
    v.button("Send").click()
    v.button("Stop").click()
    expect(v.button("Begin anew")).to_be_visible()
    m.settle()
    v.button("Begin anew").click()
    expect(turns).to_have_count(0)


def test_the_chat_is_linked_where_it_is_built(start, view, tmp_path):
    (tmp_path / "index.html").write_text("<title>the web UI</title>")
    m = start("--ui-dir", tmp_path)
    v = view(m)
    v.open("chat")
    v.page.get_by_role("link", name="Open the chat").click()
    expect(v.page).to_have_title("the web UI")


@pytest.mark.parametrize("width", [1280, 390])
def test_signing_in_and_out(start, view, width):
    m = start("--api-key", KEY)
    v = view(m, width)
    v.page.goto(m.url)
    box = v.page.get_by_label("API key")
    expect(box).to_be_visible()
    v.check("sign-in")
    v.shot(f"sign-in-{width}")
    box.fill("wrong")
    v.button("Sign in").click()
    expect(v.page.get_by_role("alert")).to_have_text("That is not one of this server's keys.")
    box.fill(KEY)
    v.page.keyboard.press("Enter")
    expect(v.page.get_by_role("heading", level=1, name="Memory")).to_be_visible()
    assert v.page.evaluate("document.cookie") == "", "no script sees it"
    v.go("models")
    v.button("Load alpha").click()
    v.page.get_by_role("dialog").get_by_role("button", name="Load it").click()
    expect(v.row("alpha")).to_contain_text("in memory")
    v.page.reload()
    expect(v.row("alpha")).to_contain_text("in memory")
    v.button("Sign out").click()
    expect(v.page.get_by_label("API key")).to_be_visible()
    assert KEY not in json.dumps(v.page.evaluate("[{...localStorage}, {...sessionStorage}]"))


def test_a_lost_connection_is_said_and_mended(start, view):
    m = start()
    v = view(m)
    v.open("models")
    expect(v.row("alpha")).to_be_visible()
    listen = m.url.removeprefix("http://")
    m.terminate()
    m.wait()
    expect(v.page.get_by_text("The connection to the server is lost.")).to_be_visible()
    v.check("lost")
    m.args[m.args.index("--listen") + 1] = listen
    m.start()
    expect(v.page.get_by_text("The connection to the server is lost.")).to_have_count(0)
    m.use("beta")
    expect(v.row("beta")).to_contain_text("in memory")


def test_many_models_and_decisions_are_few_elements(quiet, view):
    m = quiet
    v = view(m)
    many = [f"model-{n:03}" for n in range(200)]
    entry = m.get("/v1/models/alpha").json
    v.fake("v1/models", {"object": "list", "data": [{**entry, "id": name} for name in many], "problems": []})
    decisions = [{"id": n, "time": "2026-11-29T14:00:00.000Z", "kind": ("load", "make_room", "park")[n % 3],
                  "model": many[n % 200], "reason": "It was asked for.", "because_of": n - 1 or None} for n in range(10_000, 0, -1)]
    v.fake("v1/decisions", {"object": "list", "data": decisions})
    v.fake("v1/samples", {"samples": []})
    for path, table, rows in (("models", "Models", 201), ("timeline", "Switches", 10_001)):
        v.open(path)
        expect(v.page.get_by_role("table", name=table)).to_have_attribute("aria-rowcount", str(rows))
        box = v.page.get_by_role("region", name=table)
        for share in (0.5, 1):
            box.evaluate(f"box => box.scrollTop = box.scrollHeight * {share}")
            wanted = f'[aria-rowindex="{rows}"]' if share == 1 else "[aria-rowindex]"
            expect(box.locator(wanted).last).to_be_visible()
            assert v.page.evaluate("document.getElementsByTagName('*').length") < 1500


def test_a_real_request_is_seen_and_ended(serve, models, slow_model, view):
    m = serve("--max-models", 1, models={"alpha": models["a"], "slow": slow_model})
    stream = m.chat_stream("slow", max_tokens=4000, ignore_eos=True)
    stream.token()
    v = view(m)
    v.open("requests")
    row = v.row("slow", "Requests in flight")
    expect(row).to_contain_text("generating")
    row.get_by_role("button").click()
    expect(v.row("slow", "Requests that ended")).to_contain_text("cancelled")
    assert json.loads(stream.rest()[-1])["error"]["code"] == "cancelled"
    v.go("timeline")
    expect(v.page.locator(".chart canvas")).to_have_count(3)
    v.go("memory")
    expect(v.page.get_by_role("img", name="Of a budget of")).to_have_accessible_name(re.compile("Other programs have"))
