"""Requests that can be read in two ways, floods of headers, foreign pages and names: all are refused; others are
served."""
import contextlib
import json
import socket

import pytest

import harness


BODY = json.dumps({"model": "nosuch", "messages": []}).encode()
HIDDEN = b"DELETE /v1/models/a HTTP/1.1\r\nHost: localhost\r\n\r\n"


def send(m, data):
    """Everything that the server sends until it closes."""
    with socket.create_connection(("127.0.0.1", m.port), harness.PATIENCE) as sock:
        answer = b""
        with contextlib.suppress(OSError):  # the server may close meanwhile
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            while piece := sock.recv(65536):
                answer += piece
        return answer


def post(headers, body):
    return b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n" + body


CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
AMBIGUOUS = {
    "both lengths": post(LENGTH + b"Transfer-Encoding: chunked\r\n", CHUNKED + HIDDEN),
    "both lengths, the other way": post(b"Transfer-Encoding: chunked\r\n" + LENGTH, CHUNKED + HIDDEN),
    "two lengths": post(b"Content-Length: 0\r\n" + LENGTH, BODY + HIDDEN),
    "two lengths in one": post(b"Content-Length: 0, %d\r\n" % len(BODY), BODY + HIDDEN),
    "signed length": post(b"Content-Length: +%d\r\n" % len(BODY), BODY),
    "negative length": post(b"Content-Length: -1\r\n", BODY),
    "length in hex": post(b"Content-Length: 0x10\r\n", BODY),
    "huge length": post(b"Content-Length: 99999999999999999999999\r\n", BODY),
    "length with a space": post(b"Content-Length : %d\r\n" % len(BODY), BODY),
    "empty length": post(b"Content-Length: \r\n", BODY),
    "encoding twice": post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", CHUNKED + HIDDEN),
    "encoding with a space": post(b"Transfer-Encoding : chunked\r\n", CHUNKED),
    "encoding with a tab": post(b"Transfer-Encoding:\tchunked\x0b\r\n", CHUNKED),
    "other encoding": post(b"Transfer-Encoding: xchunked\r\n" + LENGTH, CHUNKED),
    "identity": post(b"Transfer-Encoding: identity\r\n" + LENGTH, BODY),
    "chunked is not last": post(b"Transfer-Encoding: chunked, identity\r\n", CHUNKED),
    "gzip and chunked": post(b"Transfer-Encoding: gzip, chunked\r\n", CHUNKED),
    "chunk size without an end": post(b"Transfer-Encoding: chunked\r\n", b"5" * 100_000),
    "chunk size is no number": post(b"Transfer-Encoding: chunked\r\n", b"zz\r\n" + BODY),
    "negative chunk": post(b"Transfer-Encoding: chunked\r\n", b"-1\r\n" + BODY),
    "huge chunk": post(b"Transfer-Encoding: chunked\r\n", b"FFFFFFFFFFFFFFFFF\r\n" + BODY),
    "chunk longer than said": post(b"Transfer-Encoding: chunked\r\n", b"5\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "folded header": post(b"X-Folded: a\r\n b\r\n" + LENGTH, BODY),
    "folded length": post(b"Content-Length:\r\n %d\r\n" % len(BODY), BODY),
    "folded host": b"GET /v1/models HTTP/1.1\r\nHost:\r\n\tlocalhost\r\n\r\n",
    "line starts with a space": b"GET /v1/models HTTP/1.1\r\n Host: localhost\r\n\r\n",
    "bare line ends": b"GET /v1/models HTTP/1.1\nHost: localhost\n\n",
    "NUL in a header": post(b"X-Nul: a\0b\r\n" + LENGTH, BODY),
    "bare CR in a header": post(b"X-Cr: a\rb\r\n" + LENGTH, BODY),
    "header without a colon": post(b"nonsense\r\n" + LENGTH, BODY),
    "header without a name": post(b": value\r\n" + LENGTH, BODY),
    "two hosts": b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    "no host": b"GET /v1/models HTTP/1.1\r\n\r\n",
    "another protocol": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no version": b"GET /v1/models\r\n\r\n",
    "HTTP/9": b"GET /v1/models HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "control character in the path": b"GET /v1/models\x01 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "space in the path": b"GET /v1/models /x HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@pytest.mark.parametrize("shape", AMBIGUOUS)
def test_requests_that_can_be_read_in_two_ways(m, shape):
    answer = send(m, AMBIGUOUS[shape])
    assert answer.startswith(b"HTTP/1.1 400 "), answer[:500]
    # Nothing that follows is taken for a request, and nothing was cut or joined into one.
    assert answer.count(b"HTTP/1.1 ") == 1, answer[:1000]
    assert m.state("a") == "hot"


def test_bare_line_ends_end_no_chunk(m):
    answer = send(m, post(b"Transfer-Encoding: chunked\r\n", b"%x\n%s\n0\n\n" % (len(BODY), BODY)))
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 "), answer  # the body has not come to its end


def test_a_request_in_a_body_is_a_body(m):
    """The rest of a refused request is never taken for the next request."""
    answer = send(m, b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN)
    assert answer.startswith(b"HTTP/1.1 404 ") and answer.count(b"HTTP/1.1 ") == 1, answer
    assert m.state("a") == "hot"


def test_headers_of_a_hop_do_not_reach_the_engine(m):
    """X-Conversation-Id would detach a generation from its connection; Connection may name what is to be dropped."""
    answer = m.post("/v1/chat/completions", harness.chat_body("a", max_tokens=2),
                    headers={"X-Conversation-Id": "1", "Connection": "close, content-type", "TE": "trailers",
                             "Upgrade": "websocket", "Expect": "200-maybe"})
    assert answer.status == 200, answer


def test_a_hundred_thousand_headers(m):
    many = b"".join(b"X-%d: y\r\n" % i for i in range(100_000))
    answer = send(m, b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n" + many + b"\r\n")
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 "), answer[:200]  # it may close while the head is sent
    few = b"".join(b"X-%d: y\r\n" % i for i in range(101))
    answer = send(m, b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n" + few + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 431 "), answer[:200]
    answer = send(m, b"GET /" + b"x" * 1_000_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 "), answer[:200]


def test_pages_of_others(m):
    """What a browser lets any page send without a preflight: forms and images."""
    own = f"127.0.0.1:{m.port}"
    foreign = {"Host": own, "Origin": "http://evil.example"}
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        answer = m.request("POST", "/v1/models/b/load", '{"x": "', {**foreign, "Content-Type": content_type})
        assert answer.status == 403 and answer.error["code"] == "forbidden", answer
    chat = json.dumps(harness.chat_body("b"))
    assert m.request("POST", "/v1/chat/completions", chat, {**foreign, "Content-Type": "text/plain"}).status == 403
    assert m.request("DELETE", "/v1/models/a", headers=foreign).status == 403
    assert m.get("/props?model=b", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}).status == 403
    assert m.loaded() == ["a"]


def test_names_that_were_rebound(m):
    for host in ("evil.example", f"evil.example:{m.port}", "127.0.0.1.evil.example", "0x7f000001", "2130706433",
                 "[::ffff:8.8.8.8]", "localhost.", "localhost@evil.example", "evil.example#localhost"):
        answer = m.get("/v1/models", headers={"Host": host})
        assert answer.status == 403, (host, answer)
    # A target that names a host itself does not help.
    answer = send(m, b"GET http://localhost/v1/models HTTP/1.1\r\nHost: evil.example\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 403 "), answer
