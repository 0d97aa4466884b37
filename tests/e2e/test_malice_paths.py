"""Paths and ids that try to reach what they should not: each is refused clearly, and others are served."""
import os
import socket

import pytest


@pytest.fixture
def m(serve, models):
    m = serve(models={"a": models["a"]})
    stream = m.chat_stream("a", max_tokens=200)
    stream.token()
    yield m
    assert stream.rest()[-1] == "[DONE]"  # the stream was not disturbed
    stream.drop()
    assert m.loaded() == ["a"]


def test_paths_that_lead_out(m):
    outside = m.folder / "outside.gguf"
    os.link(m.models_dir / "a.gguf", outside)
    (m.models_dir / "link.gguf").symlink_to(outside)
    (m.models_dir / "chain.gguf").symlink_to(m.models_dir / "link.gguf")
    (m.models_dir / "loop.gguf").symlink_to(m.models_dir / "loop.gguf")
    (m.models_dir / "proc.gguf").symlink_to("/proc/self/exe")
    (m.models_dir / "device.gguf").symlink_to("/dev/zero")
    (m.models_dir / "folder").symlink_to("/")
    os.mkfifo(m.models_dir / "fifo.gguf")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(m.models_dir / "socket.gguf"))
    relative_out = "../" * 20 + str(outside).lstrip("/")
    paths = ["../outside.gguf", "./../outside.gguf", "x/../../outside.gguf", relative_out, str(outside),
             str(m.models_dir) + "/../outside.gguf", "link.gguf", "chain.gguf", "loop.gguf", "proc.gguf", "device.gguf",
             "folder/etc/passwd", "folder" + str(outside), "fifo.gguf", "socket.gguf", "/proc/self/fd/0",
             "/proc/self/exe",
             "/proc/self/root" + str(outside), "/dev/zero", "/dev/stdin", "file://" + str(outside), "~/outside.gguf",
             "..\\outside.gguf", "/" * 4000 + "etc/passwd", "a/" * 2000, "\u202e.gguf", "a.gguf\n"]
    for path in paths:
        answer = m.post("/v1/models/probe/load", {"model_path": path})
        assert answer.status == 404 and answer.error["code"] == "model_not_found", (path, answer)
    assert m.get("/v1/models/probe").status == 404


def test_a_hard_link_is_a_file_like_any_other(m):
    """A hard link cannot be told from the file itself. Whoever can make one in a models folder can also put a model
    there."""
    outside = m.folder / "outside.txt"
    outside.write_text("no model, and somebody's secret\n")
    os.link(outside, m.models_dir / "hard.gguf")
    answer = m.post("/v1/models/hard/load", {"model_path": "hard.gguf"})
    assert answer.status == 422 and answer.error["code"] == "invalid_model", answer
    assert "secret" not in answer.error["message"]


IDS = ["%00", "a%00", "a%00.gguf", "%2e%2e", "..", "%2e%2e%2fa", "..%2F..%2Fetc%2Fpasswd", "a%2F..%2Fa", "a/../a",
       "%2Fetc",
       "a%20", "a%0d%0aX-Evil:%201", "a%0a", "%ff%fe", "%c0%ae%c0%ae", "%E2%80%AE", "caf%C3%A9", "a%", "a%4", "a%zz",
       "%",
       "a" * 201, "a" * 4096, "%61" * 2000, "-a", ".a", "stats%2F", "a%3Fb", "a;b", "a\\b", "a'b", "{id}", "a*"]


@pytest.mark.parametrize("verb", ["GET", "DELETE", "POST"])
def test_ids(m, verb):
    for model_id in IDS:
        path = f"/v1/models/{model_id}" + ("/load" if verb == "POST" else "")
        answer = m.request(verb, path)
        assert answer.status in (400, 404), (path, answer)
        assert answer.error["message"] and "x-evil" not in answer.headers, (path, answer)


def test_models_named_in_bodies_and_queries(m):
    for name in ["\0", "a\0", "../a", "a/../a", "A" * 4096, "caf\u00e9", "\u202ea", "a\r\nX-Evil: 1",
                 "\ud83d\ude00", " a",
                 "a ", "/etc/passwd", "${PATH}", "$(reboot)", "%2e%2e"]:
        answer = m.chat(name)
        assert answer.status in (400, 404), (name, answer)
        assert answer.error["message"] and "x-evil" not in answer.headers, (name, answer)
    for query in ("%00", "a%00", "%2e%2e%2fa", "A" * 4096, "%E2%80%AE", "a%0d%0aX-Evil:%201", "%zz"):
        answer = m.get(f"/props?model={query}")
        assert answer.status in (400, 404) and "x-evil" not in answer.headers, (query, answer)
