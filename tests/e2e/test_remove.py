"""Models' files are removed from the disk: by the command and over HTTP; and what is refused."""
import subprocess

import harness


def cli(m, *args):
    done = subprocess.run([harness.MINERVA, *args, "--url", m.url], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          timeout=harness.PATIENCE)
    return done.returncode, done.stdout, done.stderr


def ids(m):
    return [model["id"] for model in m.get("/v1/models").json["data"]]


def test_the_command_asks_first(serve):
    m = serve()
    code, _, err = cli(m, "rm", "a")
    assert code == 2 and "--yes" in err, err
    code, out, _ = cli(m, "rm", "a", "--dry-run")
    assert code == 0 and "a.gguf" in out and "would free" in out, out
    assert "a" in ids(m) and (m.models_dir / "a.gguf").exists()
    code, out, err = cli(m, "rm", "a", "--yes")
    assert code == 0 and "a is removed" in out, (out, err)
    assert "a" not in ids(m) and not (m.models_dir / "a.gguf").exists()
    assert "b" in ids(m)
    code, _, err = cli(m, "rm", "a", "--yes")
    assert code == 4, err


def test_only_admins_remove(serve):
    m = serve("--api-key", "usual", "--admin-key", "admin")
    usual = {"Authorization": "Bearer usual"}
    for method, path, body in (("DELETE", "/v1/models/a/files", None), ("DELETE", "/v1/models/a/files?dry_run=true", None),
                               ("DELETE", "/models?model=a", None), ("DELETE", "/api/delete", {"model": "a"})):
        answer = m.request(method, path, body, headers=usual)
        assert answer.status == 403 and b"admin_keys" in answer.body, (path, answer)
    assert (m.models_dir / "a.gguf").exists()
    assert m.request("DELETE", "/api/delete", {"model": "a"}, headers={"Authorization": "Bearer admin"}).status == 200
    assert not (m.models_dir / "a.gguf").exists()


def test_a_model_in_use_goes_by_force_only(serve, slow_model):
    m = serve(models={"a": slow_model})
    stream = m.chat_stream("a", max_tokens=3000)
    assert stream.event() is not None
    refused = m.delete("/v1/models/a/files")
    assert refused.status == 409 and "in use" in refused.error["message"], refused
    assert ids(m) == ["a"]
    gone = m.delete("/v1/models/a/files?force=true")
    assert gone.status == 200 and gone.json["removed"] is True, gone
    assert ids(m) == [] and not (m.models_dir / "a.gguf").exists()


def test_presets_and_commands_are_the_configs(serve):
    m = serve(config="""
[model."made"]
command = ["/bin/sleep", "${PORT}"]
memory = "1MiB"
[preset."short"]
model = "a"
""")
    refused = m.delete("/v1/models/short/files")
    assert refused.status == 409 and "preset" in refused.error["message"], refused
    refused = m.delete("/v1/models/made/files")
    assert refused.status == 409 and "command of the config" in refused.error["message"], refused
    assert m.delete("/v1/models/nosuch/files").status == 404
    assert (m.models_dir / "a.gguf").exists()
