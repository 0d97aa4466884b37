"""openai-go against Minerva, in the versions before and after its fix for comments in streams: see clients/go/."""
import os
import pathlib
import subprocess

import pytest

import harness

# v1: 1.12.0, v3: 3.43.0. run.sh leaves this unset where the installed Go is too old for them.
PROGRAMS = os.environ.get("MINERVA_E2E_GO")
pytestmark = pytest.mark.skipif(not PROGRAMS, reason="the Go clients need Go 1.22 or later")
VERSIONS = pytest.mark.parametrize("version", ["v1", "v3"])


def start(version, m, *arguments):
    return subprocess.Popen([pathlib.Path(PROGRAMS) / version, m.url, *arguments], env={"HOME": str(m.folder)},
                            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@VERSIONS
def test_a_program_that_switches_models(one_at_a_time, version):
    assert harness.finish(start(version, one_at_a_time)) == (0, "done\n", "")


@VERSIONS
def test_a_stream_that_waits(one_at_a_time, version):
    m = one_at_a_time
    asked = []
    m.keep_waiting("slow", lambda: asked.append(start(version, m, "wait")))
    m.resume("slow")
    code, text, errors = harness.finish(asked[-1])
    assert code == 0 and text.strip(), errors


@VERSIONS
def test_an_error_after_a_wait(serve, slow_model, version):
    # A server of its own, since a model that failed twice is refused for a while.
    m = serve(models={"slow": slow_model})
    asked = []
    m.fail_load("slow", m.keep_waiting("slow", lambda: asked.append(start(version, m, "wait"))))
    code, text, errors = harness.finish(asked[-1])
    assert code == 1 and not text and "error while streaming" in errors and "engine_crashed" in errors
