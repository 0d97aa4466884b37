"""Drives one minerva-engine as the daemon does, but without the daemon: tests what only the engine does (parking)."""
import http.client
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile

from harness import ENGINE, PATIENCE, UnixConnection

FLAGS = ["--offline", "--no-warmup", "-fit", "off", "-t", "1", "-b", "256", "-ub", "256",
         "--ctx-checkpoints", "4"]
NO_LIMIT = 1 << 40


class Died(Exception):
    """The engine ended instead of answering."""


class Conversations:
    """The daemon's part of kept conversations (engine/protocol/conversations.h): gives names to files that an engine
    has written."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def file(self):
        return os.open(self.folder, os.O_TMPFILE | os.O_RDWR, 0o600)

    def name(self, file, saved):
        tenant = self.folder / saved["tenant"]
        tenant.mkdir(exist_ok=True)
        try:
            # With a descriptor Python follows the link in /proc, and otherwise it does not.
            os.link(f"/proc/self/fd/{file}", tenant / saved["name"], src_dir_fd=file, follow_symlinks=True)
        except FileExistsError:
            pass

    def files(self):
        return sorted(self.folder.glob("*/*"), key=lambda path: path.stat().st_mtime_ns)

    def bytes(self):
        return sum(path.stat().st_size for path in self.files())


class BareEngine:
    """`conversations`: a Conversations, or None if nothing is kept. `image_folder`: None if the engine gets none. `stdin`: "socket", or "pipe" as from a daemon that does not
    park. `program`, `env`: a variant for devices, and variables that say which. `reads`: more that it may read."""

    def __init__(self, model, *flags, image_folder="", stdin="socket", context=1024, sandbox="required",
                 conversations=None, program=ENGINE, env=(), reads=()):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mv-", dir="/tmp"))
        self.sockets = self.folder / "sockets"
        self.sockets.mkdir()
        self.images = self.folder / "images" if image_folder == "" else image_folder
        if image_folder == "":
            self.images.mkdir()
        self.path = str(self.sockets / "engine.sock")
        environment = {"PATH": os.environ["PATH"], "LLAMA_SERVER_ROUTER_PORT": "1", "MINERVA_SANDBOX": sandbox,
                       "MINERVA_SANDBOX_PATHS": f"read {pathlib.Path(model).resolve()}\nsockets {self.sockets}\n"}
        environment |= dict(env)
        environment["MINERVA_SANDBOX_PATHS"] += "".join(f"read {path}\n" for path in reads)
        if "MESA_SHADER_CACHE_DIR" in environment:
            environment["MINERVA_SANDBOX_PATHS"] += f"folder {environment['MESA_SHADER_CACHE_DIR']}\n"
        self.conversations = conversations
        self.told = []  # lines of the engine that answer no request
        if conversations is not None:
            environment["MINERVA_CONVERSATIONS"] = str(conversations.folder)
            environment["MINERVA_SANDBOX_PATHS"] += f"read {conversations.folder}\n"
        if self.images is not None:
            environment["MINERVA_IMAGE_FOLDER"] = str(self.images)
        if stdin == "socket":
            self.control, child_end = socket.socketpair()
            self.control.settimeout(PATIENCE)
        else:
            read_end, write_end = os.pipe()
            child_end, self.control = os.fdopen(read_end, "rb"), os.fdopen(write_end, "wb", buffering=0)
        self.log_path = self.folder / "log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [program, "--host", self.path, "-m", pathlib.Path(model).resolve(), "-c", str(context), *FLAGS, *flags],
                stdin=child_end, stdout=subprocess.PIPE, stderr=log, env=environment)
        child_end.close()
        self.pid = self.process.pid
        self.answers = self.control.makefile("r") if stdin == "socket" else None
        self.greeting = self.answer() if self.answers else None
        for line in self.process.stdout:
            if b'"state":"ready"' in line:
                break
        else:
            raise AssertionError(f"the engine does not get ready: {self.log()}")

    def log(self):
        return self.log_path.read_text(errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Removes the engine and its folder, whatever happened."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        self.process.stdout.close()
        if self.answers:
            self.answers.close()
        self.control.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def end(self):
        """Waits until the engine ends by itself. Returns the number of the signal that ended it."""
        return -self.process.wait(PATIENCE)

    # ---- the control channel ----

    asked = 1000  # requests, and so the last one's id; tests that say lines themselves take less

    def say(self, text):
        data = text.encode()
        if self.answers:
            self.control.sendall(data)
        else:
            self.control.write(data)

    def answer(self):
        while True:
            line = self.answers.readline()
            if not line:
                raise Died(self.log())
            answer = json.loads(line)
            if not {"restored", "unusable"} & answer.keys():
                return answer
            self.told.append(answer)

    def ask(self, word, *numbers):
        """A request with an id of its own; its answer."""
        self.asked += 1
        self.say(" ".join(map(str, (word, self.asked, *numbers))) + "\n")
        answer = self.answer()
        assert answer.pop("id") == self.asked, answer
        return answer

    def try_to_park(self, most=NO_LIMIT):
        return self.ask("park", most)

    def park(self, most=NO_LIMIT, drop=False):
        """Parks. On a busy machine an engine may need a while after an answer until it rests. `drop`: drops all page
        cache too."""
        while (answer := self.try_to_park(most)).get("refused") == "it is working":
            pass
        if drop:
            self.drop(NO_LIMIT)
        return answer

    def drop(self, most):
        """Makes a parked engine give back that many bytes of page cache."""
        return self.ask("drop", most)

    def wake(self):
        return self.ask("wake")

    def save_once(self, rest=0):
        """Saves one segment, if there is one. Returns the engine's answer."""
        self.asked += 1
        file = self.conversations.file()
        try:
            socket.send_fds(self.control, [f"save {self.asked} {rest}\n".encode()], [file])
            answer = self.answer()
            assert answer.pop("id") == self.asked, answer
            if answer["saved"]:
                self.conversations.name(file, answer["saved"])
        finally:
            os.close(file)
        return answer

    def save(self, rest=0):
        """Saves all that rests. Returns the bytes that were written."""
        written = 0
        while True:
            answer = self.save_once(rest)
            assert not {"refused", "why_not"} & answer.keys(), answer
            written += answer["saved"].get("bytes", 0)
            if not answer["more"]:
                return written

    def measure(self, conversations=0):
        """The most that the engine may hold, in bytes. `conversations`: the most that those outside of slots may
        take."""
        return self.ask("measure", conversations)["measured"]

    # ---- requests ----

    def open(self, path, body, tenant=None):
        connection = UnixConnection(self.path, PATIENCE)
        headers = {"Content-Type": "application/json"}
        if tenant is not None:
            headers["X-Minerva-Tenant"] = tenant
        connection.request("POST", path, json.dumps(body), headers)
        return connection

    restored = 0  # tokens, for the latest request

    def post(self, path, body, tenant=None):
        connection = self.open(path, body, tenant)
        try:
            answer = connection.getresponse()
            text = answer.read()
            self.restored = int(answer.headers.get("x-minerva-restored", 0))
        finally:
            connection.close()
        assert answer.status == 200, text
        return json.loads(text)

    @staticmethod
    def completion(prompt, count, slot):
        return {"prompt": prompt, "n_predict": count, "temperature": 0, "n_probs": 3, "cache_prompt": True,
                "id_slot": slot, "ignore_eos": True, "return_tokens": True}

    def complete(self, prompt, count=12, slot=-1, tenant=None, **more):
        """Returns (the new tokens, [(token, its log-probability, those of the next likely ones)], tokens prefilled)."""
        answer = self.post("/completion", {**self.completion(prompt, count, slot), **more}, tenant)
        # There are none if the answer is only a part of a character.
        chances = [(p["id"], p["logprob"], [(t["id"], t["logprob"]) for t in p["top_logprobs"]])
                   for p in answer.get("completion_probabilities", [])]
        return answer["tokens"], chances, answer["timings"]["prompt_n"]

    def busy(self, slot):
        """Whether the slot is at work."""
        connection = UnixConnection(self.path, PATIENCE)
        connection.request("GET", "/slots")
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer[slot]["is_processing"]

    # ---- what the kernel says ----

    def memory(self):
        """The engine's private and shared memory in bytes, by the names of smaps_rollup."""
        lines = pathlib.Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()[1:]
        return {name[:-1]: int(amount) << 10 for name, amount, _ in (line.split() for line in lines)}

    def private_bytes(self):
        memory = self.memory()
        return memory["Private_Clean"] + memory["Private_Dirty"]

    def image_descriptor(self):
        """The path in /proc of the engine's image."""
        folder = pathlib.Path(f"/proc/{self.pid}/fd")
        found = [link for link in folder.iterdir() if os.readlink(link).startswith(str(self.images))]
        assert len(found) == 1, [os.readlink(link) for link in folder.iterdir()]
        return found[0]


# ---- prompts, to compare the answers of engines ----

def prompt(number, tokens=200, first=1000, kinds=20_000):
    """A prompt of tokens. Prompts of different numbers have no common beginning. The default tokens are ones that the
    generated models know: to lower ones they always give the same answer."""
    return [first + (number * 7919 + i * i * 31 + i) % kinds for i in range(tokens)]


def talk(engine, turns, slots=(0,), between=lambda turn: None, first=prompt, count=12):
    """Holds a conversation of `turns` turns in each slot, with answers of `count` tokens. Calls `between(turn)` after
    each turn. Returns the answers."""
    said = []
    texts = {slot: first(slot) for slot in slots}
    for turn in range(turns):
        for slot in slots:
            answer = engine.complete(texts[slot], count, slot)
            said.append(answer)
            texts[slot] = texts[slot] + answer[0] + [5 + turn, 7 + slot]
        between(turn)
    return said
