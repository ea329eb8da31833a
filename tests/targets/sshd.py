"""A real sshd on a port of 127.0.0.1 of its own, with keys made for it: a "board" that is this machine.

A login has a home folder of its own, and, where asked for, finds busybox alone on its PATH.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAM = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
BUSYBOX = shutil.which("busybox")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Sshd:
    """Started on entering; ``options`` are what EDGE_SEG_SSH_OPTIONS must hold to log in."""

    def __init__(self, folder: Path, busybox: bool = False) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.port = free_port()
        self.home.mkdir(parents=True)
        self.name = f"ssh://127.0.0.1:{self.port}"
        self._key("host")
        self._key("user")
        self.path = "/usr/local/bin:/usr/bin:/bin"
        if busybox:
            assert BUSYBOX
            (folder / "bin").mkdir()
            subprocess.run([BUSYBOX, "--install", "-s", folder / "bin"], check=True)
            self.path = str(folder / "bin")
        login = folder / "login"
        login.write_text(
            f"#!/bin/sh\nPATH='{self.path}' HOME='{self.home}'\nexport PATH HOME\ncd\n"
            'exec sh -c "$SSH_ORIGINAL_COMMAND"\n'
        )
        login.chmod(0o755)
        (folder / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\n"
            f"AuthorizedKeysFile {folder}/user.pub\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            f"KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nForceCommand {login}\n"
            "LogLevel VERBOSE\n"
        )
        self.trust(self.port)
        self.config = folder / "a config"
        self.config.write_text(
            f'IdentityFile "{folder}/user"\nIdentitiesOnly yes\nUserKnownHostsFile "{folder}/known_hosts"\n'
            f"Host board\nHostName 127.0.0.1\nPort {self.port}\n"
        )
        self.options = f"-F '{self.config}'"

    def _key(self, name: str) -> None:
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(self.folder / name)]
        subprocess.run(words, check=True)

    def trust(self, port: int) -> None:
        """Makes its key known at that port too."""
        with (self.folder / "known_hosts").open("a") as file:
            file.write(f"[127.0.0.1]:{port} {(self.folder / 'host.pub').read_text()}")

    def __enter__(self) -> Sshd:
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where it locks up its unprivileged half
        self._process = subprocess.Popen(
            [str(PROGRAM), "-D", "-e", "-f", str(self.folder / "sshd_config")],
            stderr=(self.folder / "log").open("w"),
        )
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.05)
        raise AssertionError((self.folder / "log").read_text())

    def sessions(self) -> list[int]:
        """Its processes that serve a login now."""
        main = self._process.pid
        return [int(pid) for pid in Path(f"/proc/{main}/task/{main}/children").read_text().split()]

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


def need_sshd() -> None:
    """Skips the test where there is no sshd."""
    if PROGRAM is None:
        pytest.skip("sshd isn't installed: apt install openssh-server")


class CuttingProxy:
    """Passes one port on to another, and cuts every connection once ``limit`` bytes have gone to the server."""

    def __init__(self, port: int, limit: int) -> None:
        self.limit = limit
        self.passed = 0
        self._to = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._open: list[socket.socket] = [self._server]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                return
            self._open += [client, server]
            for ends in ((client, server), (server, client)):
                threading.Thread(target=self._pass, args=(*ends, ends[0] is client), daemon=True).start()

    def _pass(self, source: socket.socket, to: socket.socket, counted: bool) -> None:
        try:
            while block := source.recv(4096):
                self.passed += len(block) * counted
                if self.passed > self.limit:
                    break
                to.sendall(block)
        except OSError:
            pass
        for end in (source, to):
            end.close()

    def __enter__(self) -> CuttingProxy:
        return self

    def __exit__(self, *_: object) -> None:
        for end in self._open:
            end.close()


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A board behind ssh, with nothing but busybox on it where that is installed."""
    need_sshd()
    with Sshd(tmp_path_factory.mktemp("sshd") / "s", busybox=BUSYBOX is not None) as running:
        yield running


@pytest.fixture
def board(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> Sshd:
    """The same, with the settings that let this process log in, and an empty home folder."""
    monkeypatch.setenv("EDGE_SEG_SSH_OPTIONS", sshd.options)
    shutil.rmtree(sshd.home)
    sshd.home.mkdir()
    return sshd
