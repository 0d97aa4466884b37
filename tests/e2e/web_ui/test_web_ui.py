"""llama.cpp's own web UI, as `make ui` builds it, in Debian's Chromium against real engines."""
import os
import pathlib
import re

import pytest
from playwright.sync_api import expect, sync_playwright

from harness import PATIENCE

SCREENSHOTS = os.environ.get("MINERVA_SCREENSHOTS")


@pytest.fixture
def m(serve, models):
    names = {"alpha": models["a"], "beta": models["b"]}
    return serve("--max-models", 1, "--no-park", "--ui-dir", os.environ["MINERVA_UI_DIR"], models=names)


class Page:
    def __init__(self, m, page):
        self.m = m
        self.page = page
        self.refused = []  # by the page's policy, or by the server
        self.shots = 0
        page.on("console", lambda message: self.refused.append(message.text) if message.type == "error" else None)

    def shot(self, name):
        if SCREENSHOTS:
            self.shots += 1
            self.page.screenshot(path=str(pathlib.Path(SCREENSHOTS) / f"{self.shots:02}-{name}.png"))

    def open(self):
        self.page.goto(self.m.url + "/chat/")
        expect(self.trigger()).to_be_visible()

    def trigger(self):
        return self.page.locator("[data-slot=dropdown-menu-trigger]").filter(
            has_text=re.compile("Select model|alpha|beta")).first

    def options(self):
        """Opens the list of models if it is not."""
        if not self.page.get_by_role("option").first.is_visible():
            self.trigger().click()
        expect(self.page.get_by_role("option").first).to_be_visible()

    def option(self, model):
        self.options()
        return self.page.get_by_role("option").filter(has_text=model).first

    def press(self, model, what):
        """A button of the model's row, which is there while the mouse is on it."""
        self.option(model).hover()
        self.option(model).get_by_role("button", name=what).click()

    def has_button(self, model, what):
        self.option(model).hover()
        expect(self.option(model).get_by_role("button", name=what)).to_be_visible()

    def close_options(self):
        while self.page.get_by_role("option").first.is_visible():
            self.page.keyboard.press("Escape")
            self.page.wait_for_function("true")

    def choose(self, model):
        self.option(model).click()
        expect(self.trigger()).to_contain_text(model)
        self.close_options()

    def say(self, text):
        """Sends a message, and waits for the end of its answer."""
        box = self.page.locator("textarea, [contenteditable=true]").first
        box.click()
        box.fill(text)
        with self.page.expect_response(lambda r: r.url.endswith("/chat/v1/chat/completions")) as answer:
            self.page.keyboard.press("Enter")
        assert answer.value.status == 200, answer.value
        assert answer.value.finished() is None
        expect(self.page.get_by_text(text).first).to_be_visible()


@pytest.fixture
def ui(m):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1200, "height": 800})
        context.set_default_timeout(PATIENCE * 1000)
        expect.set_options(timeout=PATIENCE * 1000)
        yield Page(m, context.new_page())
        browser.close()


def test_models_are_loaded_unloaded_and_evicted(m, ui):
    ui.open()
    ui.options()
    ui.shot("models")
    ui.press("alpha", "Load model")
    expect(ui.page.get_by_text("Model loaded: alpha")).to_be_visible()
    assert m.loaded() == ["alpha"]
    ui.has_button("alpha", "Unload model")
    ui.shot("loaded")

    # Somebody else's request takes its place; the page learns of it by itself.
    m.use("beta")
    ui.has_button("alpha", "Load model")
    ui.has_button("beta", "Unload model")
    ui.shot("evicted")

    ui.press("beta", "Unload model")
    expect(ui.page.get_by_text("Model unloaded: beta")).to_be_visible()
    assert m.loaded() == [] and m.engines() == []
    ui.shot("unloaded")


def test_chat_switch_and_reload(m, ui):
    ui.open()
    ui.choose("alpha")
    ui.say("First words")
    ui.shot("chat")
    assert m.loaded() == ["alpha"]
    ui.choose("beta")
    ui.say("Second words")
    assert m.loaded() == ["beta"]
    ui.shot("switched")
    ui.page.reload()
    expect(ui.page.get_by_text("First words").first).to_be_visible()
    expect(ui.page.get_by_text("Second words").first).to_be_visible()
    ui.say("Third words")
    ui.shot("reloaded")
    # Nothing that it needs is kept from it.
    blocked = [text for text in ui.refused if "Content Security Policy" in text and "sw.js" not in text]
    assert blocked == [], blocked
