"""The command line against a running server: output, pipes, exit codes."""
import json
import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest

import harness
from harness import in_background, wait_until


@pytest.fixture
def cli(serve):
    """cli(*args) runs `minerva ...` against cli.server."""

    def run(*args, stdin=None, url=None, expect=0):
        done = subprocess.run([harness.MINERVA, *args], capture_output=True, text=True, timeout=harness.PATIENCE,
                              input=stdin, env={**run.server.env, "MINERVA_URL": url or run.server.url})
        assert done.returncode == expect, done
        for report in harness.SANITIZER_REPORTS:
            assert report not in done.stderr, done.stderr
        return done

    run.server = serve()
    return run


def test_models(cli):
    cli("load", "a")
    out = cli("models").stdout
    assert [line.split()[0] for line in out.splitlines()] == ["ID", "a", "b", "c", "d", "e"]
    assert "\033" not in out
    listed = json.loads(cli("models", "--json").stdout)
    assert {m["id"]: m["state"] for m in listed["data"]}["a"] == "hot"


def test_life_cycle(cli):
    assert "No model is in memory" in cli("ps").stdout
    out = cli("load", "a").stdout
    assert out.startswith("a: loaded in "), out
    answer = json.loads(cli("preload", "b", "b.gguf", "--json").stdout)
    assert answer["message"] == "preloaded" and answer["state"] == "hot"
    table = cli("ps").stdout.splitlines()
    assert table[0].split()[:2] == ["ID", "STATE"]
    assert [line.split()[:2] for line in table[1:]] == [["a", "hot"], ["b", "hot"]]
    plan = cli("load", "c", "--dry-run").stdout
    assert "would evict  nothing" in plan
    assert cli.server.engines("c") == []
    cli("pin", "a")
    refused = cli("unload", "a", expect=1)
    assert refused.stdout == "" and "pinned" in refused.stderr
    cli("unpin", "a")
    cli("unload", "a")
    assert cli.server.loaded() == ["b"]
    cli("load", "a", "--json")
    stats = json.loads(cli("stats", "--json").stdout)
    assert sorted(stats["loaded_models"]) == ["a", "b"] and stats["cache"]["preloads"] == 1
    assert "policy     hazard" in cli("stats").stdout


def test_run_fits_into_a_pipe(cli):
    settings = ("--max-tokens", "8", "--temperature", "0")
    given = cli("run", "a", "Hello", *settings, stdin="")
    assert given.stdout.strip() and given.stdout.endswith("\n")
    piped = cli("run", "a", *settings, stdin="Hello\n")
    dash = cli("run", "a", "-", *settings, stdin="Hello")
    assert piped.stdout == dash.stdout == given.stdout
    both = cli("run", "a", "Hello", *settings, stdin="and more")
    assert both.stdout != given.stdout
    # With no stdin it begins at once. With a pipe that stays open it says so, and waits.
    null = subprocess.run([harness.MINERVA, "run", "a", "Hello", *settings], stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, env={**cli.server.env, "MINERVA_URL": cli.server.url})
    assert null.stdout == given.stdout and null.stderr == ""
    waiting = subprocess.Popen([harness.MINERVA, "run", "a", "Hello", *settings], stdin=subprocess.PIPE, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env={**cli.server.env, "MINERVA_URL": cli.server.url})
    assert "</dev/null" in waiting.stderr.readline()
    assert waiting.communicate("", timeout=harness.PATIENCE)[0] == given.stdout
    answer = json.loads(cli("run", "a", "Hello", *settings, "--json", stdin="").stdout)
    assert answer["choices"][0]["message"]["content"].strip() == given.stdout.strip()


def test_chat_keeps_the_conversation(cli):
    settings = ("--max-tokens", "8", "--temperature", "0")
    out = cli("chat", "a", *settings, stdin="Hello\nAgain\n/reset\nHello\n/exit\nnever\n").stdout
    first = cli("run", "a", "Hello", *settings, stdin="").stdout
    assert out.startswith(first) and out.endswith(first)
    assert len(out) > 2 * len(first), "the second turn has no answer"


