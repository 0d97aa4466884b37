"""`model_path` names a regular file inside a models folder. Errors say nothing about what is outside."""
import os
import re


def test_inside(serve, models):
    m = serve(models={"a": models["a"]})
    folder = m.models_dir / "sub"
    folder.mkdir()
    os.link(m.models_dir / "a.gguf", folder / "x.gguf")
    for name, path in {"relative": "sub/x.gguf", "absolute": str(folder / "x.gguf"),
                       "detour": "sub/../sub/x.gguf"}.items():
        answer = m.post(f"/v1/models/{name}/load", {"model_path": path})
        assert answer.status == 200, (name, answer)
        assert m.chat(name).status == 200
    (m.models_dir / "link.gguf").symlink_to(folder / "x.gguf")
    answer = m.post("/v1/models/linked/load", {"model_path": "link.gguf"})
    assert answer.status == 200, answer


def test_outside_missing_and_unreadable_are_one_and_the_same(serve, models):
    m = serve(models={"a": models["a"]})
    outside = m.folder / "outside.gguf"
    os.link(m.models_dir / "a.gguf", outside)
    (m.models_dir / "link-out.gguf").symlink_to(outside)
    (m.models_dir / "dangling.gguf").symlink_to(m.folder / "nowhere")
    (m.models_dir / "dir-out").symlink_to(m.folder)
    (m.models_dir / "folder.gguf").mkdir()
    os.mkfifo(m.models_dir / "fifo.gguf")
    paths = ["missing.gguf", "../outside.gguf", str(outside), "link-out.gguf", "dangling.gguf", "dir-out/outside.gguf",
             "folder.gguf", "fifo.gguf", "/etc/passwd", "/dev/zero", "..", ".", str(m.models_dir),
             str(m.models_dir) + "/../outside.gguf", "a.gguf/x", "x" * 300, "/proc/self/environ"]
    answers = set()
    for path in paths:
        answer = m.post("/v1/models/probe/load", {"model_path": path})
        assert answer.status == 404 and answer.error["code"] == "model_not_found", (path, answer)
        # The message may repeat what the client sent.
        message = answer.error["message"].replace(path, "PATH")
        answers.add((answer.status, answer.error["type"], answer.error["param"], re.sub(r"x{20,}", "PATH", message)))
    assert len(answers) == 1, answers
    assert m.engines() == [] and m.loaded() == []
    assert m.get("/v1/models/probe").status == 404


def test_a_file_that_is_no_model_is_a_422(serve, models):
    m = serve(models={"a": models["a"]})
    (m.models_dir / "notes.txt").write_text("no model")
    answer = m.post("/v1/models/notes/load", {"model_path": "notes.txt"})
    assert answer.status == 422 and answer.error["code"] == "invalid_model", answer


def test_a_nul_in_the_path_is_malformed(serve):
    m = serve()
    answer = m.post("/v1/models/a/load", {"model_path": "a.gguf\0.txt"})
    assert answer.status == 400 and answer.error["param"] == "model_path", answer
