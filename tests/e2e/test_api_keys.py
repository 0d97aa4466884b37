"""With API keys set, only /health is answered without a key, and no answer shows a key."""
import pathlib
import subprocess

import harness

KEYS = ["first-key-of-two", "second-key-of-two"]


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def test_every_key_opens_and_nothing_else_does(serve):
    m = serve("--api-key", KEYS[0], "--api-key", KEYS[1])
    assert m.get("/health").status == 200
    for path in ("/ready", "/metrics", "/v1/models", "/v1/models/stats", "/nothing", "/v1/models?a=%zz"):
        for headers in ({}, bearer("wrong"), bearer(KEYS[0] + "x"), bearer(KEYS[0][:-1]), {"x-api-key": "wrong"}):
            answer = m.get(path, headers=headers)
            assert answer.status == 401, (path, headers, answer)
            assert answer.error["code"] == "invalid_api_key"
            assert answer.error["type"] == "authentication_error"
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.headers["x-should-retry"] == "false"
    for key in KEYS:
        for headers in (bearer(key), {"x-api-key": key}, {"Authorization": f"bearer {key}"}):
            assert m.get("/v1/models", headers=headers).status == 200, headers
            assert m.get("/nothing", headers=headers).status == 404
            assert m.get("/v1/models?a=%zz", headers=headers).status == 400
    chat = harness.chat_body("a", max_tokens=2)
    assert m.post("/v1/chat/completions", chat).status == 401
    assert m.post("/v1/chat/completions", chat, headers=bearer(KEYS[1])).status == 200


def test_a_key_ends_nothing_of_others(serve, slow_model):
    m = serve(models={"slow": slow_model}, config='api_keys = ["anna", "ben"]\nadmin_keys = ["root"]\n')
    stream = m.stream("/v1/chat/completions", harness.chat_body("slow", max_tokens=3000, stream=True),
                      headers=bearer("anna"))
    stream.token()
    for method, path in (("DELETE", "/v1/models/slow?force=true"), ("POST", "/v1/models/slow/park?force=true"),
                         ("POST", "/v1/models/slow/load?force=true"), ("POST", "/v1/cache/clear?all=true"),
                         ("POST", "/v1/cache/clear?history=true")):
        answer = m.request(method, path, headers=bearer("ben"))
        assert answer.status == 403 and "admin_keys" in answer.error["message"], (path, answer)
    assert m.request("POST", "/v1/cache/clear?conversations=true", headers=bearer("ben")).status == 200
    stream.token()
    assert m.request("POST", "/v1/cache/clear?stats=true", headers=bearer("root")).status == 200
    assert m.request("DELETE", "/v1/models/slow?force=true", headers=bearer("root")).status == 200


def test_keys_of_file_environment_and_the_command_line(serve, tmp_path):
    file = tmp_path / "keys"
    file.write_text("# two of them\nof-the-file\n\nalso-of-the-file\n")
    file.chmod(0o600)
    m = serve("--api-key-file", file, env={"MINERVA_API_KEY": "of-the-environment"})
    for key in ("of-the-file", "also-of-the-file", "of-the-environment"):
        assert m.get("/v1/models", headers=bearer(key)).status == 200, key
    assert m.get("/v1/models", headers=bearer("# two of them")).status == 401

    def run(env, *args):
        return subprocess.run([harness.MINERVA, "models", "--url", m.url, *args], capture_output=True, text=True,
                              timeout=harness.PATIENCE, env={**m.env, **env})

    assert run({}).returncode == 0
    assert run({"MINERVA_API_KEY": ""}, "--api-key", "of-the-file").returncode == 0
    refused = run({"MINERVA_API_KEY": "wrong"})
    assert refused.returncode == 1 and "API key" in refused.stderr and "wrong" not in refused.stderr, refused


def start_error(tmp_path, *args, env=None):
    return subprocess.run([harness.MINERVA, "serve", "--state-dir", tmp_path / "state", "--engine", harness.ENGINE,
                           *map(str, args)], capture_output=True, text=True, timeout=harness.PATIENCE,
                          env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **(env or {})})


def test_a_file_of_keys_that_others_may_read_is_refused(tmp_path):
    file = tmp_path / "keys"
    file.write_text("topsecret\n")
    file.chmod(0o644)
    done = start_error(tmp_path, "--api-key-file", file)
    assert done.returncode == 2 and "chmod 600" in done.stderr and "topsecret" not in done.stderr, done


def test_beyond_loopback_with_a_key(serve):
    m = serve("--api-key", KEYS[0], listen="0.0.0.0:0")
    assert m.get("/v1/models", headers=bearer(KEYS[0])).status == 200
    assert m.get("/v1/models").status == 401
    assert m.get("/v1/models", headers={**bearer(KEYS[0]), "Host": "198.51.100.1"}).status == 200
    assert m.get("/v1/models", headers={**bearer(KEYS[0]), "Host": "rebound.example"}).status == 403
    assert "without TLS" in m.log()


def test_no_key_is_told(serve, tmp_path):
    m = serve("--api-key", KEYS[0], env={"MINERVA_API_KEYS": "of-the-environment"},
              config='api_keys = ["of-the-config"]\n')
    m.get("/v1/models", headers=bearer("a-wrong-key-that-was-sent"))
    m.post("/v1/chat/completions", harness.chat_body("a", max_tokens=2), headers=bearer(KEYS[0]))
    m.get(f"/v1/models?api_key={KEYS[0]}", headers=bearer(KEYS[0]))
    checked = subprocess.run([harness.MINERVA, "serve", *m.args, "--check"], capture_output=True, text=True, env=m.env,
                             timeout=harness.PATIENCE)
    assert checked.returncode == 0 and "sha256:" in checked.stdout, checked
    texts = {"the log": m.log(), "--check": checked.stdout + checked.stderr}
    for pid in m.engines():
        process = pathlib.Path("/proc") / str(pid)
        texts[f"engine {pid}"] = (process / "environ").read_text() + (process / "cmdline").read_text()
    assert len(texts) > 2, "no engine was looked at"
    secrets = [*KEYS, "of-the-environment", "of-the-config", "a-wrong-key-that-was-sent"]
    for where, text in texts.items():
        for secret in secrets:
            assert secret not in text, f"{secret} is in {where}"


def test_a_hash_may_stand_for_a_key(serve):
    hashed = "sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
    m = serve(config=f'api_keys = ["{hashed}"]\n')
    assert m.get("/v1/models", headers=bearer("secret")).status == 200
    assert m.get("/v1/models", headers=bearer(hashed)).status == 401


def test_a_key_is_taken_back_by_removing_its_line(serve, tmp_path):
    file = tmp_path / "keys"
    file.write_text("anna\nben\n")
    file.chmod(0o600)
    m = serve("--api-key-file", file)
    connection = m.connect()
    connection.request("GET", "/v1/events", headers=bearer("anna"))
    stream = connection.getresponse()
    assert stream.status == 200
    file.write_text("ben\n")
    stream.read()  # it ends
    harness.wait_until(lambda: m.get("/v1/models", headers=bearer("anna")).status == 401, "the key is none any more")
    assert m.get("/v1/models", headers=bearer("ben")).status == 200
    assert "config reloaded: changed api_key_file" in m.log()
    connection.close()
