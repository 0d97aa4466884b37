"""What an engine can reach: only its own model and its socket; and it works with that."""
import ctypes
import json
import os
import pathlib
import re
import socket
import struct
import subprocess

import pytest

import harness

NEEDED = {"read_self", "read_cpus", "write_null", "thread", "signal_self"}
REFUSED = {"EPERM", "EACCES"}
KEPT_CAPABILITIES = 1 << 1 | 1 << 2 | 1 << 14 | 1 << 23  # to read any file, lock memory, set priorities


def sandbox_check(purpose, file, sockets=None, mode="required", read=(), **kwargs):
    """The answer of `minerva-engine sandbox-check`."""
    paths = "".join(f"read {path}\n" for path in read) + (f"sockets {sockets}\n" if sockets else "")
    done = subprocess.run([harness.ENGINE, "sandbox-check", purpose, file], capture_output=True, text=True,
                          env={"MINERVA_SANDBOX": mode, "MINERVA_SANDBOX_PATHS": paths}, timeout=harness.PATIENCE,
                          **kwargs)
    return done


@pytest.fixture
def secret(tmp_path):
    file = tmp_path / "secret"
    file.write_text("a secret")
    return file


@pytest.fixture
def sockets(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


def without_landlock():
    """For Popen's preexec_fn: a seccomp filter under which landlock_create_ruleset() does not exist."""
    PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
    LANDLOCK_CREATE_RULESET, ENOSYS = 444, 38
    code = b"".join(struct.pack("HBBI", *step) for step in [
        (0x20, 0, 0, 0),                          # load the number of the call
        (0x15, 0, 1, LANDLOCK_CREATE_RULESET),    # another one? skip the next step
        (0x06, 0, 0, 0x00050000 | ENOSYS),        # fail
        (0x06, 0, 0, 0x7FFF0000),                 # allow
    ])
    steps = ctypes.create_string_buffer(code, len(code))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(steps)))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0) == 0, ctypes.get_errno()


def test_a_serving_engine_reaches_nothing(secret, sockets):
    done = sandbox_check("serve", secret, sockets)
    assert done.returncode == 0 and done.stderr == "", done
    answer = json.loads(done.stdout)
    assert answer["landlock"] >= 1 and answer["seccomp"] is True
    attempts = answer["attempts"]
    assert attempts.pop("listen") == attempts.pop("much_memory") == "ok"
    assert {attempts.pop(name) for name in NEEDED} == {"ok"}
    assert len(attempts) > 30
    assert {name: result for name, result in attempts.items() if result not in REFUSED} == {}
    assert secret.read_text() == "a secret"


def test_an_inspection_reaches_less(secret, sockets):
    done = sandbox_check("inspect", secret, sockets)
    attempts = json.loads(done.stdout)["attempts"]
    assert {attempts.pop(name) for name in NEEDED} == {"ok"}
    assert attempts.pop("much_memory") == "ENOMEM"
    assert attempts.pop("remove_socket") == "ENOENT", "there is none"
    assert {name: result for name, result in attempts.items() if result not in REFUSED} == {}
    assert os.listdir(sockets) == []


def test_its_model_can_be_read_only(secret):
    attempts = json.loads(sandbox_check("serve", secret, read=[secret]).stdout)["attempts"]
    assert attempts["read_file"] == "ok"
    assert attempts["write_file"] == attempts["remove_file"] == "EACCES"
    assert attempts["list_folder"] == "EACCES"


def test_without_a_sandbox_the_same_attempts_succeed(secret, sockets):
    """Without the sandbox the attempts succeed, so the tests above prove something."""
    attempts = json.loads(sandbox_check("serve", secret, sockets, mode="off").stdout)["attempts"]
    for name in ("read_file", "write_file", "create_file", "create_in_tmp", "remove_file", "read_passwords", "fork",
                 "signal_parent", "parents_limits", "shared_memory", "udp", "unix_datagram", "socket_pair",
                 "socket_after_listen", "listen_again", "file_among_sockets", "remove_socket"):
        assert attempts[name] == "ok", (name, attempts)
    assert attempts["tcp"] == "ECONNREFUSED"
    assert attempts["exec"] == "ENOENT"


