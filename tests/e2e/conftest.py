"""Fixtures: generated models (kept between runs) and daemons that are checked and cleaned up after each test."""
import pathlib

import pytest

import harness
from tiny_models import SLOW, TINY, generate


@pytest.fixture(scope="session")
def models():
    """id -> file: a, b, c, d chat (3 MB each), e embeds."""
    return {name: generate(name, options) for name, options in TINY.items()}


@pytest.fixture(scope="session")
def slow_model():
    return generate("slow", SLOW)


@pytest.fixture
def tool_calls():
    """What to serve() with, so that model `a` calls tools (see tool_calls.jinja)."""
    template = "tool_calls.jinja"
    return {"config": f'[model."a"]\npath = "a.gguf"\nargs = ["--chat-template-file", "{template}"]\n',
            "extra": {template: pathlib.Path(__file__).parent / template}}


@pytest.fixture
def serve(models):
    """serve(*flags, models=..., env=..., config=...) -> a running Minerva; by default with all tiny models."""
    started = []

    def start(*args, models=models, **kwargs):
        minerva = harness.Minerva(models, *args, **kwargs)
        started.append(minerva)
        return minerva.start()

    start.started = started  # for the report of a failure
    try:
        yield start
        for minerva in started:
            minerva.stop()
    finally:
        for minerva in started:
            minerva.clean()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    # Yielding fixtures do not see that their test failed: show the daemon's log from here.
    if report.when == "call" and report.failed:
        for value in item.funcargs.values():
            for minerva in [value] if isinstance(value, harness.Minerva) else getattr(value, "started", []):
                report.sections.append(("daemon's log", minerva.log()[-20000:]))


def pytest_terminal_summary(terminalreporter):
    for what, seconds in harness.figures:
        terminalreporter.write_line(f"figure: {what}: {seconds:.3f} s")


@pytest.fixture
def m(serve):
    """A server with a stream under way, which nothing that the test does may disturb."""
    m = serve()
    stream = m.chat_stream("a", max_tokens=200)
    stream.token()
    yield m
    assert stream.rest()[-1] == "[DONE]"  # never disturbed
    stream.drop()
