"""Fixtures: generated models (kept between runs) and daemons that are checked and cleaned up after each test."""
import hashlib
import os
import pathlib
import subprocess
import tempfile

import pytest

import harness

TINY = {
    "a": ["--seed", "1"],
    "b": ["--seed", "2"],
    "c": ["--seed", "3"],
    "d": ["--seed", "4"],
    "e": ["--arch", "bert"],
}
# Large enough that a load, a prefill and an answer can be caught under way: 0.1 billion parameters.
SLOW = ["--embd", "768", "--layers", "8", "--ffn", "3072", "--quant", "q4_0"]


def generate(name, options):
    """A model file, generated once per kind of make_gguf."""
    program = harness.BIN_DIR / "make_gguf"
    folder = pathlib.Path(os.environ.get("MINERVA_E2E_MODELS", harness.ROOT / "build/e2e-models"))
    folder.mkdir(parents=True, exist_ok=True)
    status = program.stat()
    key = hashlib.sha256(repr((options, status.st_size, status.st_mtime_ns)).encode()).hexdigest()[:12]
    file = folder / f"{name}-{key}.gguf"
    if not file.exists():
        # Tests run side by side: write aside, then rename.
        with tempfile.TemporaryDirectory(dir=folder) as aside:
            made = pathlib.Path(aside) / f"{name}.gguf"
            subprocess.run([program, made, *options], check=True, capture_output=True)
            made.rename(file)
    return file


@pytest.fixture(scope="session")
def models():
    """id -> file: a, b, c, d chat (3 MB each), e embeds."""
    return {name: generate(name, options) for name, options in TINY.items()}


@pytest.fixture(scope="session")
def slow_model():
    return generate("slow", SLOW)


@pytest.fixture
def tool_config():
    """Config under which model `a` calls tools (see tool_calls.jinja)."""
    template = pathlib.Path(__file__).parent / "tool_calls.jinja"
    return f'[model."a"]\npath = "a.gguf"\nargs = ["--chat-template-file", "{template}"]\n'


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
