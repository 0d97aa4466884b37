"""Runs the ExecStart of a systemd unit where no systemd runs, with those settings of the unit that can be made without it
(try_package.sh lists them). Prints "pid N", and then what the service tells its NOTIFY_SOCKET. Ends with the service's exit
code.

Usage: unit_command.py UNIT
"""
import ctypes
import grp
import os
import pwd
import resource
import shlex
import socket
import subprocess
import sys
import tempfile
import traceback

import seccomp

MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC = 1, 32, 4096, 16384
CLONE_NEWNS = 0x20000
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 24, 38
libc = ctypes.CDLL(None, use_errno=True)


def call(function, *arguments):
    if function(*arguments) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(arguments))


def settings_of(path):
    """The [Service] section. If a name has several lines, the last one counts."""
    settings, section = {}, ""
    with open(path) as unit:
        for line in map(str.strip, unit):
            if line.startswith("["):
                section = line
            elif section == "[Service]" and "=" in line and not line.startswith("#"):
                name, value = line.split("=", 1)
                settings[name] = value
    return settings


def system_calls(words):
    """The names in a SystemCallFilter, with groups resolved as systemd resolves them."""
    names, groups, seen = set(), [], set()
    for word in words:
        (groups.append if word.startswith("@") else names.add)(word)
    while groups:
        group = groups.pop()
        if group in seen:
            continue
        seen.add(group)
        listed = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager", group], check=True,
                                capture_output=True, text=True).stdout
        for name in (line.split("#")[0].strip() for line in listed.splitlines()[1:]):
            if name.startswith("@"):
                groups.append(name)
            elif name:
                names.add(name)
    return names


def folder(path, mode, user):
    os.makedirs(path, exist_ok=True)
    os.chmod(path, int(mode, 8))
    os.chown(path, user.pw_uid, user.pw_gid)
    return path


def limit(which, text):
    """Follows the unit as far as this process may, which may be in a container."""
    wanted, highest = sys.maxsize if text == "infinity" else int(text), resource.getrlimit(which)[1]
    reached = min(wanted, sys.maxsize if highest == resource.RLIM_INFINITY else highest)
    value = resource.RLIM_INFINITY if reached == sys.maxsize else reached
    resource.setrlimit(which, (value, value))


def see_read_only(root, writable):
    """ProtectSystem=strict and PrivateTmp, in a mount namespace of this process. `root`: an empty folder."""
    call(libc.unshare, CLONE_NEWNS)
    for path in writable:
        call(libc.mount, path.encode(), path.encode(), None, MS_BIND, None)
    call(libc.mount, b"tmpfs", b"/tmp", b"tmpfs", 0, b"mode=1777")
    # Mounts below it, such as those above, stay as they are.
    call(libc.mount, b"/", root.encode(), None, MS_BIND | MS_REC, None)
    call(libc.mount, None, root.encode(), None, MS_REMOUNT | MS_BIND | MS_RDONLY, None)
    os.chroot(root)


def become(settings, user, root, writable, allowed):
    """Makes all settings of the unit. Called in the child, before the command."""
    call(libc.prctl, PR_SET_PDEATHSIG, 9)
    see_read_only(root, writable)
    for name in ("NOFILE", "MEMLOCK", "CORE"):
        limit(getattr(resource, "RLIMIT_" + name), settings["Limit" + name])
    os.umask(int(settings["UMask"], 8))
    with open("/proc/sys/kernel/cap_last_cap") as last:
        for capability in range(int(last.read()) + 1):
            call(libc.prctl, PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.initgroups(user.pw_name, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    call(libc.prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # The switch to another user has cleared this.
    call(libc.prctl, PR_SET_PDEATHSIG, 9)
    os.chdir(settings["WorkingDirectory"])
    allowed.load()


def said(function, *arguments):
    """Reports the error: subprocess only says that something failed in the child."""
    try:
        function(*arguments)
    except Exception:
        traceback.print_exc()
        raise


def main():
    settings = settings_of(sys.argv[1])
    user = pwd.getpwnam(settings["User"])
    assert grp.getgrnam(settings["Group"]).gr_gid == user.pw_gid
    state = folder("/var/lib/" + settings["StateDirectory"], settings["StateDirectoryMode"], user)
    runtime = folder("/run/" + settings["RuntimeDirectory"], settings["RuntimeDirectoryMode"], user)

    allowed = seccomp.SyscallFilter(defaction=seccomp.ERRNO(1))
    for name in system_calls(settings["SystemCallFilter"].split()):
        try:
            allowed.add_rule(seccomp.ALLOW, name)
        except (RuntimeError, ValueError):
            pass  # this processor does not have it

    with tempfile.TemporaryDirectory(dir="/run") as place, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        os.chmod(place, 0o711)
        os.mkdir(place + "/root")
        told.bind(place + "/notify")
        os.chmod(place + "/notify", 0o777)
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "USER": user.pw_name,
                       "NOTIFY_SOCKET": place + "/notify"}
        environment.update(pair.split("=", 1) for pair in shlex.split(settings["Environment"]))
        service = subprocess.Popen(shlex.split(settings["ExecStart"]), env=environment, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL,
                                   preexec_fn=lambda: said(become, settings, user, place + "/root", [state, runtime],
                                                           allowed))
        print("pid", service.pid, flush=True)
        told.settimeout(0.2)
        while service.poll() is None:
            try:
                print(told.recv(4096).decode(), flush=True)
            except TimeoutError:
                continue
    return service.returncode


sys.exit(main())
