"""Whatever name a GGUF file has, its model can be found. What is no model is not listed, by the content of the
files."""
import os
import shutil
import subprocess
import urllib.parse

import harness
import pytest
import tiny_models

ODD = ["with space", "(brackets) [v2]", "a+b=c&d#e", "UPPER.Case", "模型-7B", "日本語", "per%20cent", "load"]
DEEP = {"vision/v-Q8_0": "a", "vision/mmproj-F16": "projector", "two/cat": "a", "two/dog": "b",
        "two/dog-eyes": "projector", "alone/mmproj-lost": "projector", "x/twin": "a", "y/twin": "b",
        "said/chat": "a", "said/tuned": "adapter", "said/sees": "projector", "said/matrix": "matrix",
        "one/mmproj-really": "b"}


@pytest.fixture(scope="module")
def files():
    kinds = {"a": tiny_models.TINY["a"], "b": tiny_models.TINY["b"], "projector": ["--arch", "clip"],
             "adapter": ["--type", "adapter"], "matrix": ["--type", "imatrix"]}
    return {name: tiny_models.generate(name, options) for name, options in kinds.items()}


def listing(m):
    answer = m.get("/v1/models")
    assert answer.status == 200, answer
    return answer.json


def settled(m):
    """The list, once every file in it was inspected."""
    def known():
        answer = listing(m)
        return answer if all(model["runs_here"] is not None for model in answer["data"]) else None

    # Files are inspected one after another, at the lowest priority: on a busy machine forty files take minutes.
    return harness.wait_until(known, "everything is inspected", 4 * harness.PATIENCE)


def untouched(m):
    cache = m.cache()
    return m.loaded() == [] and m.engines() == [] and cache["evictions"] == 0 and cache["misses"] == 0


def link(folder, name, file):
    target = folder / f"{name}.gguf"
    target.parent.mkdir(parents=True, exist_ok=True)
    os.link(file, target) if target.parent.stat().st_dev == os.stat(file).st_dev else shutil.copy(file, target)


def test_each_file_is_listed_or_refused_or_goes_with_a_model(serve, files):
    m = serve(models={})
    for name in ODD:
        link(m.models_dir, name, files["a"])
    for name, kind in DEEP.items():
        link(m.models_dir, name, files[kind])
    (m.models_dir / "damaged.gguf").write_text("no model")

    def told():
        """Files whose content is not what their names say were noticed."""
        answer = settled(m)
        ids = {model["id"] for model in answer["data"]}
        return answer if "mmproj-really" in ids and not ids & {"tuned", "sees", "matrix", "dog-eyes"} else None

    answer = harness.wait_until(told, "each file is what it says")
    models = {model["id"]: model for model in answer["data"]}
    assert {"with-space", "brackets-v2", "a-b-c-d-e", "UPPER.Case", "7B", "per-20cent", "v-Q8_0", "cat", "dog", "twin",
            "y-twin", "chat", "mmproj-really", "damaged"} < set(models)
    assert sum(id.startswith("model-") for id in models) == 2, sorted(models)  # 日本語, load
    for id, model in models.items():
        assert model["runs_here"] is (id != "damaged"), model
        if id != "damaged":
            assert model["parameters"] > 0 and model["context_length"] > 0 and model["quantization"] == "Q8_0", model
    assert models["7B"]["name"] == "模型-7B" and models["7B"]["aliases"] == ["模型-7B"]
    assert models["v-Q8_0"]["architecture"]["input_modalities"] == ["text", "image"], models["v-Q8_0"]
    assert models["dog"]["companions"] == ["dog-eyes.gguf"] and models["cat"]["companions"] == []
    assert models["cat"]["architecture"]["input_modalities"] == ["text"]
    assert sorted(models["chat"]["companions"]) == ["sees.gguf", "tuned.gguf"]
    problems = "\n".join(answer["problems"])
    for word in ["mmproj-lost.gguf", "matrix.gguf", "importance matrix", "damaged cannot be run"]:
        assert word in problems, problems
    assert untouched(m)
    done = subprocess.run([harness.MINERVA, "models"], capture_output=True, text=True, timeout=harness.PATIENCE,
                          env={**m.env, "MINERVA_URL": m.url})
    assert done.returncode == 0, done
    printed = done.stdout
    assert "with-space" in printed and "Problems:" in printed and "mmproj-lost.gguf" in printed, printed


def test_it_is_found_by_whatever_clients_call_it(serve, files):
    m = serve("--max-models", 1, models={})
    link(m.models_dir, "My Model (v2) Q4_0", files["a"])
    for name in ["My-Model-v2-Q4_0", "My Model (v2) Q4_0", "My Model (v2) Q4_0:latest", "my-model-V2-q4_0:latest",
                 "MY MODEL (V2) Q4_0", "hf.co/my model (v2) q4_0.gguf"]:
        answer = m.chat(name)
        assert answer.status == 200, (name, answer)
        path = "/v1/models/" + urllib.parse.quote(name, safe="")
        assert m.get(path).status == 200, name
    assert m.cache()["misses"] == 1
    assert m.chat("my other model").status == 404


def test_names_outlive_a_restart(serve, files):
    m = serve(models={})
    link(m.models_dir, "y/m", files["a"])
    assert [model["id"] for model in settled(m)["data"]] == ["m"]
    link(m.models_dir, "x/m", files["b"])
    harness.wait_until(lambda: len(listing(m)["data"]) == 2, "the new one is listed")
    m.terminate()
    m.wait()
    m.start()
    models = {model["id"]: model for model in settled(m)["data"]}
    assert set(models) == {"m", "x-m"}
    answer = m.post("/v1/models/other/load?dry_run=true", {"model_path": "y/m.gguf"})
    assert answer.status == 200, answer
    assert {model["id"] for model in listing(m)["data"]} == {"m", "x-m"}, "a dry run leaves nothing"


def test_what_the_hub_fetched_is_called_as_there(serve, files):
    m = serve(models={})
    repo = m.models_dir / "models--org--tiny"
    for commit, names in {"c1": {"tiny-Q8_0": "a", "tiny-Q4_K_M": "b"}, "c2": {"tiny-Q8_0": "b"}}.items():
        for name, kind in names.items():
            blob = repo / "blobs" / f"{commit}{name.lower()}"
            blob.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(files[kind], blob)
            snapshot = repo / "snapshots" / commit / f"{name}.gguf"
            snapshot.parent.mkdir(parents=True, exist_ok=True)
            snapshot.symlink_to(os.path.relpath(blob, snapshot.parent))
    (repo / "snapshots/c2/tiny-F16.gguf").symlink_to(m.folder / "elsewhere.gguf")
    shutil.copy(files["a"], m.folder / "elsewhere.gguf")
    (repo / "refs").mkdir()
    (repo / "refs/main").write_text("c2")
    harness.wait_until(lambda: len(listing(m)["data"]) == 2, "the repository is listed")
    answer = settled(m)
    assert [model["id"] for model in answer["data"]] == ["org/tiny:Q4_K_M", "org/tiny:Q8_0"]
    assert any("tiny-F16.gguf" in problem for problem in answer["problems"]), answer["problems"]
    for name in ["org/tiny:q8_0", "hf.co/org/tiny:Q8_0", "org/tiny", "tiny-Q4_K_M"]:
        assert m.chat(name).status == 200, name
    assert m.get("/v1/models/org/tiny:Q8_0").json["id"] == "org/tiny:Q8_0"

