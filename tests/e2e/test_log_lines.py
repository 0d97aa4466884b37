"""A log line is one line, whatever a client sends. It holds neither prompts nor keys."""
import json
import re

HOSTILE = "\x1b[31mred\x07 \r\n2026-01-01T00:00:00.000+00:00 error forged \u202e\u2028 \x9b2J"
PROMPT = "the secret of the garden is under the third stone"
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d (debug|info|warning|error) +\S")


def provoke(m):
    m.chat(HOSTILE)
    m.post("/v1/models/a/load", {"model_path": HOSTILE})
    for target in ("/v1/models/%1b%5b31mred%0d%0aforged/load", "/%1b%5b31m%0aforged",
                   "/v1/models?x=%0aforged&key=sk-secret"):
        m.post(target)
    m.raw(b"GET /\x1b[31mforged HTTP/1.1\r\nHost: \x1b[31mforged\r\nX: \x1b[31mforged\r\n\r\n")
    m.get("/v1/models", headers={"Authorization": "Bearer sk-secret", "X-Request-Id": "forged\x1b[31m"})
    # A model whose name, and whose engine, try to forge log lines.
    (m.models_dir / "forged\x1b[31m\nname.gguf").write_bytes(b"GGUF" + b"\x1b[31m\nforged\n" * 10)
    (m.models_dir / "bad.gguf").write_bytes(b"GGUF\3\0\0\0" + b"\x1b[31m\r\nforged" * 50)
    m.get("/v1/models")
    m.chat("bad")
    assert m.chat("a", PROMPT).status == 200
    m.chat_stream("a", PROMPT).rest()
    m.post("/tokenize", {"model": "a", "content": PROMPT})


def test_text(serve):
    m = serve()
    provoke(m)
    text = m.log_path.read_bytes()
    lines = text.decode().split("\n")
    assert len(lines) > 10 and lines.pop() == ""
    for line in lines:
        assert LINE.match(line), f"not a line of ours: {line!r}"
        assert not re.search(r"[\x00-\x1f\x7f-\x9f]", line), f"a control character: {line!r}"
    assert PROMPT not in text.decode() and "sk-secret" not in text.decode()


def test_json(serve):
    m = serve("--log-format", "json")
    provoke(m)
    lines = m.log_path.read_bytes().decode("ascii").split("\n")
    assert len(lines) > 10 and lines.pop() == ""
    for line in lines:
        entry = json.loads(line)
        assert {"time", "level", "message"} <= set(entry), line
    assert PROMPT not in m.log() and "sk-secret" not in m.log()


def test_what_an_engine_says_is_shown_without_its_control_characters(serve):
    m = serve()
    m.chat("a", HOSTILE)
    shown = m.get("/v1/models/a/logs?tail=1000").body
    assert shown and not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", shown), "a control character"
