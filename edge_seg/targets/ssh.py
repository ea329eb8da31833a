"""``ssh://[user@]host[:port]``, through the system's ssh with the user's own settings, keys and agent.

One connection is made and shared by all commands; nothing is ever asked (BatchMode). ``EDGE_SEG_SSH_OPTIONS`` holds
further options for ssh, such as ``-F other_config`` or ``-i key -J jump_host``: they stand first, and what stands first
counts.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edge_seg.errors import TargetError, UsageError
from edge_seg.process.running import GREETING_BYTES
from edge_seg.targets.copying import copy_through, find_program
from edge_seg.targets.link import broken
from edge_seg.targets.remote import BEGIN, Board

OPTIONS_VARIABLE = "EDGE_SEG_SSH_OPTIONS"
FORM = "expected ssh://[user@]host[:port], where host may be a name of ~/.ssh/config"
CONNECT_LIMIT_S = 60.0
"""ssh's own limit ends with the server's first line: a server may hang after that."""
LOST = 255
"""ssh's own exit code, when it isn't the command that failed."""

_NAME = re.compile(
    r"ssh://(?:(?P<user>[^@/\s-][^@/\s]*)@)?(?P<host>\[[0-9a-fA-F:.%\w]+\]|[^@/:\s\[\]-][^@/:\s\[\]]*)(?::(?P<port>\d{1,5}))?/?"
)
_SETTINGS = {
    "BatchMode": "yes",
    "ConnectTimeout": "10",
    # A link that is dead without saying so is given up after 15 seconds.
    "ServerAliveInterval": "5",
    "ServerAliveCountMax": "3",
}

# What ssh says on stderr when it fails, in the order in which it is looked for.
_FAULTS = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "host-key-changed",
        "its host key isn't the one that was known: another machine has this address, or somebody listens",
        "if the board was set up anew: ssh-keygen -R {host}, then {hand} once to accept the new key",
    ),
    (
        "Host key verification failed",
        "host-key-unknown",
        "its host key isn't known yet",
        "log in once by hand and compare the key: {hand}",
    ),
    (
        "Permission denied (",
        "key-refused",
        "it accepts none of your keys",
        "ssh-copy-id puts your key there; an agent (ssh-add) or EDGE_SEG_SSH_OPTIONS='-i KEY' offers another one",
    ),
    ("Too many authentication failures", "key-refused", "it was offered too many keys", "name the right one with -i"),
    (
        "Could not resolve hostname",
        "host-unknown",
        "there is no machine of that name",
        "check the name, or use its address",
    ),
    ("Connection refused", "unreachable", "no ssh server answers at that port", "start sshd there, or check the port"),
    ("timed out", "unreachable", "it doesn't answer", "see whether it is switched on and in the same network"),
    ("No route to host", "unreachable", "it can't be reached", "see whether it is switched on and in the same network"),
    ("Network is unreachable", "unreachable", "its network can't be reached", "see to this machine's own network"),
    ("Bad configuration option", "ssh-settings", "ssh doesn't understand an option", "see to ~/.ssh/config"),
    ("Can't open user config file", "ssh-settings", "ssh's settings can't be read", "see to EDGE_SEG_SSH_OPTIONS"),
    ("Bad owner or permissions", "ssh-settings", "ssh doesn't trust its settings file", "chmod 600 ~/.ssh/config"),
)


def open_(rest: str, runner: tuple[str, ...], folder: str | None) -> Board:
    """A board behind ssh; nothing is connected yet."""
    return Board(Ssh(f"ssh://{rest}"), runner, folder)


class Ssh:
    """The link; see the module."""

    folder = "edge-seg"

    def __init__(self, name: str) -> None:
        parts = _NAME.fullmatch(name)
        if parts is None:
            raise UsageError(f"target {name!r}: not an address for ssh", remedy=FORM, code="unknown-target")
        self.name = name
        self._host = parts["host"].strip("[]")
        self._destination = f"{parts['user']}@{self._host}" if parts["user"] else self._host
        self._port = parts["port"]
        self._private: Path | None = None

    def command(self, line: str) -> list[str]:
        self._connect()
        return [*self._ssh(), self._destination, line]

    def send(self, source: Path, to: str) -> None:
        line = shlex.join(["sh", "-c", 'LC_ALL=C exec tar -xf - -C "$1"', "sh", to])
        if source.is_file():
            line = shlex.join(["sh", "-c", 'LC_ALL=C exec cat > "$1"', "sh", to])
        copy_through(self.command(line), self, stdin=source)

    def fetch(self, path: str, destination: Path) -> None:
        line = shlex.join(["sh", "-c", f'echo "{BEGIN}"; exec cat -- "$1"', "sh", path])
        with tempfile.TemporaryFile(dir=destination.parent) as file:
            copy_through(self.command(line), self, stdout=file)
            file.seek(0)
            while block := file.readline(GREETING_BYTES):  # what a login printed before
                if block.rstrip(b"\r\n").endswith(BEGIN.encode()):
                    break
            with destination.open("wb") as whole:
                shutil.copyfileobj(file, whole)

    def fault(self, code: int, said: Sequence[str]) -> TargetError | None:
        words = "\n".join(said)
        if code != LOST:
            return None
        port = f"-p {self._port} " if self._port else ""
        places = {"hand": f"ssh {port}{self._destination}", "host": self._host}
        for sign, error_code, what, remedy in _FAULTS:
            if sign in words:
                return TargetError(f"{self.name}: {what}", remedy=remedy.format(**places), code=error_code)
        last = next((line.strip() for line in reversed(said) if line.strip()), "ssh says no more than that")
        return broken(self.name, last)

    def close(self) -> None:
        if self._private is not None:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(
                    [*self._ssh(), "-O", "exit", self._destination], capture_output=True, timeout=10, check=False
                )
            shutil.rmtree(self._private, ignore_errors=True)
            self._private = None

    def _ssh(self) -> list[str]:
        try:
            words = [find_program("ssh", "openssh-client"), *shlex.split(os.environ.get(OPTIONS_VARIABLE, ""))]
        except ValueError as problem:
            raise UsageError(f"{OPTIONS_VARIABLE}: {problem}", remedy="close the quotes") from None
        for name, value in _SETTINGS.items():
            words += ["-o", f"{name}={value}"]
        words += ["-T", "-S", str(self._private / "link")] if self._private else ["-T"]
        return [*words, *(["-p", self._port] if self._port else [])]

    def _connect(self) -> None:
        """Makes the connection that all commands share. Raises TargetError when there is none to be had."""
        if self._private is not None:
            return
        self._ssh()  # raises what makes any connection impossible
        # A socket's name has at most 108 bytes, which a temporary folder's may exceed.
        self._private = Path(tempfile.mkdtemp(prefix="edge-seg-", dir="/tmp"))
        # It goes to the background once logged in; should this process be killed, it ends when nobody uses it.
        words = [*self._ssh(), "-o", "ControlMaster=yes", "-o", "ControlPersist=60", "-f", "-N", self._destination]
        with (self._private / "words").open("w+b") as said:
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
            )
            try:
                code = process.wait(CONNECT_LIMIT_S)
            except subprocess.TimeoutExpired:
                code = LOST
                said.write(b"timed out\n")
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            said.seek(0)
            lines = said.read().decode(errors="replace").splitlines()
        if code != 0:
            self.close()
            problem = self.fault(LOST, lines)
            assert problem is not None
            raise problem
