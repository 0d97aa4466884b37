"""The `ai` SDK against Minerva, in its own process: see clients/ai.mjs."""
import os
import pathlib
import subprocess

import harness

SCRIPT = pathlib.Path(__file__).parent / "clients/ai.mjs"


def start(m, *arguments):
    environment = {"PATH": os.environ["PATH"], "MINERVA_E2E_NODE": os.environ["MINERVA_E2E_NODE"]}
    return subprocess.Popen(["node", SCRIPT, m.url, *arguments], env=environment, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_script_that_switches_models(one_at_a_time):
    code, output, errors = harness.finish(start(one_at_a_time))
    assert code == 0 and output == "done\n", errors


def test_a_stream_that_waits(one_at_a_time):
    m = one_at_a_time
    asked = []
    m.keep_waiting("slow", lambda: asked.append(start(m, "wait")))
    m.resume("slow")
    code, text, errors = harness.finish(asked[-1])
    assert code == 0 and text.strip(), errors


def test_an_error_after_a_wait(serve, slow_model):
    # A server of its own, since a model that failed twice is refused for a while.
    m = serve(models={"slow": slow_model})
    asked = []
    m.fail_load("slow", m.keep_waiting("slow", lambda: asked.append(start(m, "wait"))))
    code, text, errors = harness.finish(asked[-1])
    assert code == 1 and not text and "engine_crashed" in errors
