#!/usr/bin/env python3
"""What the page costs: the browser's longest task while it scrolls through 200 models and 10,000 decisions, and the daemon's
processor time while the page is open and nothing happens.

Needs Debian's Chromium (`make setup-tests`). usage: bench/page.py [--idle SECONDS] [--daemon DAEMON]
                                                                           exits 1 when a figure is above its limit
"""
import argparse
import functools
import json
import os
import pathlib
import re
import subprocess
import sys
import time

from subjects import DEMO, ROOT, Stage, require_demo_models

MOST_TASK_MS = 50
MOST_OF_A_CORE = 0.005
MODELS, DECISIONS = 200, 10_000
STEPS, STEP_PX = 150, 400
TASK = "ThreadControllerImpl::RunTask"


def in_browsers_python():
    """Goes on in the Python that has what drives a browser."""
    setup = ROOT / "tests/e2e/browser_setup.sh"
    python = subprocess.run([setup], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1] + "/bin/python"
    if os.path.realpath(sys.prefix) != os.path.realpath(pathlib.Path(python).parent.parent):
        os.execv(python, [python, *sys.argv])


def answers(server):
    """What the page gets in the place of the server's own answers."""
    names = [f"model-{number:03}" for number in range(MODELS)]
    entry = server.call("GET", f"/v1/models/{next(iter(DEMO))}").json
    decisions = [{"id": number, "time": "2026-11-29T14:00:00.000Z", "kind": ("load", "make_room", "park")[number % 3],
                  "model": names[number % MODELS], "reason": "It was asked for.", "because_of": number - 1 or None}
                 for number in range(DECISIONS, 0, -1)]
    return {"v1/models": {"object": "list", "data": [{**entry, "id": name} for name in names], "problems": []},
            "v1/decisions": {"object": "list", "data": decisions}}


def longest_task(trace):
    """(wall ms, processor ms) of the longest task of the page's main thread."""
    events = json.loads(trace)["traceEvents"]
    mains = {(event["pid"], event["tid"]) for event in events
             if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"}
    tasks = [event for event in events if event["name"] == TASK and (event["pid"], event["tid"]) in mains and "dur" in event]
    if not tasks:
        sys.exit("bench: the browser's trace has no tasks")
    return max((event["dur"] / 1000, event.get("tdur", 0) / 1000) for event in tasks)


def fulfill(body, route, _):
    route.fulfill(status=200, content_type="application/json", body=body)


def scroll(browser, server, path, table):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    for address, answer in answers(server).items():
        page.route(re.compile(rf"/{address}(\?.*)?$"), functools.partial(fulfill, json.dumps(answer)))
    page.goto(f"http://127.0.0.1:{server.port}/#/{path}")
    region = page.get_by_role("region", name=table)
    region.locator("[aria-rowindex='2']").wait_for()
    box = region.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 100)
    browser.start_tracing(page=page, categories=["toplevel", "disabled-by-default-devtools.timeline"])
    for step in range(STEPS):
        page.mouse.wheel(0, STEP_PX if step < STEPS * 2 // 3 else -STEP_PX)
        page.evaluate("new Promise(requestAnimationFrame)")
    result = longest_task(browser.stop_tracing())
    page.close()
    return result


def processor_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle(browser, server, seconds):
    """(share of a core, requests, bytes of the page as they came) with the page open and nothing going on."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    network = page.context.new_cdp_session(page)
    sizes = []  # of the answers, head and body as they came
    network.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    network.send("Network.enable")
    page.goto(f"http://127.0.0.1:{server.port}/")
    page.get_by_role("img", name="Of a budget of").wait_for()
    opened, before = sum(sizes), len(sizes)
    began, used = time.monotonic(), processor_seconds(server.process.pid)
    page.wait_for_timeout(seconds * 1000)
    share = (processor_seconds(server.process.pid) - used) / (time.monotonic() - began)
    page.close()
    return share, len(sizes) - before, opened


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--daemon", type=pathlib.Path, default=ROOT / "build/bin/minerva")
    parser.add_argument("--idle", type=int, default=300, help="seconds with the page open; 0: not measured")
    options = parser.parse_args()
    require_demo_models()
    in_browsers_python()
    from playwright.sync_api import sync_playwright
    good = True
    with Stage(None) as stage, sync_playwright() as playwright:
        server = stage.minerva(stage.models_dir("page", DEMO), "", program=options.daemon)
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for path, table in (("models", "Models"), ("timeline", "Switches")):
            wall, processor = scroll(browser, server, path, table)
            good = good and wall <= MOST_TASK_MS
            print(f"longest task while {table} is scrolled: {wall:.1f} ms, {processor:.1f} ms of processor time"
                  f"{'' if wall <= MOST_TASK_MS else '   TOO LONG'}")
        if options.idle:
            share, requests, opened = idle(browser, server, options.idle)
            good = good and share <= MOST_OF_A_CORE
            print(f"page open for {options.idle} s: {share:.2%} of a core, {requests} requests, "
                  f"{opened / 1000:.1f} kB to open it{'' if share <= MOST_OF_A_CORE else '   TOO MUCH'}")
        browser.close()
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
