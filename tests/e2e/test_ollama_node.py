"""ollama-js against Minerva, in its own process: see clients/ollama.mjs."""
import os
import pathlib
import subprocess

import harness

SCRIPT = pathlib.Path(__file__).parent / "clients/ollama.mjs"


def test_a_script_that_switches_models(serve):
    m = serve("--max-models", 1)
    done = subprocess.run(["node", SCRIPT, m.url], capture_output=True, text=True, timeout=4 * harness.PATIENCE,
                          env={"PATH": os.environ["PATH"], "MINERVA_E2E_NODE": os.environ["MINERVA_E2E_NODE"]})
    assert done.returncode == 0, done.stderr
    assert done.stdout == "done\n"
