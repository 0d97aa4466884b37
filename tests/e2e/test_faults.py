"""A daemon under a machine's faults: full disks, no free descriptors, taken ports, clocks that jump, a stopped
process."""
import contextlib
import datetime
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import tempfile

import pytest

import harness
from harness import in_background, wait_until


def start_fails(minerva):
    """The exit code and the output of a daemon that should not start."""
    done = subprocess.run([harness.MINERVA, "serve", *minerva.args], capture_output=True, text=True, env=minerva.env,
                          timeout=harness.PATIENCE)
    assert done.stdout == "", done
    return done.returncode, done.stderr


@pytest.fixture
def not_started(models):
    """A daemon that is not started yet."""
    made = []

    def make(*args, **kwargs):
        made.append(harness.Minerva(models, *args, **kwargs))
        return made[-1]

    yield make
    for minerva in made:
        minerva.clean()


# ---- disks ----

@contextlib.contextmanager
def full_disk():
    """A folder on a full disk of its own. None where mounting is not allowed."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mv-full-"))
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True)
    try:
        if mounted.returncode == 0:
            with contextlib.suppress(OSError), open(folder / "ballast", "wb", buffering=0) as ballast:
                while True:
                    ballast.write(b"x" * 4096)
        yield folder if mounted.returncode == 0 else None
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", folder], check=True)
        folder.rmdir()


def use_in_spite_of_the_disk(m):
    """The daemon cannot keep what it learned about models. That is no reason to refuse requests."""
    assert m.chat("a").status == 200
    assert m.chat("b").status == 200
    assert m.load("c").status == 200


def written_files(folder):
    return [entry.name for entry in folder.rglob("*") if entry.is_file() and entry.stat().st_size > 0]


def test_a_full_state_disk(serve):
    with full_disk() as folder:
        if folder is None:
            return test_files_that_may_not_grow(serve)  # a stand-in without mounting: each write fails in the same way
        m = serve("--state-dir", folder / "state")
        use_in_spite_of_the_disk(m)
        wait_until(lambda: "cannot write" in m.log(), "it says so in the log")
        assert written_files(folder / "state") == []
        m.stop()


def test_files_that_may_not_grow(serve):
    m = serve()
    resource.prlimit(m.process.pid, resource.RLIMIT_FSIZE, (0, 0))
    use_in_spite_of_the_disk(m)
    assert written_files(m.folder / "state") == []
    m.stop()


def test_a_state_folder_that_cannot_be_made(not_started):
    m = not_started()
    blocked = m.folder / "file"
    blocked.write_text("no folder")
    m.args[m.args.index("--state-dir") + 1] = str(blocked / "state")
    code, words = start_fails(m)
    assert code == 1 and str(blocked) in words and "--state-dir" in words, words


def test_a_file_that_changes_while_its_model_waits(serve, slow_model, models):
    """What was known about the file no longer holds: the daemon refuses honestly, and then inspects the file anew."""
    m = serve("--max-models", 1, models={"slow": slow_model}, env={"MINERVA_QUEUE_MIN_RESIDENCY": "1h"})
    changing = shutil.copy(models["a"], m.models_dir / "a.gguf")
    m.use("slow")
    busy = m.chat_stream("slow", max_tokens=3000)
    busy.token()
    assert m.load("a", "?dry_run=true").status == 200  # is inspected
    waiting = in_background(m.chat, "a")
    wait_until(lambda: (m.view("a") or {}).get("waiting"), "one request waits")
    os.utime(changing, (1, 1))
    busy.drop()
    answer = waiting.result()
    assert answer.status == 200 or (answer.status == 503 and "changed" in answer.error["message"]), answer
    if answer.status == 503:
        assert int(answer.headers["retry-after"]) >= 1
    assert m.load("a").status == 200
    assert m.chat("a").status == 200


# ---- addresses ----

def test_a_port_in_use(not_started):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, words = start_fails(not_started(listen=f"127.0.0.1:{port}"))
    assert code == 1 and str(port) in words and "--listen" in words, words


def test_a_socket_path_that_is_too_long(not_started):
    m = not_started(listen="unix:/tmp/" + "x" * 200)
    code, words = start_fails(m)
    assert code in (1, 2) and "107" in words, words


def test_a_runtime_folder_whose_path_is_too_long(not_started):
    m = not_started()
    deep = m.folder / ("x" * 100)
    deep.mkdir()
    m.env["XDG_RUNTIME_DIR"] = str(deep)
    m.start()
    try:
        # The paths of the engines' sockets are too long there. The daemon finds another place, or says what is wrong.
        answer = m.chat("a")
        assert answer.status == 200 or "too long" in answer.error["message"], answer
        m.stop()
    finally:
        m.clean()


# ---- descriptors ----

def test_no_descriptors_left(serve):
    m = serve()
    m.use("a")
    pid = m.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    # Open descriptors stay open; no new one can be opened.
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (max(map(int, os.listdir(f"/proc/{pid}/fd"))) + 2, before[1]))
    crowd = [socket.create_connection(("127.0.0.1", m.port), harness.PATIENCE) for _ in range(20)]
    cold = in_background(m.chat, "b")
    # Nobody can connect, and the daemon neither dies nor spins.
    wait_until(lambda: proc_state(pid) == "S", "it waits")
    assert m.process.poll() is None
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    for connection in crowd:
        connection.close()
    assert cold.result().status in (200, 502, 503)
    assert m.chat("a").status == 200
    wait_until(lambda: m.load("b").status == 200, "a model loads again")
    assert m.chat("b").status == 200


def test_descriptors_run_out_in_the_middle(serve):
    """Descriptors for one more connection, but not for its engine's: an honest error, and recovery."""
    m = serve()
    m.use("a")
    pid = m.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    connection = m.connect()
    connection.request("GET", "/health")
    assert connection.getresponse().read() is not None
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (max(map(int, os.listdir(f"/proc/{pid}/fd"))) + 1, before[1]))
    body, headers = m.encode(harness.chat_body("b", max_tokens=2), {})
    connection.request("POST", "/v1/chat/completions", body, headers)
    response = connection.getresponse()
    answer = harness.Answer(response.status, response.getheaders(), response.read())
    connection.close()
    assert answer.status in (500, 502, 503) and answer.error["message"], answer
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    wait_until(lambda: m.load("b").status == 200, "it loads once there are descriptors")
    assert m.chat("b").status == 200
    assert m.chat("a").status == 200


