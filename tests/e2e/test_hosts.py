"""Requests of foreign pages and for rebound names are refused; those of programs are not. Nothing listens beyond
loopback."""
import subprocess

import pytest

import harness


def head(m, *lines):
    answer = m.raw("\r\n".join(["GET /v1/models HTTP/1.1", *lines, "Connection: close", "", ""]).encode())
    return int(answer.split(b" ", 2)[1]), answer


def test_hosts(serve, models):
    m = serve(config='[limits]\nallowed_hosts = ["models.example"]\n')
    for host in ("localhost", f"localhost:{m.port}", f"127.0.0.1:{m.port}", "[::1]", "LocalHost", "127.0.0.2",
                 "models.example", "models.example:80"):
        status, answer = head(m, f"Host: {host}")
        assert status == 200, (host, answer)
    for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "",
                 "evil.example:127.0.0.1", "models.example.evil"):
        status, answer = head(m, f"Host: {host}")
        assert status == 403 and b'"forbidden"' in answer, (host, answer)


def test_exactly_one_host(serve):
    m = serve()
    assert head(m)[0] == 400
    assert head(m, "Host: localhost", "Host: localhost")[0] == 400


def test_origins(serve):
    m = serve()
    own = f"localhost:{m.port}"
    assert head(m, f"Host: {own}", f"Origin: http://{own}")[0] == 200
    for origin in ("http://evil.example", "null", f"http://localhost:{m.port + 1}", "https://127.0.0.1"):
        status, answer = head(m, f"Host: {own}", f"Origin: {origin}")
        assert status == 403, (origin, answer)
    foreign = m.post("/v1/models/a/load", {}, headers={"Origin": "http://evil.example"})
    assert foreign.status == 403 and foreign.error["code"] == "forbidden", foreign
    assert m.loaded() == []


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "8.8.8.8:3000"])
def test_beyond_loopback_is_refused_at_start(models, tmp_path, address):
    done = subprocess.run([harness.MINERVA, "serve", "--listen", address, "--state-dir", tmp_path],
                          capture_output=True, text=True, timeout=harness.PATIENCE,
                          env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)})
    assert done.returncode == 2, done
    assert "loopback" in done.stderr


def test_a_port_that_is_taken(serve, tmp_path):
    m = serve()
    done = subprocess.run([harness.MINERVA, "serve", "--listen", f"127.0.0.1:{m.port}", "--state-dir", tmp_path,
                           "--engine", harness.ENGINE], capture_output=True, text=True, timeout=harness.PATIENCE,
                          env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)})
    assert done.returncode == 1 and str(m.port) in done.stderr, done
