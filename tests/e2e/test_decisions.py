"""Why a model is where it is: /v1/decisions, `minerva explain`, the log, and the number in a refusal."""
import json
import subprocess

import harness


def decisions(m, query=""):
    """The decisions, the oldest first."""
    return list(reversed(m.get("/v1/decisions" + query).json["data"]))


def test_a_switch_is_explained(serve):
    m = serve("--max-models", 1, "--policy", "lru")
    m.use("a", "b", "a")
    told = [(d["kind"], d["model"]) for d in decisions(m)]
    assert told == [("load", "a"), ("make_room", "b"), ("park", "a"), ("load", "b"), ("make_room", "a"), ("park", "b"),
                    ("wake", "a")]
    room, park, load = decisions(m)[1:4]
    assert park["because_of"] == load["because_of"] == room["id"]
    assert "1 request waits for it" in room["reason"] and "1 of at most 1 models are hot" in room["reason"]
    (candidate,) = room["candidates"]
    assert candidate["model"] == "a" and candidate["chosen"] and candidate["leaves_by"] == "park"
    assert candidate["standing"].startswith("last used ")
    # The decisions about one model include those in which it had to leave for another.
    assert [(d["kind"], d["model"]) for d in decisions(m, "?model=b")] == [
        ("make_room", "b"), ("load", "b"), ("make_room", "a"), ("park", "b")]
    assert [d["kind"] for d in decisions(m, "?limit=1")] == ["wake"]
    assert decisions(m, "?model=no-such") == []
    assert m.get("/v1/decisions?limit=many").status == 400

    explained = subprocess.run([harness.MINERVA, "explain", "b", "--url", m.url], capture_output=True, text=True,
                               timeout=harness.PATIENCE, env=m.env)
    assert explained.returncode == 0, explained
    lines = explained.stdout.splitlines()
    assert lines[0] == "b is parked."
    assert [line.split()[1] for line in lines[1:]] == ["make_room", "load", "make_room", "park"]
    assert lines[3].split()[2] == "a:" and lines[4].endswith('evicted to make room for "a"')
    unknown = subprocess.run([harness.MINERVA, "explain", "no-such", "--url", m.url], capture_output=True, text=True,
                             timeout=harness.PATIENCE, env=m.env)
    assert unknown.returncode == 4 and "no-such" in unknown.stderr


def test_a_refusal_names_its_decision(serve):
    m = serve("--memory-budget", "1MiB")
    for _ in range(2):
        answer = m.chat("a")
        assert answer.status == 422
        (refusal,) = decisions(m)
        assert answer.json["error"]["decision"] == refusal["id"]
        assert refusal["kind"] == "refuse" and refusal["code"] == answer.error["code"]
    assert refusal["times"] == 2 and refusal["reason"] == answer.error["message"]


def test_decisions_are_lines_of_the_log(serve):
    m = serve("--log-format", "json", "--max-models", 1)
    m.use("a", "b")
    logged = [line for line in map(json.loads, m.log().splitlines()) if "decision" in line]
    assert [(line["kind"], line["model"]) for line in logged] == [(d["kind"], d["model"]) for d in decisions(m)]
    assert [line["decision"] for line in logged] == [str(d["id"]) for d in decisions(m)]
    assert all(d["reason"] in line["message"] for line, d in zip(logged, decisions(m)))