def proc_state(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


# ---- time ----

def test_the_wall_clock_jumps(serve, slow_model, models, tmp_path):
    """Waits, deadlines and durations follow the monotonic clock: a jump of a day in both directions changes none of
    them."""
    clock = harness.WallClock(tmp_path)
    m = serve("--max-models", 1, models={"slow": slow_model, "a": models["a"]},
              env={**clock.env, "MINERVA_QUEUE_MIN_RESIDENCY": "1h", "MINERVA_QUEUE_MAX_WAIT": "1h"})
    stream = m.chat_stream("slow", max_tokens=-1)  # until the context is full
    stream.token()
    waiting = in_background(m.chat, "a")  # its deadline is an hour away; a jump must not use that up
    wait_until(lambda: (m.view("a") or {}).get("waiting"), "one request waits")
    for days in (1, -1, 3000):
        clock.shift(days * 86400)
        wait_until(lambda: last_day(m) == today(days), f"the daemon's wall clock is {days} days off")
        assert not waiting.done
        view = m.view("slow")
        assert view["leases"] == 1 and view["last_used_s"] < 3600, view
    stream.token()
    stream.drop()
    assert waiting.result().status == 200
    assert float(waiting.value.headers["x-minerva-wait-ms"]) < 3600_000


def today(days):
    return (datetime.datetime.now() + datetime.timedelta(days)).strftime("%Y-%m-%d")


def last_day(minerva):
    minerva.get("/health")  # this writes a log line
    return minerva.log().splitlines()[-1][:len("2000-01-01")]


def test_a_daemon_that_was_stopped_goes_on(serve, slow_model, models):
    """As after a laptop's sleep or under a debugger: waiting clients are served afterwards."""
    m = serve(models={"slow": slow_model, "a": models["a"]})
    stream = m.chat_stream("slow", max_tokens=20)
    stream.token()
    os.kill(m.process.pid, signal.SIGSTOP)
    wait_until(lambda: proc_state(m.process.pid) == "T", "it is stopped")
    late = in_background(m.chat, "a")
    os.kill(m.process.pid, signal.SIGCONT)
    assert stream.rest()[-1] == "[DONE]"
    assert late.result().status == 200
    assert m.chat("slow").status == 200
