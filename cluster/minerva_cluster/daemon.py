"""The Minerva daemon of a node: found, or started and supervised.

A daemon that is started listens on a Unix socket in a folder that only its owner may enter. It ends with the process that
started it, however that ends (setpriv gives it a parent-death signal), and no engine outlives a daemon. It does not know
Ray.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pathlib
import shutil
import signal
import stat
import tempfile
from collections.abc import Callable

import aiohttp

from minerva_cluster.config import NodeConfig, seconds

log = logging.getLogger("minerva_cluster")

FIRST_PAUSE_S = 0.2  # before a daemon that died is started again
LONGEST_PAUSE_S = 30.0
LONGEST_LINE = 4096
STOP_S = 60.0  # for a daemon to drain; the calls of its node have ended before


class DaemonFailed(Exception):
    """The daemon cannot be reached or started, with what to do next."""


def admin_key(path: str) -> str:
    """Raises DaemonFailed."""
    if not path:
        return ""
    try:
        mode = pathlib.Path(path).stat().st_mode
        text = pathlib.Path(path).read_text()
    except OSError as error:
        raise DaemonFailed(f"admin_key_file: {error}") from None
    if stat.S_IMODE(mode) & 0o077:
        raise DaemonFailed(f"admin_key_file: others may read {path}: chmod 600 it")
    return text.strip()


class Daemon:
    """Use `session` once it has started. `on_restart` is called when a daemon has taken the place of one that died."""

    def __init__(self, config: NodeConfig, node: str, on_restart: Callable[[], None] = lambda: None) -> None:
        self.config = config
        self.node = node
        self.on_restart = on_restart
        self.url = ""
        self.process: asyncio.subprocess.Process | None = None
        self.restarts = 0
        self.session: aiohttp.ClientSession | None = None
        self._folder: pathlib.Path | None = None
        self._supervision: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._stopping = False
        self._last_lines: list[str] = []

    async def start(self) -> None:
        """Raises DaemonFailed."""
        if self.config.daemon:
            self.session = self._connect()
        else:
            if shutil.which(self.config.program) is None:
                raise DaemonFailed(f"there is no program {self.config.program}: set [node] program, or install it on {self.node}")
            self._folder = pathlib.Path(tempfile.mkdtemp(prefix="minerva-node-"))
            self.session = self._connect()
            await self._spawn()
        await self._wait_until_ready()
        if self.process is not None:
            self._supervision = asyncio.create_task(self._supervise())

    def _connect(self) -> aiohttp.ClientSession:
        address = f"unix:{self._folder}/socket" if self._folder else self.config.daemon.replace("{node}", self.node)
        limits = {"limit": 0, "keepalive_timeout": 60.0}
        if address.startswith("unix:"):
            connector: aiohttp.BaseConnector = aiohttp.UnixConnector(address[len("unix:") :], **limits)  # type: ignore[arg-type]
            self.url = "http://localhost"
        else:
            connector = aiohttp.TCPConnector(**limits)  # type: ignore[arg-type]
            self.url = address.rstrip("/")
        return aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )

    async def _spawn(self) -> None:
        config = self.config.config.replace("{node}", self.node)
        arguments = [argument.replace("{node}", self.node) for argument in self.config.arguments]
        command = [
            "setpriv", "--pdeathsig", "KILL", "--", self.config.program, "serve",
            "--listen", f"unix:{self._folder}/socket", *(["--config", config] if config else []), *arguments,
        ]  # fmt: skip
        try:
            self.process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                limit=1 << 20,
            )
        except OSError as error:
            raise DaemonFailed(f"setpriv, which starts the daemon, cannot be started: {error}") from None
        self._last_lines = []
        self._reading = asyncio.create_task(self._read_log(self.process, self._last_lines))

    @staticmethod
    async def _read_log(process: asyncio.subprocess.Process, last: list[str]) -> None:
        assert process.stderr is not None
        while True:
            try:
                line = await process.stderr.readline()
            except ValueError:  # longer than the limit, and dropped
                continue
            if not line:
                return
            text = line.decode(errors="replace").rstrip()[:LONGEST_LINE]
            log.info("daemon: %s", text)
            last.append(text)
            del last[:-5]

    async def _wait_until_ready(self) -> None:
        deadline = asyncio.get_running_loop().time() + seconds(self.config.start_timeout)
        reason = ""
        while asyncio.get_running_loop().time() < deadline:
            try:
                assert self.session is not None
                async with self.session.get(f"{self.url}/health", timeout=aiohttp.ClientTimeout(total=5)) as answer:
                    if answer.status == 200:
                        return
                    reason = f"it answers {answer.status}"
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                reason = str(error)
            if self.process is not None and self.process.returncode is not None:
                if self._reading is not None:
                    await self._reading  # for its last words
                raise DaemonFailed(f"the daemon ended with {self.process.returncode}: {' '.join(self._last_lines)}")
            await asyncio.sleep(0.05)
        raise DaemonFailed(f"no daemon answers at {self.config.daemon or 'its socket'}: {reason}")

    async def _supervise(self) -> None:
        pause = FIRST_PAUSE_S
        while not self._stopping:
            assert self.process is not None
            began = asyncio.get_running_loop().time()
            code = await self.process.wait()
            if self._stopping:
                return
            if asyncio.get_running_loop().time() - began > LONGEST_PAUSE_S:
                pause = FIRST_PAUSE_S
            log.warning("the daemon ended with %s; it is started again in %.1f s", code, pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)
            self.restarts += 1
            try:
                await self._spawn()
            except DaemonFailed as error:
                log.error("%s", error)
                continue
            self.on_restart()

    async def give_up(self) -> None:
        """It hangs: its calls break off, and a daemon that was started is started again."""
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
        before, self.session = self.session, self._connect()
        if before is not None:
            await before.close()

    async def stop(self) -> None:
        """A daemon that was started drains and ends; one that was found stays."""
        self._stopping = True
        if self._supervision is not None:
            self._supervision.cancel()
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self.process.wait(), STOP_S)
            except TimeoutError:
                log.error("the daemon does not end: it is killed")
                self.process.kill()
                await self.process.wait()
        if self._reading is not None:
            await self._reading
        if self.session is not None:
            await self.session.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
