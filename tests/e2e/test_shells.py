"""Completion in real shells, and the man page."""
import os
import pty
import select
import shutil
import signal
import subprocess

import pytest

import harness
from harness import wait_until


def program_folder(m):
    """A folder with `minerva` in it, for the shells' PATH."""
    folder = m.folder / "bin"
    folder.mkdir(exist_ok=True)
    if not (folder / "minerva").exists():
        os.symlink(harness.MINERVA, folder / "minerva")
    return folder


def environment(m):
    return {**m.env, "PATH": f"{program_folder(m)}:{os.environ['PATH']}", "MINERVA_URL": m.url, "TERM": "dumb",
            "LC_ALL": "C.UTF-8", "HOME": str(m.folder), "PS1": "$ "}


class Shell:
    """An interactive shell on a terminal."""

    def __init__(self, m, *argv):
        self.seen = ""
        child, self.terminal = pty.fork()
        if child == 0:
            try:
                os.chdir(m.folder)
                os.execvpe(argv[0], argv, environment(m))
            finally:
                os._exit(127)
        self.child = child

    def read(self):
        if select.select([self.terminal], [], [], 0)[0]:
            self.seen += os.read(self.terminal, 65536).decode(errors="replace")
        return self.seen

    def type(self, text, expect):
        """Types `text` and waits until `expect` appears after it."""
        start = len(self.read())
        os.write(self.terminal, text.encode())
        wait_until(lambda: expect in self.read()[start:], f"{expect!r} appears after {text!r}; seen: {self.seen[start:]!r}")

    def end(self):
        os.kill(self.child, signal.SIGKILL)
        os.waitpid(self.child, 0)
        os.close(self.terminal)


def complete_at_a_prompt(shell):
    """Types a few lines for the shell to complete. ^U takes each one back."""
    shell.type("minerva unp\t", "unpin")
    shell.type("\x15minerva load zeb\t", "zebra")
    shell.type("\x15minerva serve --policy lf\t", "lfu")
    shell.type("\x15minerva load --dry\t", "--dry-run")
    shell.type("\x15minerva serve --config seld\t", "seldom.toml")


@pytest.fixture
def zoo(serve, models):
    """A server whose model and files have names that occur nowhere else."""
    m = serve(models={"zebra": models["a"], "other:one": models["b"]})
    (m.folder / "seldom.toml").write_text("")
    return m


def test_bash(zoo):
    shell = Shell(zoo, "bash", "--norc", "--noprofile", "-i")
    shell.type("source <(minerva completion bash); echo rea''dy\n", "ready")
    complete_at_a_prompt(shell)
    # Readline takes what follows a colon for a word of its own.
    shell.type("\x15minerva load other:o\t", "other:one")
    shell.end()


def test_bash_offers_all_that_fit(zoo):
    script = """source <(minerva completion bash)
        COMP_LINE="$1"; COMP_POINT=${#COMP_LINE}; _minerva; printf '%s\\n' "${COMPREPLY[@]}" """

    def offered(line):
        done = subprocess.run(["bash", "-c", script, "bash", line], env=environment(zoo), capture_output=True, text=True)
        return done.stdout.split()

    assert offered("minerva load ") == ["other:one", "zebra"]
    assert offered("minerva un") == ["unload", "unpin"]
    assert offered("minerva load nothing") == []
    assert offered("minerva load --url http://127.0.0.1:1 ") == []  # there is no such server


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh")
def test_zsh(zoo):
    shell = Shell(zoo, "zsh", "-f", "-i")
    shell.type("autoload -U compinit && compinit -u -D && source <(minerva completion zsh); echo rea''dy\n", "ready")
    complete_at_a_prompt(shell)
    shell.end()


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish")
def test_fish(zoo):
    def offered(line):
        script = "minerva completion fish | source; complete -C $argv[1]"
        done = subprocess.run(["fish", "--no-config", "-c", script, line], env=environment(zoo), cwd=zoo.folder,
                              capture_output=True, text=True)
        assert done.returncode == 0, done
        return [found.split("\t")[0] for found in done.stdout.splitlines()]

    assert offered("minerva unp") == ["unpin"]
    assert sorted(offered("minerva load ")) == ["other:one", "zebra"]
    assert offered("minerva serve --policy lf") == ["lfu"]
    assert offered("minerva serve --config seld") == ["seldom.toml"]


def test_the_man_page_is_well_formed(zoo):
    page = subprocess.run([harness.MINERVA, "manual"], capture_output=True, text=True, check=True).stdout
    assert page.startswith(".TH MINERVA 1")
    file = zoo.folder / "minerva.1"
    file.write_text(page)
    if shutil.which("mandoc"):
        # Warnings and worse count; remarks on style do not.
        lint = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", file], capture_output=True, text=True)
        # The page has no date, since each build makes it.
        assert [line for line in lint.stdout.splitlines() if "missing date" not in line] == []
        shown = subprocess.run(["mandoc", "-T", "utf8", file], capture_output=True, text=True, check=True).stdout
    else:
        shown = subprocess.run(["man", "-l", file], env={**os.environ, "MANPAGER": "cat", "MANWIDTH": "100"},
                               capture_output=True, text=True, check=True).stdout
    text = ""
    for c in shown:  # bold is: a letter, a backspace, the letter again
        text = text[:-1] if c == "\b" else text + c
    for words in ("minerva serve", "--max-models", "limits.max_body", "EXIT STATUS", "MINERVA_URL"):
        assert words in text, words
