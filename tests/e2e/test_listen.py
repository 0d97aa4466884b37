"""Several addresses: each is served, [::1] beside another one may fail, and the first one is printed."""
import http.client
import socket
import subprocess

import harness


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
        return True
    except OSError:
        return False


def health(address, port):
    connection = http.client.HTTPConnection(address, port, timeout=harness.PATIENCE)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status
    finally:
        connection.close()


def test_both_loopbacks_have_one_port(serve):
    m = serve("--listen", "[::1]:0", models={})
    assert m.url == f"http://127.0.0.1:{m.port}"
    assert health("127.0.0.1", m.port) == 200
    if has_ipv6():
        assert health("::1", m.port) == 200
    else:
        assert f"[::1]:{m.port} is not listened on" in m.log()


def test_a_failing_ipv6_loopback_is_a_warning(serve):
    family, host = (socket.AF_INET6, "::1") if has_ipv6() else (socket.AF_INET, "127.0.0.2")
    with socket.socket(family) as taken:
        taken.bind((host, 0))
        taken.listen()
        port = taken.getsockname()[1]
        m = serve("--listen", f"[::1]:{port}", models={}, listen=f"127.0.0.1:{port}")
        assert health("127.0.0.1", port) == 200
        assert f"[::1]:{port} is not listened on" in m.log()


def test_a_unix_socket_beside_an_address(serve):
    m = serve("--listen", "unix:s", models={})
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(m.folder / "s"))
        sock.sendall(b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")
    assert health("127.0.0.1", m.port) == 200


def test_each_address_beyond_loopback_needs_a_key(tmp_path):
    done = subprocess.run([harness.MINERVA, "serve", "--listen", "127.0.0.1:0", "--listen", "0.0.0.0:0"],
                          env={"HOME": str(tmp_path), "PATH": ""}, capture_output=True, text=True, check=False,
                          timeout=harness.PATIENCE)
    assert done.returncode == 2 and "0.0.0.0:0 can be reached" in done.stderr, done
