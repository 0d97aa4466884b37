"""openai-node against Minerva, in its own process: see clients/conversation.mjs."""
import os
import pathlib
import subprocess

import harness

SCRIPT = pathlib.Path(__file__).parent / "clients/conversation.mjs"


def test_a_script_that_switches_models(serve, tool_calls):
    m = serve("--max-models", 1, **tool_calls)
    done = subprocess.run(["node", SCRIPT, m.url], capture_output=True, text=True, timeout=4 * harness.PATIENCE,
                          env={"PATH": os.environ["PATH"], "MINERVA_E2E_NODE": os.environ["MINERVA_E2E_NODE"]})
    assert done.returncode == 0, done.stderr
    assert done.stdout == "done\n"
    m.settle()
    cache = m.cache()
    # a b e a: three loads and a wake; what follows (tokenize, tools, schema, dropped stream) finds a
    # in memory. A refused embedding is no lookup.
    assert (cache["hits"], cache["misses"], cache["evictions"]) == (5, 3, 3)
