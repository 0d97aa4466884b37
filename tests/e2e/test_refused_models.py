"""A model that cannot run is refused with its reason, and no other model leaves for it."""
import pytest


@pytest.fixture
def bad_files(tmp_path, models):
    whole = models["b"].read_bytes()
    bad = {
        "truncated": whole[: len(whole) // 2],
        "head-only": whole[:64],
        "foreign": b"%PDF-1.7\n" + b"this is no model\n" * 1000,
        "empty": b"",
        "noise": b"GGUF" + bytes(range(256)) * 1000,
    }
    files = {"a": models["a"]}
    for name, content in bad.items():
        files[name] = tmp_path / name
        files[name].write_bytes(content)
    return files


def test_bad_files(serve, bad_files):
    m = serve("--max-models", 1, models=bad_files)
    m.use("a")
    engine = m.engine("a")
    for name in bad_files:
        if name == "a":
            continue
        for answer in (m.load(name), m.chat(name), m.load(name, verb="preload"), m.load(name, "?force=true"),
                       m.load(name, "?dry_run=true")):
            assert answer.status == 422, (name, answer)
            assert answer.error["code"] == "invalid_model", answer
            assert len(answer.error["message"]) > 20, answer
    assert m.engine("a") == engine, "a good model was given up for a bad one"
    assert m.cache()["evictions"] == 0
    assert m.chat("a").headers["x-minerva-cache"] == "hit"


def test_a_stream_for_a_bad_file_has_its_own_status(serve, bad_files):
    m = serve(models=bad_files)
    stream = m.chat_stream("truncated")
    assert stream.status == 422
    stream.drop()


def test_a_file_that_gets_repaired_works(serve, bad_files, models):
    m = serve(models=bad_files)
    assert m.load("truncated").status == 422
    target = m.models_dir / "truncated.gguf"
    target.unlink()
    m.add_model("truncated", models["b"])
    assert m.load("truncated").status == 200


def test_more_than_the_whole_budget(serve, models, slow_model):
    both = {"a": models["a"], "slow": slow_model}
    needed = serve(models=both).load("slow", "?dry_run=true").json["estimated_memory_mb"]
    m = serve("--memory-budget", f"{needed - 1}MiB", "--fit", "off", models=both)
    m.use("a")
    engine = m.engine("a")
    for answer in (m.load("slow"), m.chat("slow"), m.load("slow", "?force=true")):
        assert answer.status == 422 and answer.error["code"] == "memory_budget_exceeded", answer
        assert str(needed - 1) in answer.error["message"], answer
    assert m.engine("a") == engine
    assert m.cache()["evictions"] == 0
