"""llama.cpp's own web UI, as `make ui` builds it, in Debian's Chromium against real engines."""
import os
import pathlib
import re

import pytest
from playwright.sync_api import expect, sync_playwright

from harness import PATIENCE, chat_body, wait_until

SCREENSHOTS = os.environ.get("MINERVA_SCREENSHOTS")


KEY = "the-right-key"


@pytest.fixture
def start(serve, models):
    names = {"alpha": models["a"], "beta": models["b"]}
    return lambda *args: serve("--max-models", 1, "--ui-dir", os.environ["MINERVA_UI_DIR"], *args, models=names)


class Page:
    def __init__(self, page):
        self.page = page
        self.refused = []  # what the page's policy or the server refused
        self.shots = 0
        page.on("console", lambda message: self.refused.append(message.text) if message.type == "error" else None)

    def shot(self, name):
        if SCREENSHOTS:
            self.shots += 1
            self.page.screenshot(path=str(pathlib.Path(SCREENSHOTS) / f"{self.shots:02}-{name}.png"))

    def open(self, m):
        self.page.goto(m.url + "/chat/")
        expect(self.trigger()).to_be_visible()

    def trigger(self):
        """The button that opens the list of models, below the message that is being written. It has the name of the
        chosen model."""
        return self.page.locator("form").get_by_role("button", name=re.compile("^(Select model|alpha|beta)$"))

    def options(self):
        """Opens the list of models if it is closed."""
        if not self.page.get_by_role("option").first.is_visible():
            self.trigger().click()
        expect(self.page.get_by_role("option").first).to_be_visible()

    def option(self, model):
        self.options()
        return self.page.get_by_role("option").filter(has_text=model)

    def press(self, model, what):
        """A button in the model's row. It exists while the mouse is on the row."""
        self.has_button(model, what)
        self.option(model).get_by_role("button", name=what).click()

    def has_button(self, model, what):
        """Waits for the button. A model that is loaded or unloaded moves in the list, away from the mouse."""
        def there():
            self.option(model).hover()
            return self.option(model).get_by_role("button", name=what).is_visible()

        wait_until(there, f"{model} has a button {what!r}")

    def choose(self, model):
        self.option(model).click()
        expect(self.page.get_by_role("option")).to_have_count(0)
        expect(self.trigger()).to_have_text(model)

    def messages(self, whose):
        return self.page.get_by_role("group", name=f"{whose} message")

    def say(self, text, model):
        """Sends a message, and waits for the end of the model's answer."""
        before = self.messages("Assistant").count()
        box = self.page.get_by_role("textbox", name="Type a message")
        box.fill(text)
        with self.page.expect_response(lambda r: r.url.endswith("/chat/v1/chat/completions")) as answer:
            box.press("Enter")
        assert answer.value.status == 200, answer.value
        assert answer.value.finished() is None
        assert answer.value.request.post_data_json["model"] == model
        expect(self.messages("User").last).to_contain_text(text)
        expect(self.messages("Assistant")).to_have_count(before + 1)
        # The page shows the length of an answer once the answer is finished.
        last = self.messages("Assistant").last
        expect(last.get_by_role("button", name=re.compile("tokens$"))).to_be_visible()
        expect(last.get_by_role("button", name=model, exact=True)).to_be_visible()
        expect(self.page.get_by_role("button", name="Stop", exact=True)).to_have_count(0)


@pytest.fixture
def ui():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1200, "height": 800})
        context.set_default_timeout(PATIENCE * 1000)
        expect.set_options(timeout=PATIENCE * 1000)
        # A setting of the page itself: models that write random text do not stop by themselves.
        context.add_init_script("localStorage['LlamaUi.config'] ??= JSON.stringify({max_tokens: 8})")
        yield Page(context.new_page())
        browser.close()


def test_models_are_loaded_unloaded_and_evicted(start, ui):
    m = start("--no-park")
    ui.open(m)
    ui.options()
    ui.shot("models")
    ui.press("alpha", "Load model")
    expect(ui.page.get_by_text("Model loaded: alpha")).to_be_visible()
    assert m.loaded() == ["alpha"]
    # It still is one of the page's models, now that its properties are known.
    ui.has_button("alpha", "Unload model")
    ui.shot("loaded")

    # Another client's request takes its place; the page learns of that by itself.
    m.use("beta")
    ui.has_button("alpha", "Load model")
    ui.has_button("beta", "Unload model")
    ui.shot("evicted")

    ui.press("beta", "Unload model")
    expect(ui.page.get_by_text("Model unloaded: beta")).to_be_visible()
    assert m.loaded() == [] and m.engines() == []
    ui.shot("unloaded")


def test_chat_switch_and_reload(start, ui):
    m = start("--no-park")
    ui.open(m)
    ui.choose("alpha")
    ui.say("First words", "alpha")
    ui.shot("chat")
    assert m.loaded() == ["alpha"]
    ui.choose("beta")
    ui.say("Second words", "beta")
    assert m.loaded() == ["beta"]
    ui.shot("switched")
    ui.page.reload()
    expect(ui.messages("User")).to_contain_text(["First words", "Second words"])
    ui.say("Third words", "beta")
    ui.shot("reloaded")
    # The policy blocks nothing that the page needs.
    blocked = [text for text in ui.refused if "Content Security Policy" in text and "sw.js" not in text]
    assert blocked == [], blocked


def test_parked_models_behind_a_key(start, ui):
    m = start("--api-key", KEY)
    ui.page.goto(m.url + "/chat/")
    ui.page.get_by_role("button", name="Enter API Key").click()
    ui.shot("key")
    ui.page.get_by_placeholder("Enter your API key").fill(KEY)
    ui.page.keyboard.press("Enter")
    expect(ui.trigger()).to_be_visible()

    ui.press("alpha", "Load model")
    ui.has_button("alpha", "Unload model")
    # Another client's request parked it: the page can use and unload it like a loaded model.
    key = {"Authorization": f"Bearer {KEY}"}
    assert m.post("/v1/chat/completions", chat_body("beta", max_tokens=2), headers=key).status == 200
    statuses = {model["id"]: model["status"]["value"] for model in m.get("/v1/models", headers=key).json["data"]}
    assert statuses == {"alpha": "sleeping", "beta": "loaded"}
    ui.has_button("beta", "Unload model")
    ui.has_button("alpha", "Unload model")
    ui.shot("parked")
    ui.choose("alpha")
    ui.say("First words", "alpha")
    for model in ("beta", "alpha"):
        ui.press(model, "Unload model")
        expect(ui.page.get_by_text(f"Model unloaded: {model}")).to_be_visible()
    assert m.engines() == []
    ui.shot("unloaded")


def test_who_signed_in_on_the_page_chats_without_a_key(start, ui):
    m = start("--api-key", KEY)
    ui.page.goto(m.url)
    ui.page.get_by_label("API key").fill(KEY)
    ui.page.keyboard.press("Enter")
    ui.page.get_by_role("link", name="Chat").click()
    ui.page.get_by_role("link", name="Open the chat").click()
    expect(ui.trigger()).to_be_visible()
    ui.choose("alpha")
    ui.say("First words", "alpha")
    assert "Authorization" not in ui.page.evaluate("JSON.stringify(localStorage)")
