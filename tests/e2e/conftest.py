"""Fixtures: generated models, kept between runs; and daemons, checked and removed after each test."""
import pathlib

import pytest

import harness
from tiny_models import SLOW, TINY, generate


CALLING = '[model."a"]\npath = "a.gguf"\nargs = ["--chat-template-file", "tool_calls.jinja"]\n'


@pytest.fixture(scope="session")
def models():
    """id -> file: a, b, c, d are chat models (3 MB each), e is an embedding model."""
    return {name: generate(name, options) for name, options in TINY.items()}


@pytest.fixture(scope="session")
def slow_model():
    return generate("slow", SLOW)


@pytest.fixture
def tool_calls():
    """Arguments for serve() with which model `a` calls tools (see tool_calls.jinja)."""
    template = "tool_calls.jinja"
    return {"config": CALLING, "extra": {template: pathlib.Path(__file__).parent / template}}


@pytest.fixture
def serve(models):
    """serve(*flags, models=..., env=..., config=...) starts a Minerva; by default with all tiny models."""
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


@pytest.fixture(scope="module")
def one_at_a_time(models, slow_model):
    """A server that all tests of a file share: it has room for one model, `a` calls tools (see tool_calls.jinja), `e` has a
    name that OpenAI's clients know, `slow` is slow."""
    template = "tool_calls.jinja"
    known = '[model."e"]\npath = "e.gguf"\naliases = ["text-embedding-3-small"]\n'
    minerva = harness.Minerva({**models, "slow": slow_model}, "--max-models", 1, config=CALLING + known,
                              extra={template: pathlib.Path(__file__).parent / template},
                              env={"MINERVA_QUEUE_MIN_RESIDENCY": "100ms"})
    try:
        yield minerva.start()
        minerva.stop()
    finally:
        minerva.clean()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    # A fixture does not learn that its test failed, so this shows the daemon's log.
    if report.when == "call" and report.failed:
        for value in item.funcargs.values():
            for minerva in [value] if isinstance(value, harness.Minerva) else getattr(value, "started", []):
                report.sections.append(("daemon's log", minerva.log()[-20000:]))


def pytest_terminal_summary(terminalreporter):
    for what, seconds in harness.figures:
        terminalreporter.write_line(f"figure: {what}: {seconds:.3f} s")


@pytest.fixture
def m(serve):
    """A server with a stream under way, which the test must not disturb."""
    m = serve()
    stream = m.chat_stream("a", max_tokens=200)
    stream.token()
    yield m
    assert stream.rest()[-1] == "[DONE]"  # the stream was not disturbed
    stream.drop()
