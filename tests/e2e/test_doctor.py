"""`minerva doctor`: what is wrong, in sentences, with and without a running server."""
import json
import resource
import socket
import subprocess

import pytest

import harness
from test_sandbox import without_landlock


class Patient:
    """A config and its folders for the doctor; no server runs there."""

    def __init__(self, minerva):
        self.minerva = minerva
        self.env = {"MINERVA_URL": f"unix:{minerva.folder}/none.sock",
                    "MINERVA_LISTEN": f"unix:{minerva.folder}/free.sock", **minerva.env,
                    "MINERVA_MODELS_DIR": str(minerva.models_dir), "MINERVA_STATE_DIR": str(minerva.folder / "state"),
                    "MINERVA_ENGINE": str(harness.ENGINE)}

    def doctor(self, *args, expect, env=None, **kwargs):
        done = subprocess.run([harness.MINERVA, "doctor", *args], capture_output=True, text=True,
                              env={**self.env, **(env or {})}, timeout=harness.PATIENCE, **kwargs)
        assert done.returncode == expect, done
        assert done.stderr == "", done
        return done.stdout

    def findings(self, *args, expect, **kwargs):
        """Returns topic -> [(level, sentence)]."""
        answer = json.loads(self.doctor("--json", *args, expect=expect, **kwargs))
        assert answer["healthy"] == (expect == 0)
        found = {}
        for finding in answer["findings"]:
            assert finding["sentence"].endswith("."), finding
            found.setdefault(finding["topic"], []).append((finding["level"], finding["sentence"]))
        return found

    def problem(self, topic, *words, **kwargs):
        """The one problem with this topic and these words."""
        found = self.findings(expect=1, **kwargs)
        problems = [(t, sentence) for t in found for level, sentence in found[t] if level == "problem"]
        assert len(problems) == 1 and problems[0][0] == topic, found
        for word in words:
            assert word in problems[0][1], problems
        return problems[0][1]


@pytest.fixture
def patient(models):
    minerva = harness.Minerva({"a": models["a"]})
    yield Patient(minerva)
    minerva.clean()


def test_a_healthy_machine(patient):
    text = patient.doctor(expect=0)
    assert text.rstrip().endswith("Nothing is wrong."), text
    assert f"The engine is {harness.ENGINE} (minerva-engine, llama.cpp" in text
    assert "landlock (version" in text and "1 of 1 models can run." in text
    assert "No server answers at unix:" in text
    found = patient.findings(expect=0)
    assert set(found) == {"server", "config", "listen", "engine", "sandbox", "memory", "descriptors", "state",
                          "parking", "models"}
    assert [level for level, _ in found["server"]] == ["note"]
    assert not (patient.minerva.folder / "state").exists(), "looking changes nothing"
    assert not (patient.minerva.folder / "free.sock").exists()


# The doctor judges what `serve` would do here, not what a running server does.
ELSEWHERE = {"MINERVA_MODELS_DIR": "/no/such/folder", "MINERVA_STATE_DIR": "/dev/null/state",
             "MINERVA_ENGINE": "/no/such/engine", "MINERVA_CONFIG": "/no/such/file"}


def test_beside_a_running_server_its_config_is_judged(serve):
    m = serve("--max-models", "1", config="[model.b]\ncontext = 512\n")
    m.use("a")
    env = {**ELSEWHERE, "MINERVA_URL": m.url}
    found = Patient(m).findings(expect=0, env=env)
    assert "1 models are in memory" in found["server"][0][1], found
    assert found["config"] == [("fine", "What follows is about what that server runs with.")], found
    assert "listen" not in found, "its own server has the port"
    assert str(m.folder / "state") in found["state"][0][1], found
    assert found["models"][0][1].endswith(" models can run."), found
    # The limits are also those of the server.
    few = Patient(m).findings(expect=0, env=env,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512)))
    assert few["descriptors"] == found["descriptors"]


def test_what_is_wrong_with_a_running_server(serve, models):
    m = serve("--memory-budget", "64MiB", config="[model.big]\npath = \"a.gguf\"\ncontext = 4000000\n")
    (m.models_dir / "broken.gguf").write_bytes(models["a"].read_bytes()[:5000])
    found = Patient(m).findings(expect=1, env={**ELSEWHERE, "MINERVA_URL": m.url, "MINERVA_MEMORY_BUDGET": "100TiB"})
    said = [sentence for level, sentence in found["models"] if level == "problem"]
    assert any('"big" can never run here' in sentence and "64 MiB" in sentence for sentence in said), found
    assert any('"broken"' in sentence for sentence in said), found
    assert "The models may take 64 MiB" in found["memory"][-1][1], found


