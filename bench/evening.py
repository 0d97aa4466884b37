#!/usr/bin/env python3
"""An evening with one model: a long conversation by `minerva chat`, in which the server and its engines are killed again
and again; and the same with llama.cpp's own server and a client that sends the whole conversation. How long the first
token of the next answer takes, from the start of the new server.

usage: bench/evening.py [--daemon DAEMON] [--turns N] [--every N] [--pause S]
  --every: a kill after each N turns; --pause: seconds between an answer and the kill
"""
import argparse
import http.client
import json
import os
import pathlib
import select
import signal
import subprocess
import time

from subjects import ANSWER_TIMEOUT, BIN, DEMO, ROOT, Failed, Server, Stage, clean_environment, free_port, require_demo_models

ANSWER = 48  # tokens
CONTEXT = 8192
QUESTIONS = ["Tell me about a city that you would like to see.", "Which animals live there?", "What do people eat there?",
             "How would I get there by train?", "Tell me a story that happens there.", "Who is the hero of the story?",
             "Which book is like this story?", "What is the weather like in spring?", "Which music fits to this?",
             "What should I pack for a week there?"]


def question(turn):
    return f"Question {turn}. {QUESTIONS[turn % len(QUESTIONS)]}"


def kill(server):
    """Kills the server and its engines."""
    pid = server.process.pid
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for each in (pid, *map(int, children)):
        try:
            os.kill(each, signal.SIGKILL)
        except ProcessLookupError:
            pass  # an engine ends when its daemon does
    server.process.wait()


class Talk:
    """A conversation with `server` on `stage`, which start() starts."""

    def restart(self):
        kill(self.server)
        self.stage.servers.remove(self.server)
        began = time.monotonic()
        self.start()
        return began


class Chat(Talk):
    """`minerva chat`, by pipes."""

    def __init__(self, options, stage, model, models_dir):
        self.options, self.stage, self.models_dir = options, stage, models_dir
        self.config = f'[model."{model}"]\ncontext = {CONTEXT}\nparallel = 1\nargs = ["--chat-template", "chatml"]\n'
        self.port, self.state, self.server = free_port(), None, None
        self.start()
        self.client = subprocess.Popen(
            [options.daemon, "chat", model, "--max-tokens", str(ANSWER), "--temperature", "0"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, env=clean_environment() | {"MINERVA_URL": f"http://127.0.0.1:{self.port}"})

    def start(self):
        self.server = self.stage.minerva(self.models_dir, self.config, program=self.options.daemon, state=self.state,
                                         port=self.port)
        self.state = self.server.state

    def say(self, text):
        """The time of the first piece of the answer."""
        self.drain(lambda: False)  # the end of the line before
        ended = self.ended()
        self.client.stdin.write(text.encode() + b"\n")
        self.client.stdin.flush()
        if not select.select([self.client.stdout], [], [], ANSWER_TIMEOUT)[0]:
            raise Failed("`minerva chat` says nothing")
        first = time.monotonic()
        self.drain(lambda: self.ended() == ended)
        return first

    def ended(self):
        """How many requests have ended since the server started."""
        return len(self.server.ask("GET", "/v1/requests").json["recent"])

    def drain(self, goes_on):
        output = self.client.stdout.fileno()
        while goes_on() or select.select([output], [], [], 0.05)[0]:
            if select.select([output], [], [], 0)[0] and not os.read(output, 1 << 16):
                raise Failed("`minerva chat` has ended")

    def tokens(self):
        return self.server.ask("GET", "/v1/requests").json["recent"][0]["prompt_tokens"]

    def end(self):
        self.client.stdin.close()
        self.client.wait()
        self.client.stdout.close()
        self.stage.stop(self.server)


class Stock(Talk):
    """llama-server, and a client that keeps the conversation."""

    def __init__(self, _, stage, model, models_dir):
        self.stage, self.file = stage, models_dir / f"{model}.gguf"
        self.messages, self.server = [], None
        self.start()

    def start(self):
        port = free_port()
        self.server = Server("llama-server", [BIN / "llama-server", "--host", "127.0.0.1", "--port", port, "-m", self.file,
                                              "-c", CONTEXT, "-np", "1", "--offline", "--chat-template", "chatml"], port)
        self.stage.servers.append(self.server)
        self.server.process.stdout.close()
        self.server.process.stdout = open(os.devnull, "rb")
        self.server.wait_healthy()

    def say(self, text):
        self.messages.append({"role": "user", "content": text})
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=ANSWER_TIMEOUT)
        connection.request("POST", "/v1/chat/completions", json.dumps(
            {"messages": self.messages, "max_tokens": ANSWER, "temperature": 0, "stream": True}),
            {"Content-Type": "application/json"})
        first, answer = None, ""
        for line in connection.getresponse():
            if line.startswith(b"data: {"):
                choices = json.loads(line[6:])["choices"]
                piece = choices[0]["delta"].get("content") or "" if choices else ""
                if piece and first is None:
                    first = time.monotonic()
                answer += piece
        connection.close()
        if first is None:
            raise Failed("llama-server says nothing")
        self.messages.append({"role": "assistant", "content": answer})
        return first

    def end(self):
        self.stage.stop(self.server)


def evening(options, stage, subject, model, models_dir):
    """Returns for each kill: (the turn, seconds until the first token of its answer)."""
    talk = subject(options, stage, model, models_dir)
    seconds = []
    for turn in range(1, options.turns + 1):
        talk.say(question(turn))
        if turn % options.every == 0:
            time.sleep(options.pause)
            began = talk.restart()
            seconds.append((turn, talk.say(f"Question {turn}, part two. Tell me more about it.") - began))
    if isinstance(talk, Chat):
        print(f"   {talk.tokens()} tokens in the end", flush=True)
    talk.end()
    return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--daemon", type=pathlib.Path, default=ROOT / "build/bin/minerva")
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--every", type=int, default=10)
    parser.add_argument("--pause", type=float, default=4)
    options = parser.parse_args()
    require_demo_models()
    with Stage(None) as stage:
        for model, file in DEMO.items():
            print(f"-- {model}", flush=True)
            models_dir = stage.models_dir(model, {model: file})
            ours, theirs = (evening(options, stage, subject, model, models_dir) for subject in (Chat, Stock))
            for (turn, mine), (_, stock) in zip(ours, theirs, strict=True):
                print(f"   killed after turn {turn:2}: first token after {mine:.2f} s, llama-server {stock:.2f} s: {stock / mine:.1f} x",
                      flush=True)


if __name__ == "__main__":
    main()
