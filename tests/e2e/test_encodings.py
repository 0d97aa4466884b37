"""Compressed request bodies."""
import gzip
import json
import pathlib
import re
import zlib

import zstandard

import harness
from harness import in_background

ENCODE = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstandard.compress}
CHAT = {"model": "a", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}


def send(m, encoding, data, path="/v1/chat/completions", chunked=False):
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    body = (data[i:i + 1000] for i in range(0, len(data), 1000)) if chunked else data
    return m.request("POST", path, body, headers)


def peak_memory(m):
    """The most memory that the daemon has held so far, in bytes."""
    status = pathlib.Path(f"/proc/{m.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) << 10


def refused(answer, status, code):
    assert answer.status == status and answer.error["code"] == code, answer
    return answer.error


def test_each_encoding_is_read(serve):
    m = serve()
    for encoding, encode in ENCODE.items():
        for body in (CHAT, {**CHAT, "padding": ["%d" % i for i in range(300_000)]}):
            data = encode(json.dumps(body).encode())
            for chunked in (False, True):
                answer = send(m, encoding, data, chunked=chunked)
                assert answer.status == 200, (encoding, answer)
    assert send(m, "identity", json.dumps(CHAT).encode()).status == 200


def test_life_cycle_calls_are_read_too(serve):
    m = serve()
    answer = send(m, "gzip", gzip.compress(b'{"model_id":"b"}'), "/v1/models/a/load")
    assert refused(answer, 400, "invalid_argument")["param"] == "model_id"
    assert send(m, "zstd", zstandard.compress(b'{"model_id":"a"}'), "/v1/models/a/load").status == 200


def test_others_are_refused_with_what_is_taken(serve):
    m = serve()
    for encoding in ("br", "gzip, gzip", "compress"):
        answer = send(m, encoding, b"whatever")
        assert "gzip, deflate, zstd" in refused(answer, 415, "unsupported_media_type")["message"]
        assert answer.headers["accept-encoding"] == "gzip, deflate, zstd"


def test_broken_and_truncated_ones_are_refused(serve):
    m = serve()
    for encoding, encode in ENCODE.items():
        data = encode(json.dumps(CHAT).encode())
        for body in (data[:-1], data[:len(data) // 2], b"no such thing", data + b"more"):
            refused(send(m, encoding, body), 400, "invalid_argument")


def test_a_bomb_is_refused_and_takes_no_memory(serve):
    m = serve()
    for encoding, encode in ENCODE.items():
        bomb = encode(b'{"model":"a","x":"' + b"0" * 10_000_000 + b'"}')
        assert len(bomb) < 12_000
        before = peak_memory(m)
        calls = [in_background(send, m, encoding, bomb) for _ in range(8)]
        for call in calls:
            refused(call.result(), 413, "body_too_large")
        assert peak_memory(m) - before < harness.SHADOWED * 64 << 20
    assert m.loaded() == []


def test_the_decoded_size_counts(serve):
    m = serve(env={"MINERVA_LIMITS_MAX_BODY": "1MiB"})
    # Shrinks to about a third: no bomb.
    body = json.dumps({**CHAT, "padding": ["%d" % i for i in range(300_000)]}).encode()
    data = gzip.compress(body)
    assert len(body) > 1 << 20 > len(data)
    refused(send(m, "gzip", data), 413, "body_too_large")
