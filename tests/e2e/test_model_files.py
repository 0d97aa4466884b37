"""Models of several files, with real engines in their sandboxes: parts, projectors, draft models, templates."""
import base64
import shutil
import signal

import pytest

import harness
import tiny_models

PARTS = 3


@pytest.fixture(scope="session")
def parts(models):
    """The files of model `a` in parts, in order."""
    first = tiny_models.generate("parts", [*tiny_models.TINY["a"], "--name", "a", "--parts", str(PARTS)], parts=PARTS)
    return [first.with_name(first.name.replace("-00001-of-", f"-{part:05}-of-")) for part in range(1, PARTS + 1)]


def text_of(answer):
    assert answer.status == 200, answer
    return answer.json["choices"][0]["message"]["content"]


def names(parts, stem):
    return {f"{stem}-{part:05}-of-{PARTS:05}.gguf": file for part, file in enumerate(parts, 1)}


def test_a_model_in_parts(serve, models, parts):
    m = serve(config='sandbox = "required"\n', extra=names(parts, "big"), models={"a": models["a"]})
    listed = {model["id"]: model for model in m.get("/v1/models").json["data"]}
    assert set(listed) == {"a", "big"}
    assert listed["big"]["size_bytes"] == sum(part.stat().st_size for part in parts)
    whole = text_of(m.chat("a", max_tokens=16, temperature=0))
    assert text_of(m.chat("big", max_tokens=16, temperature=0)) == whole, "the same weights say the same"


def test_a_model_in_parts_by_its_path(serve, parts):
    m = serve(config='sandbox = "required"\n', models={})
    folder = m.models_dir / "below"
    folder.mkdir()
    for name, file in names(parts, "late").items():
        shutil.copy(file, folder / name)
    answer = m.post("/v1/models/own/load", {"model_path": f"below/late-00001-of-{PARTS:05}.gguf"})
    assert answer.status == 200, answer
    assert m.chat("own").status == 200


def test_parts_that_are_links(serve, parts):
    """Files as in the download cache of the model hub: names that are links to blobs."""
    m = serve(config='sandbox = "required"\n', models={})
    blobs = m.folder / "blobs"
    blobs.mkdir()
    for i, (name, file) in enumerate(names(parts, "hub").items()):
        shutil.copy(file, blobs / f"blob{i}")
        (m.models_dir / name).symlink_to(blobs / f"blob{i}")
    assert m.get("/health").status == 200, "it listens to signals by now"
    m.process.send_signal(signal.SIGHUP)
    harness.wait_until(lambda: m.get("/v1/models").json["data"], "the new files were found")
    assert m.chat("hub").status == 200


def test_a_part_that_is_missing(serve, models, parts):
    extra = names(parts, "big")
    extra.pop(f"big-00002-of-{PARTS:05}.gguf")
    m = serve(extra=extra, models={"a": models["a"]})
    assert [model["id"] for model in m.get("/v1/models").json["data"]] == ["a"]
    assert f"big-00002-of-{PARTS:05}.gguf is missing" in m.log()


def test_a_draft_model(serve, models):
    """The draft is the model itself: every token it proposes is accepted, and the answer is the same."""
    config = ('sandbox = "required"\n[model."fast"]\npath = "fast.gguf"\n'
              'args = ["--model-draft", "a.gguf", "--spec-type", "draft-simple", "--spec-draft-n-max", "4"]\n')
    m = serve(config=config, models={"a": models["a"], "fast": models["a"]})
    plain = text_of(m.chat("a", max_tokens=24, temperature=0))
    answer = m.chat("fast", max_tokens=24, temperature=0)
    assert text_of(answer) == plain
    timings = answer.json["timings"]
    assert timings["draft_n"] > 0 and timings["draft_n_accepted"] > 0, timings
    # The draft's memory counts.
    assert m.view("fast")["memory_mb"] > m.view("a")["memory_mb"], m.stats()


def test_a_template_and_a_grammar_of_ones_own(serve, models, tmp_path):
    grammar = tmp_path / "yes.gbnf"
    grammar.write_text('root ::= "yes" | "no"\n')
    template = tmp_path / "plain.jinja"
    template.write_text("{% for message in messages %}{{ message.content }}{% endfor %}")
    config = ('sandbox = "required"\n[model."a"]\npath = "a.gguf"\n'
              'args = ["--grammar-file", "yes.gbnf", "--chat-template-file", "plain.jinja"]\n')
    m = serve(config=config, extra={"yes.gbnf": grammar, "plain.jinja": template})
    assert text_of(m.chat("a", max_tokens=16)) in ("yes", "no")
    prompt = m.post("/apply-template", {"model": "a", "messages": [{"role": "user", "content": "just this"}]})
    assert prompt.json["prompt"] == "just this", prompt


def ask_about(m, model, picture):
    url = "data:image/png;base64," + base64.b64encode(picture).decode()
    content = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    return m.post("/v1/chat/completions", {"model": model, "messages": [{"role": "user", "content": content}],
                                           "max_tokens": 16, "temperature": 0})


def test_a_model_that_sees(serve, models):
    extra = {"eye/eye.gguf": models["a"], "eye/mmproj.gguf": tiny_models.generate("mmproj", ["--arch", "clip"])}
    m = serve(config='sandbox = "required"\n', models={"a": models["a"]}, extra=extra)
    red = ask_about(m, "eye", tiny_models.png(255, 0, 0))
    assert text_of(red), red
    # 32 by 32 pixels in patches of 8 are 16 tokens.
    blind = m.chat("eye", text="What is this?", max_tokens=1)
    assert red.json["usage"]["prompt_tokens"] >= blind.json["usage"]["prompt_tokens"] + 16, (red, blind)
    assert text_of(ask_about(m, "eye", tiny_models.png(255, 0, 0))) == text_of(red)
    assert text_of(ask_about(m, "eye", tiny_models.png(0, 0, 255))) != text_of(red), "it looks"
    refused = ask_about(m, "a", tiny_models.png(255, 0, 0))
    assert refused.status >= 400 and refused.error["message"], refused
    # A file that is no picture is refused, and does no harm.
    for damaged in (b"", b"\x89PNG\r\n\x1a\n" + b"x" * 500, tiny_models.png(1, 2, 3)[:60]):
        answer = ask_about(m, "eye", damaged)
        assert 400 <= answer.status < 500, answer
    assert m.chat("eye").headers["x-minerva-cache"] == "hit"