def test_chat_on_a_terminal_stops_an_answer_on_ctrl_c(serve, slow_model):
    m = serve(models={"slow": slow_model})
    m.use("slow")
    child, terminal = pty.fork()
    if child == 0:
        try:
            os.execve(harness.MINERVA, ["minerva", "chat", "slow", "--max-tokens", "3000", "--temperature", "0"],
                      {**m.env, "MINERVA_URL": m.url, "TERM": "xterm"})
        finally:
            os._exit(127)
    seen = b""

    def see():
        nonlocal seen
        if select.select([terminal], [], [], 0)[0]:
            seen += os.read(terminal, 65536)
        return seen

    wait_until(lambda: see().count(b"> ") == 1, "it asks")
    os.write(terminal, b"Hello\n")
    wait_until(lambda: m.view("slow")["leases"] == 1, "it answers")
    echoed = len(see())
    wait_until(lambda: len(see()) > echoed + 20, "text arrives")
    os.kill(child, signal.SIGINT)
    wait_until(lambda: see() and m.view("slow")["leases"] == 0, "the answer was stopped")
    wait_until(lambda: see().count(b"> ") >= 2, "it asks again")
    os.write(terminal, b"/exit\n")
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0, seen


def test_top(cli):
    cli("load", "a")
    out = cli("top").stdout
    assert out.startswith("memory ") and "No request is in flight." in out and "\033" not in out
    cli.server.use("a")
    out = cli("top", "--once").stdout
    assert "completed" in out and "ENDED" in out
    assert json.loads(cli("top", "--json").stdout)["recent"][0]["model"] == "a"


def test_top_on_a_terminal_cancels(serve, slow_model):
    m = serve(models={"slow": slow_model})
    stream = m.chat_stream("slow", max_tokens=3000)
    stream.token()
    child, terminal = pty.fork()
    if child == 0:
        os.execve(harness.MINERVA, ["minerva", "top", "--url", m.url], {**m.env, "TERM": "xterm"})
    seen = b""

    def see(text):
        nonlocal seen
        if select.select([terminal], [], [], 0)[0]:
            seen += os.read(terminal, 65536)
        return text in seen

    wait_until(lambda: see(b"generating"), "it shows what goes on")
    os.write(terminal, b"c")
    wait_until(lambda: see(b"any other key: no"), "it asks")
    os.write(terminal, b"n")
    wait_until(lambda: see(b"generating") and m.get("/v1/requests").json["in_flight"], "it goes on")
    stream.token()
    os.write(terminal, b"\033[Bcy")
    wait_until(lambda: see(b"is cancelled."), "it is cancelled")
    assert json.loads(stream.rest()[-1])["error"]["code"] == "cancelled"
    os.write(terminal, b"q")
    _, status = os.waitpid(child, 0)
    see(b"")
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0, seen


def test_a_load_on_a_terminal_shows_where_it_is(serve, slow_model):
    m = serve(models={"slow": slow_model})
    shown = []

    def begin():
        master, slave = pty.openpty()
        process = subprocess.Popen([harness.MINERVA, "load", "slow", "--url", m.url], stderr=slave, text=True,
                                   stdout=subprocess.PIPE, env={**m.env, "TERM": "xterm"})
        os.close(slave)
        shown.append((process, master))

    pid = m.catch_loading("slow", begin)
    process, master = shown[-1]
    text = b""

    def see():
        nonlocal text
        if select.select([master], [], [], 0)[0]:
            text += os.read(master, 65536)
        return b"loading" in text.lower()

    wait_until(see, "it says that it loads")
    os.kill(pid, signal.SIGCONT)
    out, _ = process.communicate(timeout=harness.PATIENCE)
    assert process.returncode == 0 and out.startswith("slow: loaded in "), out
    for process, master in shown:
        process.communicate(timeout=harness.PATIENCE)
        os.close(master)


def test_a_question_on_a_terminal_shows_how_far_it_is_read(serve, slow_model):
    m = serve(models={"slow": slow_model})
    m.use("slow")
    master, slave = pty.openpty()
    process = subprocess.Popen([harness.MINERVA, "run", "slow", "the cat sat on the mat " * 500, "--max-tokens", "2",
                                "--url", m.url], stderr=slave, text=True, stdout=subprocess.PIPE,
                               stdin=subprocess.DEVNULL, env={**m.env, "TERM": "xterm"})
    os.close(slave)

    def in_flight():
        return m.get("/v1/requests").json["in_flight"]

    wait_until(lambda: any(r["fraction"] is not None for r in in_flight()), "it is known how far it is read")
    engine = m.engine("slow")
    os.kill(engine, signal.SIGSTOP)
    wait_until(lambda: in_flight()[0]["seconds"] > 2.5, "a heartbeat is due")
    os.kill(engine, signal.SIGCONT)
    text = b""

    def see():
        nonlocal text
        if select.select([master], [], [], 0)[0]:
            text += os.read(master, 65536)
        return re.search(rb"reading \d+ % of \d,\d\d\d tokens", text)

    wait_until(see, "it says how far it is read")
    out, _ = process.communicate(timeout=harness.PATIENCE)
    os.close(master)
    assert process.returncode == 0 and out, out