def test_what_the_kernel_lacks_is_said(secret):
    done = sandbox_check("serve", secret, mode="auto", preexec_fn=without_landlock)
    assert done.stderr.startswith("minerva-engine: sandbox: this kernel offers no landlock"), done
    answer = json.loads(done.stdout)
    assert answer["landlock"] == 0 and answer["seccomp"] is True
    assert answer["attempts"]["read_file"] == "ok", "nothing but landlock hides files"
    assert answer["attempts"]["tcp"] == answer["attempts"]["exec"] == "EPERM"

    done = sandbox_check("serve", secret, mode="required", preexec_fn=without_landlock)
    assert done.returncode == 78 and done.stdout == "", done
    assert "required" in done.stderr


def test_a_word_nobody_knows_is_no_way_out(secret):
    attempts = json.loads(sandbox_check("serve", secret, mode="Off").stdout)["attempts"]
    assert attempts["read_file"] == "EACCES"


# ---- real engines ----

def status_of(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, value in (line.split(":", 1) for line in lines)}


def test_engines_of_a_daemon_are_in_it(serve):
    m = serve(config='sandbox = "required"\n')
    assert m.chat("a").status == 200
    assert m.post("/v1/embeddings", {"model": "e", "input": "one"}).status == 200
    for model in ("a", "e"):
        pid = m.engine(model)
        status = status_of(pid)
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2" and status["Seccomp_filters"] == "2", status
        assert int(status["CapEff"], 16) & ~KEPT_CAPABILITIES == 0, status
        limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
        assert re.search(r"Max core file size +0 +0 ", limits), limits
        # The daemon can measure its engines.
        assert "Pss:" in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
        assert {line.split("=")[0] for line in environment if line} <= {
            "PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "LLAMA_SERVER_ROUTER_PORT",
            "MINERVA_SANDBOX", "MINERVA_SANDBOX_PATHS", "MINERVA_IMAGE_FOLDER", "MINERVA_CONVERSATIONS"}
    assert "sandbox" not in m.log(), "nothing is missing, so nothing is said"


def test_off_is_off(serve):
    m = serve(config='sandbox = "off"\n')
    m.use("a")
    status = status_of(m.engine("a"))
    assert status["NoNewPrivs"] == "0" and status["Seccomp"] == "0", status


def test_a_kernel_without_landlock(serve):
    m = serve(before_exec=without_landlock)
    m.use("a", "b")
    assert m.log().count("the engines' sandbox: this kernel offers no landlock") == 1, m.log()
    assert status_of(m.engine("a"))["Seccomp_filters"] == "3", "the test's own, and two of the engine"

    m = serve(config='sandbox = "required"\n', before_exec=without_landlock)
    answer = m.load("a")
    assert answer.status == 500, answer
    for words in ("no engine can be started", "this kernel offers no landlock", "sandbox is required"):
        assert words in answer.error["message"], answer
    assert m.engines() == []


def test_a_picture_on_the_network_is_not_fetched(serve):
    """A request may name a URL; the engine must not fetch it."""
    with socket.create_server(("127.0.0.1", 0)) as trap:
        m = serve()
        url = f"http://127.0.0.1:{trap.getsockname()[1]}/x.png"
        content = [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": url}}]
        answer = m.post("/v1/chat/completions", {"model": "a", "messages": [{"role": "user", "content": content}],
                                                 "max_tokens": 1})
        assert answer.status >= 400, answer
        trap.settimeout(0)
        with pytest.raises(BlockingIOError):
            trap.accept()
        assert m.chat("a").status == 200


def test_settings_files_of_llama_cpp_are_not_read(serve, tmp_path):
    settings = tmp_path / ".config/llama.cpp/config.ini"
    settings.parent.mkdir(parents=True)
    settings.write_text("[*]\nembeddings = true\napi-key = secret\n")
    m = serve(env={"HOME": str(tmp_path)})
    assert m.chat("a").status == 200
