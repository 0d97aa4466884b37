"""The server's own trace of requests, and `minerva policy compare` on it."""
import csv
import json
import os
import stat
import subprocess
import time

import harness
from harness import wait_until


def rows(m):
    """The recorded rows, as dictionaries."""
    file = m.folder / "state" / "trace" / "access.csv"
    if not file.exists():
        return []
    return list(csv.DictReader(file.read_text().splitlines()))


def minerva(m, *args, expect=0):
    done = subprocess.run([harness.MINERVA, *args], capture_output=True, text=True, timeout=harness.PATIENCE,
                          env={**m.env, "MINERVA_URL": m.url})
    assert done.returncode == expect, done
    return done


def machine(m):
    return ["--models-dir", str(m.models_dir), "--state-dir", str(m.folder / "state"), "--engine", str(harness.ENGINE)]


def test_requests_are_recorded_and_policies_compared(serve):
    m = serve("--max-models", "1", "--no-park")
    begun = time.time()
    m.use("a", "b", "a", "b", "a", "b")
    answered = time.time()
    wait_until(lambda: len(rows(m)) == 6, "all requests are recorded")
    assert [row["model"] for row in rows(m)] == ["a", "b"] * 3
    arrivals = [float(row["arrival_s"]) for row in rows(m)]
    assert begun - 0.01 <= arrivals[0] and arrivals == sorted(arrivals)
    last = rows(m)[-1]
    assert 0 <= float(last["service_s"]) <= answered - float(last["arrival_s"]) + 0.01

    folder = m.folder / "state" / "trace"
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(folder / "access.csv").st_mode) == 0o600
    assert "Hello" not in (folder / "access.csv").read_text(), "no prompts"

    found = json.loads(minerva(m, "doctor", "--json", "--listen", f"127.0.0.1:{m.port}", *machine(m)).stdout)["findings"]
    said = {f["topic"]: f["sentence"] for f in found}
    assert '"a" 3 times, "b" 3 times' in said["switching"], said
    assert "Of 2 models that were asked for, 2 got 90% of the requests" in said["use"], said

    text = minerva(m, "policy", "compare", *machine(m), "--capacity", "50").stdout
    assert "6 requests for 2 models" in text and "\nhazard (in use) " in text and "Left out" not in text, text

    def compared():
        return json.loads(minerva(m, "policy", "compare", *machine(m), "--json").stdout)

    answer = compared()
    assert answer["requests"] == 6 and answer["tables"][0]["best_policy"] == answer["policy"], answer
    # The server writes what it has learned every few seconds.
    wait_until(lambda: not any("guessed" in note for note in compared()["notes"]), "its loads were measured")
    m.stop()


def test_a_trace_survives_a_crash_and_goes_on(serve):
    m = serve()
    m.use("a")
    wait_until(lambda: len(rows(m)) == 1, "the request is recorded")
    m.kill()
    with open(m.folder / "state" / "trace" / "access.csv", "a") as file:
        file.write("1790000000.1")
    assert "1 requests" in minerva(m, "policy", "compare", *machine(m)).stdout
    m.start()
    m.use("b")
    m.stop()
    assert [row["model"] for row in rows(m)] == ["a", "b"], "written before the server ended"


def test_nothing_is_recorded_if_that_is_not_wanted(serve):
    m = serve(config="[trace]\nenabled = false\n")
    m.use("a")
    m.stop()
    assert not (m.folder / "state" / "trace").exists()
    assert "no requests were recorded" in minerva(m, "policy", "compare", *machine(m), expect=1).stderr


def test_a_disk_that_fails_is_no_error_of_a_request(serve):
    m = serve()
    (m.folder / "state" / "trace").write_text("in the way")
    m.use("a", "a", "a")
    m.stop()
    assert m.log().count("requests are missing in the trace") == 1, m.log()
