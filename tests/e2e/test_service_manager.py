"""The protocols of a service manager (systemd): what the daemon tells it, and the sockets that it hands over."""
import contextlib
import os
import pathlib
import socket
import subprocess
import sys

import harness
import pytest


@pytest.fixture
def manager(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(tmp_path / "notify"))
        told.settimeout(harness.PATIENCE)
        yield told


def test_it_is_told_of_begin_and_end(serve, manager):
    m = serve(env={"NOTIFY_SOCKET": manager.getsockname()})
    assert manager.recv(100) == b"READY=1"
    assert m.chat("a").status == 200
    m.terminate()
    assert manager.recv(100) == b"STOPPING=1"
    assert m.wait() == 0


def test_the_watchdog_is_fed_for_as_long_as_the_server_runs(serve, manager):
    m = serve(env={"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "20000"})
    assert manager.recv(100) == b"READY=1"
    for _ in range(5):
        assert manager.recv(100) == b"WATCHDOG=1"
    assert m.get("/health").status == 200


def test_a_manager_that_is_gone_is_a_warning(serve, tmp_path):
    m = serve(env={"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    assert m.chat("a").status == 200
    assert "the service manager is not told READY=1" in m.log()


# Plays systemd: makes sockets, and becomes the daemon that gets them.
ACTIVATION = """
import os, socket, sys
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range({count})]
arguments = sys.argv[1:]
arguments[arguments.index("--listen") + 1] = "127.0.0.1:%d" % sockets[0].getsockname()[1]
for number, one in enumerate([os.dup(s.fileno()) for s in sockets]):
    os.dup2(os.dup(one), 40 + number)
for number in range({count}):
    os.dup2(40 + number, 3 + number)
os.closerange(3 + {count}, 100)
os.environ.update(LISTEN_FDS="{count}", LISTEN_PID=str(os.getpid()))
os.execv({program!r}, [{program!r}, *arguments])
"""


@pytest.fixture
def activated(tmp_path, monkeypatch):
    """activated(count) starts a daemon that is handed so many sockets. It listens on the first."""
    def prepare(count):
        wrapper = tmp_path / "activation"
        code = ACTIVATION.format(count=count, program=str(harness.MINERVA))
        wrapper.write_text(f"#!{sys.executable}\n{code}")
        wrapper.chmod(0o755)
        monkeypatch.setattr(harness, "MINERVA", wrapper)
    return prepare


def test_a_socket_of_its_address_is_taken(serve, activated):
    activated(1)
    m = serve()
    # If the daemon had made its own socket, the port would have been in use.
    assert m.chat("a").status == 200
    assert "service manager" not in m.log()
    # Its engines have none of these sockets.
    folder = pathlib.Path(f"/proc/{m.engine('a')}/fd")
    links = []
    for fd in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            links.append(os.readlink(fd))
    listening = [os.readlink(f"/proc/{m.process.pid}/fd/{fd}") for fd in ("3",)]
    assert not set(listening) & set(links)


def test_a_socket_that_no_setting_names_is_warned_of(serve, activated):
    activated(2)
    m = serve()
    assert m.get("/health").status == 200
    assert "hands over a socket on 127.0.0.1:" in m.log()


def test_a_socket_that_has_the_port_is_named(tmp_path):
    """minerva.socket has other addresses than the config's `listen`."""
    code = f"""
import os, socket
with socket.create_server(("127.0.0.1", 0)) as made:
    os.dup2(os.dup2(made.fileno(), 40), 3)  # it may be 3 itself, and end with this program
    port = made.getsockname()[1]
    os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
    os.execv({str(harness.MINERVA)!r}, ["minerva", "serve", "--listen", f"0.0.0.0:{{port}}", "--api-key", "key",
                                        "--models-dir", ".", "--state-dir", "state",
                                        "--engine", {str(harness.ENGINE)!r}])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True,
                          env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
                          timeout=harness.PATIENCE)
    assert done.returncode == 1 and "cannot listen on 0.0.0.0:" in done.stderr, done
    assert "hands over a socket on 127.0.0.1:" in done.stderr, done
