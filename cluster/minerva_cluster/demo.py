"""`make cluster-demo`: four emulated nodes on this machine with the demo models. Shows them as they change, and starts a
node again that was killed.

Environment: MINERVA_BIN_DIR (with minerva and minerva-engine), MINERVA_DEMO_MODELS (a folder), MINERVA_LISTEN (127.0.0.1:8000).
"""

from __future__ import annotations

import os
import pathlib
import signal
import sys
import threading
import time

from minerva_cluster.cli import as_table
from minerva_cluster.emulated import Emulated

NAMES = ("n1", "n2", "n3", "n4")
LOOK_S = 1.0
AWAY_S = 20.0  # how long a killed node stays away


def main() -> int:
    programs = pathlib.Path(os.environ["MINERVA_BIN_DIR"]).absolute()
    folder = pathlib.Path(os.environ["MINERVA_DEMO_MODELS"])
    models = {file.stem: file for file in sorted(folder.glob("*.gguf"))}
    print("starting four nodes (half a minute; longer on a busy machine)", flush=True)
    cluster = Emulated(
        programs / "minerva",
        programs / "minerva-engine",
        models,
        nodes=NAMES,
        arguments=("--max-models", "1", "--memory-budget", "2GiB"),
        cluster={"listen": os.environ.get("MINERVA_LISTEN", "127.0.0.1:8000")},
    )
    try:
        cluster.start()
        ended = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):  # not before: Ray has just set its own
            signal.signal(number, lambda *_: ended.set())
        introduce(cluster, list(models))
        follow(cluster, ended)
    except KeyboardInterrupt:  # before all has started
        pass
    finally:
        print("stopping", flush=True)
        cluster.stop()
    return 0


def introduce(cluster: Emulated, models: list[str]) -> None:
    model = models[-1]
    print(f"""
Four nodes serve {" and ".join(models)} at {cluster.url}, each with room for one model. In another terminal:

  curl {cluster.url}/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{{"model":"{model}","messages":[{{"role":"user","content":"Hello!"}}]}}'

Kill a node, ask again, and watch (it comes back in {AWAY_S:.0f} s):
""")
    for name in cluster.names():
        print(f"  kill -9 {cluster.machine(name)}   # {name}")
    print("\nCtrl-C ends all of it.\n", flush=True)


def follow(cluster: Emulated, ended: threading.Event) -> None:
    shown = ""
    away: dict[str, float] = {}
    while not ended.wait(LOOK_S):
        for name in cluster.names():
            if not cluster.is_alive(name):
                cluster.kill(name)
                away[name] = time.monotonic()
        for name, since in list(away.items()):
            if time.monotonic() - since > AWAY_S:
                away.pop(name)
                cluster.add(name)
                print(f"{name} is back: kill -9 {cluster.machine(name)}")
        nodes = list(cluster.nodes().values())
        table = as_table({"nodes": nodes}) + "".join(f"{name}  is gone\n" for name in away)
        if table != shown:
            shown = table
            print(time.strftime("%H:%M:%S"), table, sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
