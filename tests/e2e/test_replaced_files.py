"""Model files that are replaced, deleted, moved and cut off while their engines run."""
import json
import os
import shutil
import threading

import pytest

import harness
import tiny_models
from harness import in_background, wait_until

TOKENS = 8
# Other versions of model `a`, each of which gives another answer.
SEEDS = range(11, 16)


@pytest.fixture(scope="session")
def editions(models):
    """Files of one model, of the same size."""
    files = [tiny_models.generate(f"edition{seed}", ["--seed", str(seed), "--name", "x"]) for seed in SEEDS]
    assert len({file.stat().st_size for file in files}) == 1
    return files


def place(m, name, file):
    """Replaces the file by a rename, as deployments do."""
    aside = m.folder / "aside"
    shutil.copyfile(file, aside)
    aside.rename(m.models_dir / name)


def words(answer):
    assert answer.status == 200, answer
    return answer.json["choices"][0]["message"]["content"]


def ask(m, model="x"):
    return words(m.chat(model, max_tokens=TOKENS))


def ask_streaming(m, model="x"):
    stream = m.chat_stream(model, max_tokens=TOKENS)
    assert stream.status == 200
    events = [event for event in stream.rest() if not event.startswith(":")]
    assert events[-1] == "[DONE]", events
    chunks = [json.loads(event) for event in events[:-1]]
    assert not any("error" in chunk for chunk in chunks), chunks
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])


@pytest.fixture(scope="session")
def said(editions):
    """The answer of each version."""
    m = harness.Minerva({f"edition{i}": file for i, file in enumerate(editions)})
    try:
        m.start()
        texts = [ask(m, f"edition{i}") for i in range(len(editions))]
        m.stop()
    finally:
        m.clean()
    assert len(set(texts)) == len(texts), texts
    return texts


def test_replaced_under_load(serve, editions, said):
    """No request fails, and one that comes after a replacement is answered by that version or a later one."""
    m = serve("--max-models", 1, models={}, extra={"x.gguf": editions[0]}, config='[queue]\nmax_per_model = 100\n')
    placed = 0
    over = threading.Event()

    def client(speak):
        answers = 0
        while not over.is_set():
            at_least = placed
            text = speak(m)
            assert text in said[at_least:], f"edition {at_least} or a later one was to answer, not {text!r}"
            answers += 1
        return answers

    clients = [in_background(client, ask_streaming if i % 2 else ask) for i in range(20)]
    for i, edition in enumerate(editions[1:], 1):
        # The clients use the model by now.
        wait_until(lambda: any(c.done for c in clients) or m.view("x") and m.view("x")["leases"] > 0, "x is in use")
        place(m, "x.gguf", edition)
        placed = i
        # Every second time the next version is placed before this one has answered.
        if i % 2:
            wait_until(lambda: any(c.done for c in clients) or ask(m) == said[placed], "it answers")
    assert ask(m) == said[-1]
    over.set()
    assert all(c.result() > 0 for c in clients)


def test_the_very_next_request_gets_the_new_file(serve, editions, said):
    """Also if size and time are the same, and whether or not the model is idle."""
    m = serve(models={}, extra={"x.gguf": editions[0]})
    before = (m.models_dir / "x.gguf").stat()
    assert ask(m) == said[0]
    for edition, text in zip(editions[1:], said[1:]):
        aside = m.folder / "aside"
        shutil.copyfile(edition, aside)
        os.utime(aside, ns=(before.st_atime_ns, before.st_mtime_ns))
        aside.rename(m.models_dir / "x.gguf")
        assert ask(m) == text


def test_a_link_that_points_elsewhere_and_a_file_that_nobody_watches(serve, editions, said):
    m = serve(models={})
    blobs = m.folder / "blobs"
    blobs.mkdir()
    for i, edition in enumerate(editions[:3]):
        shutil.copyfile(edition, blobs / f"blob{i}")
    (m.models_dir / "x.gguf").symlink_to(blobs / "blob0")
    assert ask(m) == said[0]
    (m.folder / "link").symlink_to(blobs / "blob1")
    (m.folder / "link").rename(m.models_dir / "x.gguf")
    assert ask(m) == said[1]
    # Behind the link, in a folder that is no models folder: noticed within a moment, though nobody reports the change.
    (blobs / "blob2").rename(blobs / "blob1")
    wait_until(lambda: ask(m) == said[2], "the new file is noticed")


def test_one_part_of_several(serve, editions, said):
    """A version that is older than the others is noticed too."""
    parts = {}
    for seed in (11, 12):
        first = tiny_models.generate(f"parts{seed}", ["--seed", str(seed), "--name", "x", "--parts", "2"], parts=2)
        parts[seed] = [first, first.with_name(first.name.replace("-00001-of-", "-00002-of-"))]
    names = ["x-00001-of-00002.gguf", "x-00002-of-00002.gguf"]
    m = serve(models={}, extra=dict(zip(names, parts[11])))
    assert ask(m) == said[0]
    old = m.engine("x-00001-of-00002")
    aside = m.folder / "aside"
    shutil.copyfile(parts[12][1], aside)
    os.utime(aside, ns=(0, 0))
    aside.rename(m.models_dir / names[1])
    assert ask(m) not in ("", said[0])
    assert m.engine("x-00001-of-00002") != old


