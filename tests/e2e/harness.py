"""Starts real `minerva serve` processes with real engines, and talks to them.

A Minerva is one daemon with a folder of its own (models, state, sockets, log). Every wait is for an event or a condition,
with a generous limit. No test depends on how fast something is.
"""
import http.client
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
MINERVA = pathlib.Path(os.environ.get("MINERVA_BIN", ROOT / "build/dev/bin/minerva")).absolute()
BIN_DIR = pathlib.Path(os.environ.get("MINERVA_BIN_DIR", ROOT / "build/bin")).absolute()
ENGINE = BIN_DIR / "minerva-engine"
PATIENCE = float(os.environ.get("MINERVA_E2E_PATIENCE", "120"))  # the longest wait for a condition, in seconds

# How many times as much memory a program takes under ThreadSanitizer, which keeps a shadow of what the program touches.
SHADOWED = int(os.environ.get("MINERVA_SHADOWED", "1"))
SANITIZER_REPORTS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:", "WARNING: ThreadSanitizer")

FAKES = pathlib.Path(os.environ.get("MINERVA_FAKES_DIR", MINERVA.parent))

# (what, seconds): printed at the end, never asserted.
figures = []


def wait_until(condition, what, limit=PATIENCE):
    """Polls until `condition()` is true, and returns its value."""
    end = time.monotonic() + limit
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"waited {limit:.0f} s in vain until {what}"
        time.sleep(0.01)


class WallClock:
    """A wall clock that the test sets, for the daemons that start with its `env` (tests/fakes/wall_clock.cc)."""

    def __init__(self, folder):
        library = FAKES / "wall_clock.so"
        assert library.exists(), "wall_clock.so is missing: build the tests"
        self.file = folder / "wall_clock"
        self.env = {"LD_PRELOAD": str(library), "WALL_CLOCK_FILE": str(self.file)}
        self.shift(0)

    def shift(self, seconds):
        """From now on the clock is that far ahead of the machine's."""
        aside = self.file.with_suffix(".new")
        aside.write_text(f"{seconds}\n")
        aside.rename(self.file)

    def set(self, moment):
        """From now on the clock goes on from `moment` (a datetime with its zone), to a second."""
        self.shift(int(moment.timestamp() - time.time()))


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = {name.lower(): value for name, value in headers}
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        """Returns the error object after a check that it has OpenAI's shape."""
        error = self.json["error"]
        assert set(error) - {"decision"} == {"message", "type", "param", "code"}, error
        assert isinstance(error.get("decision", 1), int), error
        assert isinstance(error["message"], str) and error["message"], error
        assert isinstance(error["type"], str) and isinstance(error["code"], str), error
        return error

    @property
    def error_message(self):
        """The message of an error in any API's shape."""
        error = self.json["error"]
        return error if isinstance(error, str) else error["message"]

    def __repr__(self):
        return f"{self.status} {self.body[:500]!r}"


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Stream:
    """An answer that is read while it arrives."""

    def __init__(self, connection, response):
        self.connection = connection
        self.response = response
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.buffer = b""

    def line(self):
        """The next line without its end; None at the proper end. Raises IncompleteRead if the answer was cut off."""
        while b"\n" not in self.buffer:
            piece = self.response.read1(65536)
            if not piece:
                assert not self.buffer, f"the answer ends within a line: {self.buffer!r}"
                return None
            self.buffer += piece
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.decode()

    def event(self):
        """The next `data:` text or `:` comment (with its colon); None at the end."""
        while (line := self.line()) is not None:
            if line.startswith("data: "):
                return line[len("data: "):]
            if line.startswith(":"):
                return line
            assert line == "", f"neither data nor comment: {line!r}"
        return None

    def events(self):
        while (event := self.event()) is not None:
            yield event

    def heartbeat(self, text):
        """Reads until a heartbeat begins with `text`, past those of the steps before, such as a file's inspection."""
        for event in self.events():
            assert event.startswith(":"), event
            if event.startswith(f": {text}"):
                return
        raise AssertionError(f"the stream ended without a heartbeat of {text!r}")

    def token(self):
        """Reads until the model has written something. Returns that text."""
        for event in self.events():
            if event.startswith(":"):
                continue
            assert event != "[DONE]", "the stream ended without a word"
            chunk = json.loads(event)
            assert "error" not in chunk, chunk
            text = chunk["choices"][0]["delta"].get("content") if chunk["choices"] else None
            if text:
                return text
        raise AssertionError("the stream ended without [DONE]")

    def rest(self):
        """The rest of the events, as a list."""
        return list(self.events())

    def drop(self):
        """Goes away without a word, like a client that was killed."""
        # The response also holds the socket. A shutdown tells the peer at once.
        sock = self.connection.sock or self.response.fp.raw._sock  # noqa: SLF001
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.response.close()
        self.connection.close()


