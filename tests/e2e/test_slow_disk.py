"""A disk that answers late delays only those who wait for the disk (tests/fakes/slow_disk.cc)."""
import contextlib
import json

import pytest

import harness
from harness import wait_until


class SlowDisk:
    """The disk of the daemons that are started with its `env`."""

    def __init__(self, folder):
        library = harness.FAKES / "slow_disk.so"
        assert library.exists(), "slow_disk.so is missing: build the tests"
        self.folder = folder
        self.env = {"LD_PRELOAD": str(library), "SLOW_DISK": str(folder)}

    @contextlib.contextmanager
    def held(self, what):
        """Within the `with`, no `what` ("fsync", "stat") returns; with "slow" each call takes a second."""
        (self.folder / what).touch()
        try:
            yield
        finally:
            (self.folder / what).unlink()


@pytest.fixture
def disk(tmp_path):
    return SlowDisk(tmp_path)


def test_syncs_hold_up_no_request(serve, models, disk):
    """While state files are synced, a request can use the other threads."""
    m = serve(models={"a": models["a"], "b": models["b"]}, env=disk.env)
    m.use("a")
    state = m.folder / "state"
    with disk.held("fsync"):
        assert m.load("b").status == 200
        # Which of them come first depends on the inspections in the background.
        wait_until(lambda: list(state.glob("*.json.new")), "one is being written")
        m.add_model("c", models["c"])  # a request for it reads the folder
        assert m.chat("c").status == 200
        assert m.chat("a").status == 200


def test_a_request_waits_for_the_disk_up_to_its_deadline(serve, models, disk):
    m = serve(models={"a": models["a"]}, env={**disk.env, "MINERVA_LIMITS_REQUEST_TIMEOUT": "3s"})
    wait_until(lambda: m.chat("a", max_tokens=1).status == 200, "it is served")
    with disk.held("stat"):
        m.add_model("b", models["b"])  # so that the daemon looks at the folder
        answer = m.chat("a")
        assert answer.status == 504 and answer.error["code"] == "engine_timeout", answer
        assert "limits.request_timeout" in answer.error["message"]
        assert m.get("/health").status == 200
    wait_until(lambda: m.chat("a", max_tokens=1).status == 200, "it is served again")


def test_a_body_that_does_not_come_has_the_request_deadline_too(serve, models):
    m = serve(models={"a": models["a"]}, env={"MINERVA_LIMITS_REQUEST_TIMEOUT": "100ms",
                                              "MINERVA_LIMITS_BODY_TIMEOUT": "1h"})
    answer = m.raw(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 30\r\n\r\n{")
    assert answer.startswith(b"HTTP/1.1 504 "), answer
    assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]["code"] == "engine_timeout"


def test_conversations_are_kept_on_a_slow_disk(serve, models, disk):
    """Each call of the disk takes a second: no request waits for that, and nothing is lost."""
    m = serve(models={"a": models["a"], "b": models["b"]}, env=disk.env)
    text = " ".join(f"word{number}" for number in range(150))
    body = {"model": "a", "prompt": text, "max_tokens": 8, "temperature": 0}
    assert m.chat("b").status == 200
    with disk.held("slow"):
        first = m.post("/v1/completions", body)
        assert first.status == 200
        unload = harness.in_background(m.delete, "/v1/models/a")
        assert m.chat("b").status == 200
        assert not unload.done, "it saves before it leaves"
        assert unload.result().status == 200
        # The engine does not wait until the last call of the disk has ended.
        wait_until(lambda: m.get("/v1/conversations").json["segments"] >= 1, "it is kept")
        assert m.load("a").status == 200
        second = m.post("/v1/completions", body)
        assert int(second.headers.get("x-minerva-restored", 0)) > 100, second.headers
        assert second.json["choices"][0]["text"] == first.json["choices"][0]["text"]
        assert m.delete("/v1/conversations").status == 200
        wait_until(lambda: [p for p in (m.folder / "state/conversations").rglob("*") if p.is_file()] == [],
                   "they are removed")