def test_flags_ask_about_another_config_than_the_servers(serve):
    m = serve()
    sentence = Patient(m).findings("--state-dir", "/dev/null/state", expect=1, env={"MINERVA_URL": m.url})["state"][0][1]
    assert "/dev/null/state" in sentence


def test_a_server_with_keys(serve):
    m = serve("--api-key", "the-right-key", config="[queue]\nlow_priority_keys = [\"another-key\"]\n")
    assert m.get("/v1/config").status == 401
    told = m.get("/v1/config", headers={"x-api-key": "the-right-key"})
    assert told.json["object"] == "config" and told.json["open_files"] > 0, told
    assert str(m.models_dir) in told.json["toml"], told
    assert b"key\"" not in told.body and b"sha256" not in told.body and b"the-right-key" not in told.body, told
    found = Patient(m).findings(expect=0, env={**ELSEWHERE, "MINERVA_URL": m.url, "MINERVA_API_KEY": "the-right-key"})
    assert found["config"][0][0] == "fine", found
    found = Patient(m).findings(expect=1, env={"MINERVA_URL": m.url})
    assert [level for level, _ in found["server"]] == ["problem"] and "config" in found, found


def test_a_variable_that_nobody_knows(patient):
    found = patient.findings(expect=0, env={"MINERVA_MAX_MODLES": "1", "MINERVA_SERVICE_HOST": "10.0.0.1"})
    assert [level for level, _ in found["config"]] == ["note", "fine"] and "MINERVA_MAX_MODLES" in found["config"][0][1]


def test_something_else_has_the_port(patient):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        patient.problem("listen", str(port), env={"MINERVA_LISTEN": f"127.0.0.1:{port}"})


def test_no_engine(patient):
    patient.problem("engine", "/no/such/engine", "make build", env={"MINERVA_ENGINE": "/no/such/engine"})


def test_a_program_that_is_no_engine(patient):
    patient.problem("sandbox", "not the one of this version", env={"MINERVA_ENGINE": "/bin/true"})


def test_models_that_cannot_run(patient, models):
    (patient.minerva.models_dir / "broken.gguf").write_bytes(models["a"].read_bytes()[:5000])
    sentence = patient.problem("models", '"broken"', "broken.gguf", "cannot run")
    assert "1 of 2 models can run" in patient.doctor(expect=1), sentence


def test_more_than_the_budget(patient):
    patient.problem("models", '"a" can never run here', "1 MiB", env={"MINERVA_MEMORY_BUDGET": "1MiB"})


def test_more_than_the_machine_has(patient):
    patient.problem("memory", "Lower memory_budget", env={"MINERVA_MEMORY_BUDGET": "900TiB"})


def test_more_than_other_programs_leave(patient):
    found = patient.findings(expect=0, env={"MINERVA_LIMITS_MIN_FREE_MEMORY": "1000GiB"})
    level, sentence = found["memory"][-1]
    assert level == "note" and "limits.min_free_memory" in sentence and "end other programs" in sentence, found


def test_a_folder_that_is_not_there(patient):
    patient.problem("models", "/no/such/folder", env={"MINERVA_MODELS_DIR": "/no/such/folder"})


def test_a_config_that_is_broken(patient):
    file = patient.minerva.folder / "bad.toml"
    file.write_text("max_models = 1\npolicy = \"best\"\n")
    sentence = patient.problem("config", "bad.toml:2:10", env={"MINERVA_CONFIG": str(file)})
    assert "best" in sentence


def test_a_state_folder_that_cannot_be(patient):
    patient.problem("state", "--state-dir", env={"MINERVA_STATE_DIR": "/dev/null/state"})


def test_few_descriptors(patient):
    found = patient.findings(expect=0, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512)))
    assert found["descriptors"][0][0] == "note" and "512" in found["descriptors"][0][1], found


def test_a_kernel_without_landlock(patient):
    found = patient.findings(expect=0, preexec_fn=without_landlock)
    assert found["sandbox"][0][0] == "note" and "no landlock" in found["sandbox"][0][1], found
    text = patient.doctor(expect=1, env={"MINERVA_SANDBOX": "required"}, preexec_fn=without_landlock)
    assert "no engine will start" in text
    found = patient.findings(expect=0, env={"MINERVA_SANDBOX": "off"})
    assert found["sandbox"][0][0] == "note" and "switched off" in found["sandbox"][0][1], found
