#!/usr/bin/env python3
"""minerva-engine and its variant for devices without a model: the device is a folder, so a test says what other programs
have there. Environment: VK_DRIVER_FILES, a file in that folder.

  others     MiB that other programs have; the test writes it
  engines/   what each engine has, in MiB, in a file with its process id as its name
  silent     if it is there, the driver says that all is free, whatever is taken

A model is a file with a number: so many MiB are on the device if it is placed there, and in the host's memory otherwise.
"""
import http.server
import json
import os
import pathlib
import socket
import socketserver
import sys
import threading

DEVICE = "Fake0"
TOTAL = 3200
MIB = 1 << 20
FOLDER = pathlib.Path(os.environ.get("VK_DRIVER_FILES", "")).parent


def free():
    taken = 0
    for file in (FOLDER / "engines").iterdir():
        if os.path.exists(f"/proc/{file.name}"):
            taken += int(file.read_text() or 0)
    return TOTAL - int((FOLDER / "others").read_text()) - taken


def said_free():
    return TOTAL if (FOLDER / "silent").exists() else max(0, free())


def take(mib):
    file = FOLDER / "engines" / str(os.getpid())
    file.write_text("0")
    if mib > free():
        return False
    file.write_text(str(mib))
    return True


def after(flag):
    return sys.argv[sys.argv.index(flag) + 1] if flag in sys.argv else None


def describe(file):
    size = int(pathlib.Path(file).read_text()) * MIB
    placed = after("--device") == DEVICE
    memory = {"total_bytes": MIB if placed else size}
    if placed:
        memory["devices"] = [{"name": DEVICE, "weights": size}]
    print(json.dumps({"architecture": "fake", "parameters": 1, "trained_context": 512, "layers": 1, "can_generate": True,
                      "memory": memory}))


class Agent:
    """What the engine says on its stdin, which is a socket (engine/protocol/agent.h)."""

    def __init__(self, on_device):
        self.on_device = on_device
        self.socket = socket.socket(fileno=os.dup(0))
        self.say({"protocol": 2, "can_park": True})

    def say(self, answer):
        self.socket.sendall(json.dumps(answer).encode() + b"\n")

    def follow(self):
        for line in self.socket.makefile():
            word, *numbers = line.split()
            if word in ("park", "wake", "drop", "measure", "room", "save"):
                self.say({"id": int(numbers[0]), **getattr(self, word)()})
        os._exit(0)

    def park(self):
        take(0)
        return {"parked": True, "residue_bytes": 1, "image_bytes": 4096}

    def wake(self):
        if take(self.on_device):
            return {"parked": False}
        return {"parked": True, "refused": f"the device {DEVICE} has no room", "residue_bytes": 1, "image_bytes": 4096}

    def drop(self):
        return {"parked": True, "residue_bytes": 1}

    def measure(self):
        measured = {"footprint_bytes": MIB}
        if self.on_device:
            measured["devices"] = {DEVICE: self.on_device * MIB}
        return {"measured": measured}

    def save(self):
        return {"saved": {}, "more": False, "why_not": "it keeps nothing"}

    def room(self):
        return {"room": {DEVICE: {"free_bytes": said_free() * MIB, "total_bytes": TOTAL * MIB}} if self.on_device else {}}


class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = json.dumps({"object": "fake", "device": after("--device")}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "unix"


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def serve():
    on_device = int(pathlib.Path(after("-m")).read_text()) if after("--device") == DEVICE else 0
    if not take(on_device):
        print(f"0.00.001.000 E alloc_tensor_range: failed to allocate {DEVICE} buffer of size {on_device * MIB}",
              file=sys.stderr)
        sys.exit(1)
    server = Server(after("--host"), Answers)
    agent = Agent(on_device)
    print('cmd_child_to_router:state:{"state":"ready","payload":{}}', flush=True)
    threading.Thread(target=agent.follow, daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1] == "inspect":
        describe(sys.argv[2])
    elif sys.argv[1] == "list-devices":
        print(json.dumps({"backend": "Vulkan", "devices": [
            {"name": DEVICE, "description": "a folder", "type": "gpu", "free_bytes": said_free() * MIB,
             "total_bytes": TOTAL * MIB}]}))
    else:
        serve()
