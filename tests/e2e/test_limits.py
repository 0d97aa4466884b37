"""Connections, slow clients and long requests are bounded. Clients within the limits are served meanwhile."""
import contextlib
import json
import socket

import harness
from harness import wait_until


def open_socket(m):
    sock = socket.create_connection(("127.0.0.1", m.port), harness.PATIENCE)
    return sock


def read_all(sock):
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := sock.recv(65536):
            data += piece
    return data


def is_refused(m):
    """Whether the server closes a new connection without an answer."""
    with open_socket(m) as sock, contextlib.suppress(ConnectionResetError, BrokenPipeError):
        sock.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return read_all(sock) == b""
    return True


def keep_alive(m):
    sock = open_socket(m)
    sock.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
    return sock


def test_connections_in_all(serve):
    m = serve(env={"MINERVA_LIMITS_MAX_CONNECTIONS": "4", "MINERVA_LIMITS_MAX_CONNECTIONS_PER_PEER": "100"})
    held = [keep_alive(m) for _ in range(4)]
    assert is_refused(m)
    held[0].sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")  # connections within the limit stay
    assert held[0].recv(65536).startswith(b"HTTP/1.1 200 ")
    held[0].sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert b"\nminerva_connections_refused_total 1\n" in read_all(held[0])
    for sock in held:
        sock.close()
    wait_until(lambda: not is_refused(m), "there is room again")


def test_connections_of_one_peer(serve):
    m = serve(env={"MINERVA_LIMITS_MAX_CONNECTIONS_PER_PEER": "3"})
    held = [keep_alive(m) for _ in range(3)]
    assert is_refused(m)
    # Another address of this machine is another peer.
    with socket.create_connection(("127.0.0.1", m.port), harness.PATIENCE, source_address=("127.0.0.2", 0)) as other:
        other.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert read_all(other).startswith(b"HTTP/1.1 200 ")
    for sock in held:
        sock.close()
    wait_until(lambda: not is_refused(m), "there is room again")


def test_idle_connections_end(serve):
    m = serve(env={"MINERVA_LIMITS_IDLE_TIMEOUT": "100ms"})
    with open_socket(m) as fresh, keep_alive(m) as used:
        assert read_all(fresh) == b""
        assert read_all(used) == b""


def drip(sock, bytes_of):
    """Sends one byte after another until the server closes. Returns what the server says."""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        for byte in bytes_of:
            sock.sendall(byte)
            sock.settimeout(0.01)
            try:
                if data := sock.recv(65536):
                    sock.settimeout(harness.PATIENCE)
                    return data + read_all(sock)
                return b""
            except TimeoutError:
                pass
    return b""


def forever(byte):
    while True:
        yield byte


def test_a_head_that_trickles_in(serve):
    m = serve(env={"MINERVA_LIMITS_HEAD_TIMEOUT": "300ms"})
    with open_socket(m) as sock:
        sock.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        assert drip(sock, forever(b"x")).startswith(b"HTTP/1.1 408 ")
    assert m.chat("a").status == 200


def test_a_body_that_trickles_in(serve):
    m = serve(env={"MINERVA_LIMITS_BODY_TIMEOUT": "300ms"})
    stream = m.chat_stream("a", max_tokens=30)
    with open_socket(m) as sock:
        sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{")
        assert drip(sock, forever(b" ")).startswith(b"HTTP/1.1 408 ")
    assert stream.rest()[-1] == "[DONE]"
    stream.drop()


def test_a_client_that_does_not_read(serve, slow_model):
    """The generation ends at the request's deadline, or when the connection takes nothing more."""
    m = serve(models={"slow": slow_model}, env={"MINERVA_LIMITS_REQUEST_TIMEOUT": "3s"})
    assert m.load("slow").status == 200
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        sock.connect(("127.0.0.1", m.port))
        body = json.dumps(harness.chat_body("slow", max_tokens=100_000, stream=True, ignore_eos=True)).encode()
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
        sock.sendall(head + body)
        wait_until(lambda: m.view("slow")["leases"] == 1, "it is being answered")
        wait_until(lambda: m.view("slow")["leases"] == 0, "its lease ends")
    # On a busy machine one answer may take longer than this server allows.
    wait_until(lambda: m.chat("slow", max_tokens=1).status == 200, "others are served")


def test_a_request_has_a_deadline(serve, slow_model):
    m = serve(models={"slow": slow_model}, env={"MINERVA_LIMITS_REQUEST_TIMEOUT": "3s"})
    assert m.load("slow").status == 200
    answer = m.chat("slow", max_tokens=100_000, ignore_eos=True)
    assert answer.status == 504 and answer.error["code"] == "engine_timeout", answer
    assert "limits.request_timeout" in answer.error["message"]
    stream = m.chat_stream("slow", max_tokens=100_000, ignore_eos=True)
    events = stream.rest()
    assert json.loads(events[-1])["error"]["code"] == "engine_timeout", events[-1]
    stream.drop()
    wait_until(lambda: m.view("slow")["leases"] == 0, "no lease is left")


def test_a_body_is_kept_until_its_answer_begins(serve, slow_model):
    """From then on the body cannot be sent to another engine, however long the answer takes."""
    m = serve(models={"slow": slow_model})
    stream = m.chat_stream("slow", "Hello " * 20, max_tokens=100_000, ignore_eos=True)
    stream.token()
    assert m.metric("minerva_queued_body_bytes") == 0
    stream.drop()