def proc_cmdline(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def finish(program):
    """Waits for the end of a Popen whose pipes are text. Returns its exit code and what it wrote on both pipes."""
    try:
        output, errors = program.communicate(timeout=PATIENCE)
    finally:
        program.kill()
    return program.returncode, output, errors


class Minerva:
    def __init__(self, models, *args, env=None, config=None, listen="127.0.0.1:0", extra=None, before_exec=None):
        """`models`: id -> file; each becomes ID.gguf in the daemon's models folder. `extra`: other files there, by their
        names. `before_exec`: called in the daemon's process before it becomes the daemon."""
        # A short path, since the path of a Unix socket has at most 107 bytes.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mv-", dir="/tmp"))
        self.models_dir = self.folder / "models"
        self.models_dir.mkdir()
        for name, file in models.items():
            self.add_model(name, file)
        for name, file in (extra or {}).items():
            (self.models_dir / name).parent.mkdir(exist_ok=True)
            shutil.copy(file, self.models_dir / name)
        self.before_exec = before_exec
        self.args = ["--listen", listen, "--models-dir", str(self.models_dir), "--state-dir", str(self.folder / "state"),
                     "--engine", str(ENGINE), "--log-level", "debug", *map(str, args)]
        if config is not None:
            (self.folder / "minerva.toml").write_text(config)
            self.args += ["--config", str(self.folder / "minerva.toml")]
        self.env = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "XDG_RUNTIME_DIR": str(self.folder),
                    **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}, **(env or {})}
        self.log_path = self.folder / "log"
        self.process = None

    def add_model(self, name, file):
        target = self.models_dir / f"{name}.gguf"
        try:
            os.link(file, target)
        except OSError:
            shutil.copy(file, target)
        return target

    # ---- the process ----

    def start(self):
        with open(self.log_path, "ab") as log:
            # The daemon ends with this process, however this process ends (a time limit of ctest kills it).
            self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", MINERVA, "serve", *self.args],
                                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                                            env=self.env, cwd=self.folder, preexec_fn=self.before_exec)
        prefix = "minerva listens on "
        readable, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        line = self.process.stdout.readline().decode() if readable else ""
        assert line.startswith(prefix), f"no address on stdout: {line!r}\n{self.log()}"
        self.url = line[len(prefix):].strip()
        return self

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def engines(self, model=None):
        """Process ids of engines that serve (not of inspections), even after the daemon has ended."""
        wanted = str(self.models_dir) + "/" + (f"{model}.gguf" if model else "")
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                argv = proc_cmdline(entry)
                if any(flag == "-m" and value.startswith(wanted) for flag, value in zip(argv, argv[1:])):
                    found.append(int(entry))
        return found

    def engine(self, model):
        """The one engine of a model."""
        found = self.engines(model)
        assert len(found) == 1, f"{len(found)} engines of {model}"
        return found[0]

    def catch_loading(self, model, begin):
        """Calls `begin()` and stops (SIGSTOP) the engine that it starts while the engine still loads. Returns its
        process id."""
        for _ in range(20):
            begin()
            pid = wait_until(lambda: self.engines(model), f"an engine of {model} appears")[0]
            try:
                os.kill(pid, signal.SIGSTOP)
            except ProcessLookupError:
                continue
            if self.state(model) == "loading":
                return pid
            # Too late: the engine was ready before it was stopped.
            os.kill(pid, signal.SIGCONT)
            wait_until(lambda: self.state(model) in ("hot", "cold"), "the load ended")
            self.delete(f"/v1/models/{model}?force=true")
        raise AssertionError("the engine was never caught while loading")

    def keep_waiting(self, model, begin):
        """Calls `begin()`, which asks the model for a stream. Holds the load until streams have had heartbeats.
        Returns the process id of the loading engine, which is stopped (SIGSTOP)."""
        pid = self.catch_loading(model, begin)
        probe = self.chat_stream(model, max_tokens=1)
        wait_until(lambda: self.view(model)["waiting"] >= 2, "the client under test waits beside the probe")
        for _ in range(2):
            probe.heartbeat("loading")
        probe.drop()
        return pid

    def resume(self, model):
        os.kill(self.engine(model), signal.SIGCONT)

    def fail_load(self, model, first):
        """Kills the loading engine, and the one that the request gets after that."""
        os.kill(first, signal.SIGKILL)
        second = wait_until(lambda: [pid for pid in self.engines(model) if pid != first], "another engine is tried")[0]
        os.kill(second, signal.SIGKILL)

    def wait(self):
        """Waits for the daemon's end and returns its exit code."""
        return self.process.wait(PATIENCE)

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """A proper end: SIGTERM, exit code 0, no engine left, no report of a sanitizer."""
        if self.process is not None and self.process.poll() is None:
            for pid in self.engines():
                os.kill(pid, signal.SIGCONT)
            self.terminate()
            try:
                code = self.wait()
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGABRT)
                self.process.wait()
                raise AssertionError(f"the daemon does not end\n{self.log()}") from None
            assert code == 0, f"exit code {code}\n{self.log()}"
            assert self.engines() == [], "an engine outlives the daemon"
        self.check_log()

    def check_log(self):
        log = self.log()
        for report in SANITIZER_REPORTS:
            assert report not in log, log

    def clean(self):
        """Removes the daemon, its engines and its folder, whatever happened."""
        if self.process is not None:
            if self.process.poll() is None:
                self.kill()
            self.process.stdout.close()
        for pid in self.engines():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- HTTP ----

    @property
    def port(self):
        return int(self.url.rsplit(":", 1)[1])

    def connect(self, timeout=PATIENCE):
        if self.url.startswith("unix:"):
            return UnixConnection(self.url[len("unix:"):], timeout)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    @staticmethod
    def encode(body, headers):
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            headers = {"Content-Type": "application/json", **headers}
        return body, headers

    def request(self, method, path, body=None, headers=None, timeout=PATIENCE):
        body, headers = self.encode(body, headers or {})
        connection = self.connect(timeout)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Answer(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    def get(self, path, **kwargs):
        return self.request("GET", path, **kwargs)

    def post(self, path, body=None, **kwargs):
        return self.request("POST", path, body, **kwargs)

    def delete(self, path, **kwargs):
        return self.request("DELETE", path, **kwargs)

    def stream(self, path, body, headers=None, timeout=PATIENCE):
        body, headers = self.encode(body, headers or {})
        connection = self.connect(timeout)
        connection.request("POST", path, body, headers)
        return Stream(connection, connection.getresponse())

    def raw(self, data):
        """Sends the bytes unchanged. Returns everything that comes back until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as sock:
            sock.sendall(data)
            answer = b""
            while piece := sock.recv(65536):
                answer += piece
            return answer

    # ---- what tests do again and again ----

    def chat(self, model, text="Hello", max_tokens=4, **more):
        return self.post("/v1/chat/completions", chat_body(model, text, max_tokens=max_tokens, **more))

    def chat_stream(self, model, text="Hello", max_tokens=4, **more):
        return self.stream("/v1/chat/completions", chat_body(model, text, max_tokens=max_tokens, stream=True, **more))

    def use(self, *models):
        """Sends inference requests one after another. Each has ended for the daemon too when the next one begins."""
        for model in models:
            answer = self.chat(model)
            assert answer.status == 200, answer
            self.settle()

    def settle(self):
        wait_until(lambda: not any(m["leases"] for m in self.stats()["models"]), "no request is running")

    def load(self, model, query="", verb="load"):
        return self.post(f"/v1/models/{model}/{verb}{query}")

    def stats(self):
        answer = self.get("/v1/models/stats")
        assert answer.status == 200, answer
        return answer.json

    def loaded(self):
        return sorted(self.stats()["loaded_models"])

    def cache(self):
        return self.stats()["cache"]

    def view(self, model):
        """The model's entry in the statistics; None if it is cold."""
        return next((m for m in self.stats()["models"] if m["id"] == model), None)

    def metric(self, name):
        """The value of a metric without labels."""
        return float(re.search(rf"^{name} (\S+)$", self.get("/metrics").body.decode(), re.M)[1])

    def state(self, model):
        answer = self.get(f"/v1/models/{model}")
        assert answer.status == 200, answer
        return answer.json["state"]

    def slots(self, model):
        answer = self.get(f"/slots?model={model}")
        assert answer.status == 200, answer
        return answer.json

    def busy_slots(self, model):
        return sum(slot["is_processing"] for slot in self.slots(model))


def inspect(file, *arguments):
    """What the engine says of a model file, with these arguments."""
    done = subprocess.run([BIN_DIR / "minerva-engine", "inspect", file, *arguments], capture_output=True, check=True,
                          env={"MINERVA_SANDBOX": "off"})
    return json.loads(done.stdout)


# Of an engine that was given the least: what gives way is as low as it gets (docs/adr/0027-fit.md).
LEAST = ["--no-warmup", "-fit", "off", "-c", "2048", "-np", "1", "-b", "256", "-ub", "256", "--cache-ram", "1",
         "--ctx-checkpoints", "1", "--no-repack"]


def make_certificate(folder, name="server"):
    """A self-signed certificate for localhost, and its key."""
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "1",
                    "-out", certificate, "-keyout", key], check=True, capture_output=True)
    return certificate, key


def chat_body(model, text="Hello", **more):
    return {"model": model, "messages": [{"role": "user", "content": text}], "temperature": 0, **more}


def in_background(function, *args, **kwargs):
    """Runs the function in a thread. `.result()` waits, and returns what it returned or raises what it raised."""
    return Background(function, args, kwargs)


class Background:
    def __init__(self, function, args, kwargs):
        self.error = None
        self.value = None

        def run():
            try:
                self.value = function(*args, **kwargs)
            except BaseException as error:  # result() raises it
                self.error = error

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    @property
    def done(self):
        return not self.thread.is_alive()

    def result(self):
        self.thread.join(PATIENCE)
        assert self.done, "it does not end"
        if self.error is not None:
            raise self.error
        return self.value