def test_parked_and_replaced(serve, editions, said):
    m = serve(models={}, extra={"x.gguf": editions[0]})
    assert ask(m) == said[0]
    assert m.load("x", verb="park").status == 200
    engine = m.engine("x")
    place(m, "x.gguf", editions[1])
    # It is stopped without a request, and for good: nobody wanted it in memory.
    wait_until(lambda: m.state("x") == "cold", "the parked engine is stopped")
    assert engine not in m.engines()
    answer = m.chat("x", max_tokens=TOKENS)
    assert words(answer) == said[1] and answer.headers["x-minerva-cache"] == "miss"
    # Or the next request does it, if it comes first.
    assert m.load("x", verb="park").status == 200
    place(m, "x.gguf", editions[2])
    assert ask(m) == said[2]
    assert "x woke" not in m.log()


def test_deleted_while_it_answers(serve, models, slow_model):
    m = serve(models={"a": models["a"], "slow": slow_model})
    m.use("a")
    stream = m.chat_stream("slow", max_tokens=60, ignore_eos=True)
    stream.token()
    (m.models_dir / "slow.gguf").unlink()
    answer = m.chat("slow")
    assert answer.status == 404 and answer.error["code"] == "model_not_found", answer
    assert stream.rest()[-1] == "[DONE]", "who was being answered is answered to the end"
    wait_until(lambda: not m.engines("slow"), "its engine is gone")
    assert m.get("/v1/models/slow").status == 404
    assert m.chat("a").headers["x-minerva-cache"] == "hit"
    m.add_model("slow", slow_model)
    assert m.chat("slow").status == 200, "and here it is again"


def test_moved(serve, editions, said):
    m = serve(models={}, extra={"x.gguf": editions[0]})
    assert ask(m) == said[0]
    (m.models_dir / "x.gguf").rename(m.models_dir / "y.gguf")
    assert ask(m, "y") == said[0]
    assert m.chat("x").status == 404
    wait_until(lambda: not m.engines("x"), "the engine of the old name is gone")
    assert [model["id"] for model in m.get("/v1/models").json["data"]] == ["y"]


def test_named_by_its_path(serve, editions, said):
    m = serve(models={})
    folder = m.models_dir / "1" / "2" / "3"
    folder.mkdir(parents=True)
    shutil.copyfile(editions[0], folder / "deep.gguf")
    assert m.post("/v1/models/x/load", {"model_path": "1/2/3/deep.gguf"}).status == 200
    assert ask(m) == said[0]
    place(m, "1/2/3/deep.gguf", editions[1])
    # Folders at such a depth are not watched.
    wait_until(lambda: ask(m) == said[1], "the new file is noticed")
    (folder / "deep.gguf").unlink()
    wait_until(lambda: m.chat("x").status == 404, "it is noticed that it is gone")
    wait_until(lambda: not m.engines(), "its engine is gone")


def test_cut_off_while_it_answers(serve, models, slow_model):
    """Mapped pages of a file that was cut off are missing at once: the engine dies, and nothing else does."""
    m = serve(models={"a": models["a"]}, extra={"slow.gguf": slow_model},
              config='[model."slow"]\npath = "slow.gguf"\nweights = "mapped"\n')
    m.use("a")
    stream = m.chat_stream("slow", max_tokens=2000, ignore_eos=True)
    stream.token()
    file = m.models_dir / "slow.gguf"
    os.truncate(file, 4096)
    last = json.loads(stream.rest()[-1])["error"]
    assert last["code"] == "engine_crashed" and "model file was truncated or overwritten" in last["message"], last
    answer = m.chat("slow")
    assert answer.status == 422 and answer.error["code"] == "invalid_model", answer
    assert m.chat("a").headers["x-minerva-cache"] == "hit"
    # The file is good again: the earlier failures do not count for the new file.
    place(m, "slow.gguf", slow_model)
    assert m.chat("slow").status == 200


def test_a_broken_file_and_its_repair(serve, editions, said):
    m = serve(models={}, extra={"x.gguf": editions[0]})
    assert ask(m) == said[0]
    broken = m.folder / "broken"
    broken.write_bytes(editions[1].read_bytes()[:100_000])
    place(m, "x.gguf", broken)
    for _ in range(3):
        answer = m.chat("x")
        assert answer.status == 422 and answer.error["code"] == "invalid_model", answer
    wait_until(lambda: not m.engines("x"), "the old engine is gone")
    place(m, "x.gguf", editions[1])
    assert ask(m) == said[1]
    # The file is overwritten in place, while no request comes.
    with open(m.models_dir / "x.gguf", "r+b") as file:
        file.write(editions[2].read_bytes())
    assert ask(m) == said[2]
