"""Ollama's API on the wire: what its real clients do not show (test_ollama_python.py has these)."""
import json

import pytest

import harness

CHAT = {"model": "a", "messages": [{"role": "user", "content": "Hello"}],
        "options": {"num_predict": 4, "temperature": 0}}


def lines(answer):
    return [json.loads(line) for line in answer.body.decode().splitlines()]


def test_a_stream_is_the_default_and_lines_of_json(serve):
    m = serve()
    # As `curl -d` sends it: the content type does not say JSON.
    answer = m.post("/api/chat", json.dumps(CHAT), headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status == 200 and answer.headers["content-type"] == "application/x-ndjson"
    parts = lines(answer)
    assert all(part["model"] == "a" and part["created_at"].endswith("Z") for part in parts)
    assert set(parts[-1]) == {"model", "created_at", "message", "done", "done_reason", "total_duration",
                              "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count",
                              "eval_duration"}
    once = m.post("/api/chat", {**CHAT, "stream": False})
    assert once.headers["content-type"] == "application/json"
    assert once.json["message"]["content"] == "".join(part["message"]["content"] for part in parts)
    # The same words come through OpenAI's API.
    assert m.chat("a").json["choices"][0]["message"]["content"] == once.json["message"]["content"]


def test_errors_are_a_text(serve):
    m = serve("--api-key", "the-key")
    key = {"Authorization": "Bearer the-key"}
    for path, headers, status in [("/api/chat", {}, 401), ("/api/nosuch", key, 404)]:
        answer = m.post(path, CHAT, headers=headers)
        assert answer.status == status and list(answer.json) == ["error"] and answer.json["error"], answer
    assert m.get("/api/chat", headers=key).status == 405
    for body, status in [("{", 400), ({**CHAT, "model": "nosuch"}, 404), ({"messages": []}, 400),
                         ({**CHAT, "keep_alive": "soon"}, 400), ({**CHAT, "options": {"num_predict": 1e12}}, 400)]:
        answer = m.post("/api/chat", body, headers=key)
        assert answer.status == status and isinstance(answer.json["error"], str), answer
    assert m.post("/api/blobs/sha256:0123", b"x", headers=key).status == 501
    assert m.get("/v1/models/stats", headers=key).json["loaded_models"] == []


def test_it_is_there(serve):
    m = serve()
    assert m.get("/").body == b"Minerva is running"
    assert m.request("HEAD", "/").status == 200
    assert m.get("/api/version").json["version"]


def test_presets_are_models_too(serve):
    m = serve(config='[preset."a:short"]\nmodel = "a"\nset = { max_tokens = 2 }\n')
    assert "a:short" in [model["name"] for model in m.get("/api/tags").json["models"]]
    answer = m.post("/api/chat", {**CHAT, "model": "a:short", "options": {}, "stream": False})
    assert answer.json["eval_count"] == 2 and answer.json["model"] == "a:short", answer
    assert m.post("/api/show", {"model": "a:short"}).status == 200


def test_an_error_has_its_status_also_after_a_wait(serve, models, tmp_path):
    bad = tmp_path / "bad"
    bad.write_bytes(b"no model at all" * 100)
    m = serve(models={**models, "bad": bad})
    for path in ("/api/chat", "/api/generate", "/api/show"):
        answer = m.post(path, {**CHAT, "model": "bad", "prompt": "Hello"})
        assert answer.status == 422 and isinstance(answer.json["error"], str), answer


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate", "/api/embed"])
def test_bodies_are_bounded(serve, path):
    m = serve(env={"MINERVA_LIMITS_MAX_BODY": "1MiB"})
    answer = m.post(path, json.dumps({"model": "a", "prompt": "x" * (1 << 20), "messages": []}))
    assert answer.status == 413 and isinstance(answer.json["error"], str), answer
