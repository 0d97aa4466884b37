"""The same server on a Unix socket."""
import os
import pathlib
import subprocess

import harness


def serve_at(serve, tmp_path, name="minerva.sock"):
    path = pathlib.Path("/tmp") / f"mv-e2e-{os.getpid()}-{name}"
    return path, serve(listen=f"unix:{path}")


def test_serves_and_removes_its_socket(serve, tmp_path):
    path, m = serve_at(serve, tmp_path)
    assert m.url == f"unix:{path}"
    assert path.is_socket()
    assert m.chat("a").status == 200
    stream = m.chat_stream("b")
    assert stream.rest()[-1] == "[DONE]"
    stream.drop()
    m.stop()
    assert not path.exists()


def test_a_socket_left_by_a_killed_daemon_is_replaced(serve, tmp_path):
    path, m = serve_at(serve, tmp_path)
    m.kill()
    assert path.is_socket()
    m.process.stdout.close()
    m.start()
    assert m.get("/health").status == 200


def test_a_socket_in_use_is_left_alone(serve, tmp_path):
    path, m = serve_at(serve, tmp_path)
    done = subprocess.run([harness.MINERVA, "serve", *m.args, "--state-dir", tmp_path / "other"],
                          capture_output=True, text=True, env=m.env,
                          timeout=harness.PATIENCE)
    assert done.returncode == 1 and str(path) in done.stderr, done
    assert m.get("/health").status == 200


def test_the_command_line_reaches_it(serve, tmp_path):
    path, m = serve_at(serve, tmp_path)
    done = subprocess.run([harness.MINERVA, "models", "--url", f"unix:{path}"], capture_output=True, text=True,
                          timeout=harness.PATIENCE, env=m.env)
    assert done.returncode == 0 and "a" in done.stdout.split(), done
