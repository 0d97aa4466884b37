"""Bodies that try to exhaust the server: by size, depth and shape. Each is refused clearly, and others are served."""
import contextlib
import json
import socket

import pytest

import harness


def memory(m):
    for line in open(f"/proc/{m.process.pid}/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024


def post_raw(m, head, pieces):
    """Sends the body until the server has answered. Returns the answer."""
    with socket.create_connection(("127.0.0.1", m.port), harness.PATIENCE) as sock:
        answer = b""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n")
            for piece in pieces:
                sock.sendall(piece)
        with contextlib.suppress(ConnectionResetError):
            while piece := sock.recv(65536):
                answer += piece
        return answer


def test_a_hundred_megabytes(m):
    before = memory(m)
    piece = b"x" * 65536
    answer = post_raw(m, b"Content-Length: 104857600\r\n", [])
    assert answer.startswith(b"HTTP/1.1 413 "), answer  # before a byte of the body is sent
    start = b'{"model":"a","prompt":"'
    answer = post_raw(m, b"Content-Length: 104857600\r\n", [start] + [piece] * 1599)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 413 "), answer
    chunks = [b"%x\r\n%s\r\n" % (len(data), data) for data in [start] + [piece] * 1600]
    answer = post_raw(m, b"Transfer-Encoding: chunked\r\n", chunks)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 413 "), answer
    # Only what is counted is kept: the largest allowed body (64 MiB), and its copy while it grows.
    assert memory(m) - before < (256 << 20) * harness.SHADOWED


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
def test_deep_json(m, opening):
    deep = opening * 100_000
    for path in ("/v1/chat/completions", "/tokenize", "/v1/embeddings"):
        answer = m.request("POST", path, '{"model":"a","messages":' + deep, {"Content-Type": "application/json"})
        assert answer.status == 400 and "nested" in answer.error["message"], answer
    for body in (deep, '{"model_path":' + deep):
        answer = m.request("POST", "/v1/models/b/load", body, {"Content-Type": "application/json"})
        assert answer.status == 400, answer
    closed = "[" * 100_000 + "]" * 100_000
    answer = m.request("POST", "/v1/models/b/load", '{"x":' + closed + "}", {"Content-Type": "application/json"})
    assert answer.status in (200, 400), answer
    m.delete("/v1/models/b")


def test_strange_bodies(m):
    for body in ("{" * 1000, "\ufeff{}", '{"model":"a"}{"model":"b"}', '{"model":"a"}\0', '{"mod\0el":"a"}',
                 '{"model":"\\ud800"}', '{"model":["a"]}', '{"model":{"a":1}}', '{"model":1e999}', "NaN", "\x00" * 1000,
                 '{"model":"a","model":', json.dumps({"model": "a" * 100_000})):
        answer = m.request("POST", "/v1/chat/completions", body.encode(), {"Content-Type": "application/json"})
        assert answer.status == 400 and answer.error["message"], (body[:50], answer)


def test_strange_forms(m):
    path = "/v1/audio/transcriptions"
    for content_type in ("multipart/form-data", "multipart/form-data; boundary=",
                         "multipart/form-data; boundary=" + "x" * 500):
        answer = m.request("POST", path, "--x\r\n", {"Content-Type": content_type})
        assert answer.status == 400, (content_type[:50], answer)
    part = 'Content-Disposition: form-data; name="model"'
    for body in ("", "--x", "--x--", "--x\r\n" + "a" * 100_000, f"--x\r\n{part}\r\n\r\na",
                 f"--x\r\n{part}\r\n\r\n" + "a" * 100_000):
        answer = m.request("POST", path, body, {"Content-Type": "multipart/form-data; boundary=x"})
        assert answer.status == 400 and answer.error["message"], (body[:50], answer)
