"""HTTPS: the same server behind TLS. A handshake that hangs disturbs nobody. Bad files are errors at the start."""
import http.client
import json
import socket
import ssl
import subprocess

import pytest

import harness


@pytest.fixture
def certificate(tmp_path):
    return harness.make_certificate(tmp_path)


def with_tls(certificate, more=""):
    return f'[tls]\ncertificate = "{certificate[0]}"\nkey = "{certificate[1]}"\n{more}'


def connect(m, certificate, version=None):
    context = ssl.create_default_context(cafile=certificate[0])
    if version:
        context.minimum_version = context.maximum_version = version
    return http.client.HTTPSConnection("localhost", m.port, timeout=harness.PATIENCE, context=context)


def ask(connection, method, path, body=None):
    connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"} if body else {})
    response = connection.getresponse()
    return harness.Answer(response.status, response.getheaders(), response.read())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_requests_and_streams(serve, certificate, version):
    m = serve(config=with_tls(certificate))
    assert m.url.startswith("https://")
    connection = connect(m, certificate, version)
    assert ask(connection, "GET", "/v1/models").status == 200
    assert ask(connection, "POST", "/v1/chat/completions", harness.chat_body("a", max_tokens=4)).status == 200
    connection.request("POST", "/v1/chat/completions", json.dumps(harness.chat_body("a", max_tokens=8, stream=True)),
                       {"Content-Type": "application/json"})
    stream = harness.Stream(connection, connection.getresponse())
    assert stream.status == 200 and stream.rest()[-1] == "[DONE]"
    # A large body and a large answer: many TLS records.
    text = "word " * 100_000
    answer = ask(connect(m, certificate), "POST", "/tokenize", {"model": "a", "content": text})
    assert answer.status == 200 and len(answer.json["tokens"]) > 50_000
    connection.close()


def test_a_client_that_goes_away_is_noticed(serve, certificate, slow_model):
    m = serve(models={"slow": slow_model}, config=with_tls(certificate))
    connection = connect(m, certificate)
    connection.request("POST", "/v1/chat/completions",
                       json.dumps(harness.chat_body("slow", max_tokens=3000, stream=True)),
                       {"Content-Type": "application/json"})
    stream = harness.Stream(connection, connection.getresponse())
    stream.token()

    def leases():
        stats = ask(connect(m, certificate), "GET", "/v1/models/stats").json
        return sum(view["leases"] for view in stats["models"])

    assert leases() == 1
    stream.drop()
    harness.wait_until(lambda: leases() == 0, "its lease ends")


def test_hanging_handshakes_disturb_nobody(serve, certificate):
    m = serve(config=with_tls(certificate, '[limits]\nhead_timeout = "300ms"\n'))
    silent = [socket.create_connection(("127.0.0.1", m.port)) for _ in range(20)]
    for i, sock in enumerate(silent):
        sock.settimeout(harness.PATIENCE)
        if i % 2:
            sock.sendall(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a client hello
    assert ask(connect(m, certificate), "GET", "/v1/models").status == 200
    for sock in silent:
        assert sock.recv(1) == b""  # closed by the server
        sock.close()


def test_what_is_no_tls(serve, certificate):
    m = serve(config=with_tls(certificate))
    answer = m.raw(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ") and b"https://" in answer, answer
    for garbage in (b"\x16\x03\x01\x00\x05hello" + b"x" * 100, b"\0" * 1000, b"\x80\x2e\x01\x00\x02"):
        with socket.create_connection(("127.0.0.1", m.port), harness.PATIENCE) as sock:
            sock.sendall(garbage)
            sock.shutdown(socket.SHUT_WR)
            try:
                while sock.recv(4096):
                    pass
            except ConnectionResetError:
                pass
    old = ssl.create_default_context(cafile=certificate[0])
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        old.wrap_socket(socket.create_connection(("127.0.0.1", m.port)), server_hostname="localhost")
    assert ask(connect(m, certificate), "GET", "/v1/models").status == 200


def test_the_command_line(serve, certificate, tmp_path):
    m = serve(config=with_tls(certificate))
    url = f"https://localhost:{m.port}"

    def run(*args, **env):
        return subprocess.run([harness.MINERVA, "models", "--url", url, *map(str, args)], capture_output=True,
                              text=True, timeout=harness.PATIENCE, env={**m.env, **env})

    assert run("--cacert", certificate[0]).returncode == 0
    assert run("--insecure").returncode == 0
    assert run(MINERVA_CACERT=str(certificate[0])).returncode == 0
    untrusted = run()
    assert untrusted.returncode == 3 and "--cacert" in untrusted.stderr, untrusted


def test_files_that_cannot_serve(tmp_path, certificate):
    other = harness.make_certificate(tmp_path, "other")
    text = tmp_path / "text"
    text.write_text("this is no certificate\n")
    cases = {(certificate[0], other[1]): "not the key of the certificate", (text, certificate[1]): "no certificate",
             (certificate[0], text): "no key", (tmp_path / "missing", certificate[1]): "No such file"}
    for (cert, key), words in cases.items():
        config = tmp_path / "minerva.toml"
        config.write_text(with_tls((cert, key)))
        for more in ([], ["--check"]):
            done = subprocess.run([harness.MINERVA, "serve", "--config", config, "--listen", "127.0.0.1:0", "--state-dir",
                                   tmp_path / "state", "--engine", harness.ENGINE, *more], capture_output=True, text=True,
                                  timeout=harness.PATIENCE, env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)})
            assert done.returncode == 2 and words in done.stderr, (cert, key, more, done)