def test_logs(cli):
    cli("load", "a")
    out = cli("logs", "a").stdout
    assert len(out.splitlines()) > 5 and "model" in out
    assert len(cli("logs", "a", "--tail", "3").stdout.splitlines()) == 3
    assert json.loads(cli("logs", "a", "--json").stdout)["lines"]

    follower = subprocess.Popen([harness.MINERVA, "logs", "a", "-f", "--tail", "0", "--url", cli.server.url],
                                stdout=subprocess.PIPE, text=True, env=cli.server.env)
    line = in_background(follower.stdout.readline)
    end = time.monotonic() + harness.PATIENCE
    while not line.done and time.monotonic() < end:
        cli.server.chat("a")  # makes the engine print
    assert line.result().strip()
    follower.terminate()
    follower.communicate()


def test_exit_codes(cli, tmp_path):
    for args in (["run", "nosuch", "Hi"], ["load", "nosuch"], ["unload", "nosuch"], ["logs", "nosuch"],
                 ["chat", "nosuch"]):
        done = cli(*args, stdin="", expect=4)
        assert "nosuch" in done.stderr and done.stdout == "", done
    for args in (["nonsense"], ["load"], [], ["load", "a", "--nonsense"], ["run", "a", "--max-tokens", "many"],
                 ["serve", "--policy", "nonsense"], ["serve", "--max-models", "-1"]):
        assert cli(*args, expect=2).stderr
    for args in (["ps"], ["models"], ["stats"], ["load", "a"], ["run", "a", "Hi"], ["chat", "a"], ["logs", "a"]):
        done = cli(*args, url=f"unix:{tmp_path}/nothing", stdin="", expect=3)
        assert "minerva serve" in done.stderr, done
    broken = cli.server.models_dir / "broken.gguf"
    broken.write_bytes(b"no model")
    wait_until(lambda: "broken" in cli("models").stdout, "the new file is known")
    done = cli("load", "broken", expect=1)
    assert done.stderr.startswith("minerva: ") and done.stdout == ""
    assert cli("run", "broken", "Hi", stdin="", expect=1).stderr


def test_help_and_version(cli):
    assert "serve" in cli("--help").stdout
    assert cli("--version").stdout.startswith("minerva ")
    assert "--max-models" in cli("serve", "--help").stdout


def test_serve_check(cli, tmp_path):
    file = tmp_path / "minerva.toml"
    file.write_text('max_models = 2\n[model."x"]\npath = "x.gguf"\ncontext = 1024\n')
    done = cli("serve", "--check", "--config", str(file), "--policy", "lfu")
    assert "max_models = 2" in done.stdout and 'policy = "lfu"' in done.stdout
    # The printed config is valid, and means the same.
    again = tmp_path / "again.toml"
    again.write_text(done.stdout)
    assert cli("serve", "--check", "--config", str(again)).stdout == done.stdout

    file.write_text('max_models = 2\nmax_modles = 3\n')
    done = cli("serve", "--check", "--config", str(file), expect=2)
    assert "minerva.toml:2:1" in done.stderr and "max_modles" in done.stderr


def test_variables_that_are_no_settings(cli, serve):
    # As in each pod beside a service called minerva.
    pod = {"MINERVA_SERVICE_HOST": "10.0.0.1", "MINERVA_SERVICE_PORT": "3000", "MINERVA_PORT": "tcp://10.0.0.1:3000",
           "MINERVA_PORT_3000_TCP_ADDR": "10.0.0.1"}
    m = serve(env={**pod, "MINERVA_MAX_MODLES": "1"})
    assert m.get("/health").status == 200
    log = m.log()
    assert log.count("names no setting") == 1 and "MINERVA_MAX_MODLES" in log, log
    check = [harness.MINERVA, "serve", "--check"]
    done = subprocess.run(check, capture_output=True, text=True, env={**cli.server.env, **pod}, timeout=harness.PATIENCE)
    assert done.returncode == 0 and done.stderr == "", done
    done = subprocess.run(check, capture_output=True, text=True, env={**cli.server.env, "MINERVA_MAX_MODLES": "1"},
                          timeout=harness.PATIENCE)
    assert done.returncode == 0 and "MINERVA_MAX_MODLES names no setting" in done.stderr, done
