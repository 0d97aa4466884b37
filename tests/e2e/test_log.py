"""The log: one line per event, whatever the event is about."""
import json

from harness import wait_until

# A name that would colour a terminal, forge a line and end a string.
HOSTILE = "x\x1b[31m\n{\"level\":\"error\"}\r\x07\u009b\udcff"


def provoke(m):
    """Makes the server log about a file with that name, a request and a model."""
    (m.models_dir / f"{HOSTILE}.imatrix.gguf").write_bytes(b"")
    m.get("/v1/models/" + "%1b%5b31m%0a")
    m.use("a")
    wait_until(lambda: "importance matrix" in m.log() and "/v1/chat/completions" in m.log(), "it is logged")
    raw = m.log_path.read_bytes()
    assert not [byte for byte in raw if (byte < 0x20 and byte != 0x0A) or byte == 0x7F]
    raw.decode()  # UTF-8
    return raw.decode().splitlines()


def test_json(serve):
    m = serve("--log-format", "json")
    lines = [json.loads(line) for line in provoke(m)]
    for line in lines:
        assert {"time", "level", "message"} <= set(line), line
        assert line["level"] in ("debug", "info", "warning", "error")
    assert any("x\x1b[31m\n" in line["message"] for line in lines), "the name is told as it is"
    request = next(line for line in lines if line.get("path") == "/v1/chat/completions")
    assert request["method"] == "POST" and request["status"] == "200" and request["model"] == "a"
    assert request["request"].startswith("req_") and int(request["took_ms"]) >= 0
    assert any(line["message"].startswith("a is ready") and line["model"] == "a" for line in lines)


def test_text(serve):
    lines = provoke(serve("--log-format", "text"))
    assert all(line[:2] == "20" for line in lines), "a line was forged"
    assert any("x\\x1b[31m\\n" in line for line in lines)


def test_no_prompt_is_logged(serve):
    m = serve()
    secret = "the-prompt-is-nobody-elses"
    assert m.chat("a", secret).status == 200
    assert m.chat("nosuch", secret).status == 404
    m.post("/v1/chat/completions", "{broken " + secret, headers={"Content-Type": "application/json"})
    wait_until(lambda: m.log().count("/v1/chat/completions") >= 3, "the requests are logged")
    assert secret not in m.log()
