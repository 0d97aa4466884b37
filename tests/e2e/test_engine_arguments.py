"""Compares Minerva's list of the engine's arguments with the engine's own: a user may set each, or each is refused."""
import concurrent.futures
import json
import os
import subprocess

import pytest

import harness


def engine_options():
    done = subprocess.run([harness.ENGINE, "list-options"], capture_output=True, check=True)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def check(tmp_path_factory):
    """check(args) returns None if a model's entry may have these arguments, else the reason."""
    folder = tmp_path_factory.mktemp("arguments")

    def run(args):
        file = folder / f"{abs(hash(tuple(args)))}.toml"
        file.write_text(f'[model."m"]\nargs = {json.dumps(args)}\n')
        done = subprocess.run([harness.MINERVA, "serve", "--check", "--config", file], capture_output=True, text=True,
                              env={"PATH": os.environ["PATH"], "HOME": str(folder)}, timeout=harness.PATIENCE)
        assert (done.returncode == 0) == (done.stderr == ""), done
        return done.stderr or None

    return run


def check_option(check, option, name):
    values = ["1"] * option["values"]
    refusal = check([name, *values])
    if refusal is not None:
        assert "is not allowed" in refusal, refusal
        assert "not among the arguments" not in refusal, f"{name} is new: is it the user's or Minerva's?"
        return "denied"
    # The number of values must match the engine's: otherwise the engine would read what follows in another way.
    if values:
        assert "lacks its" in check([name, *values[1:]])
    assert "is no argument" in check([name, *values, "1"])
    assert "two elements" in check([f"{name}=1"])
    if name.startswith("--"):
        assert check([name.replace("-", "_").replace("__", "--", 1), *values]) is None
    return "allowed"


def test_every_option_is_classified(check):
    options = [(option, name) for option in engine_options() for name in option["names"]]
    assert len(options) > 250
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = dict(zip([name for _, name in options],
                           pool.map(lambda pair: check_option(check, *pair), options)))
    assert list(results.values()).count("allowed") > 100
    for name in ("--host", "--port", "--tools", "--api-key", "--hf-repo", "--slot-save-path", "--media-path",
                 "--log-file", "--lookup-cache-dynamic", "--fim-qwen-7b-spec", "--models-dir", "--agent"):
        assert results[name] == "denied", name


def test_files_lie_in_a_models_folder(serve, models):
    """Every allowed argument that takes a file, by its hint in the engine's list, refuses a file outside."""
    hints = ("FNAME", "FILE", "PATH", "DIR")
    named = [o["names"][-1] for o in engine_options() if any(hint in o["hint"] for hint in hints)]
    entries = []
    for i, name in enumerate(named):
        value = "/etc/hostname:1" if "scaled" in name else "/etc/hostname"
        entries.append((f"m{i}", name, value))
    refused_at_once = []
    for id, name, value in list(entries):
        minerva = harness.Minerva({id: models["a"]}, config=f'[model."{id}"]\nargs = ["{name}", "{value}"]\n')
        done = subprocess.run([harness.MINERVA, "serve", "--check", *minerva.args], capture_output=True, text=True,
                              env=minerva.env)
        minerva.clean()
        if done.returncode != 0:
            assert "is not allowed" in done.stderr, done
            refused_at_once.append((id, name, value))
    rest = [entry for entry in entries if entry not in refused_at_once]
    assert len(rest) >= 8, "--lora, --model-draft, --chat-template-file, ..."
    config = "".join(f'[model."{id}"]\nargs = ["{name}", "{value}"]\n' for id, name, value in rest)
    m = serve(models={"a": models["a"], **{id: models["b"] for id, _, _ in rest}}, config=config)
    assert [model["id"] for model in m.get("/v1/models").json["data"]] == ["a"]
    for id, name, _ in rest:
        assert f'model \\"{id}\\" is not listed: {name} ' in m.log() or f'model "{id}" is not listed: {name} ' in m.log()
