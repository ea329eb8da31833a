"""A 64-bit Arm board in qemu: another kernel, another processor, busybox and dropbear; as `make board` prepares it."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.targets.sshd import free_port

ROOT = Path(__file__).parents[2]
BUILT = ROOT / "build" / "board"
QEMU = shutil.which("qemu-system-aarch64")
BOOT_S = 240.0
RUNNER = r"""#!/bin/sh
images= repeat=1 instances=3 test=
while [ $# -gt 0 ]; do
  case $1 in
    --images) shift; while [ $# -gt 0 ] && [ "${1#--}" = "$1" ]; do images="$images $1"; shift; done; continue ;;
    --repeat) repeat=$2; shift ;;
    --instances) instances=$2; shift ;;
    --self-test) test=1 ;;
  esac
  shift
done
ns='{"pre": 1000000, "detect": 8000000, "nms": 500000, "mask": 1500000, "post": 2000000, "total": 13000000}'
echo '{"type": "hello", "runner": "shell", "version": "0"}'
echo '{"type": "load", "ns": 1000}'
if [ -n "$test" ]; then echo '{"type": "self_test", "passed": true}'; fi
echo "{\"type\": \"first_run\", \"ns\": $ns}"
n=0
while [ $n -lt $repeat ]; do
  for image in $images; do
    echo "{\"type\": \"sample\", \"image\": \"$image\", \"repeat\": $n, \"instances\": $instances, \"ns\": $ns}"
  done
  n=$((n + 1))
  sleep 0.1
done
echo '{"type": "done"}'
"""


class EmulatedBoard:
    """Booted on entering; ``options`` are what EDGE_SEG_SSH_OPTIONS must hold to log in."""

    def __init__(self, folder: Path, built: Path = BUILT, megabytes: int = 512, files: Path | None = None) -> None:
        """``built`` is what tools/emulated_board.sh made; what lies in ``files`` lies in the board's /root."""
        self.folder = folder
        self.built, self.megabytes = built, megabytes
        self.port = free_port()
        self.name = f"ssh://root@127.0.0.1:{self.port}"
        folder.mkdir(parents=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "user"], check=True)
        keys = folder / "more" / "root" / ".ssh"
        keys.mkdir(parents=True)
        (keys / "authorized_keys").write_text((folder / "user.pub").read_text())
        (folder / "more" / "root" / "run").write_text(RUNNER)
        (folder / "more" / "root" / "run").chmod(0o755)
        if files is not None:
            shutil.copytree(files, folder / "more" / "root", dirs_exist_ok=True)
        names = "\n".join(str(path.relative_to(folder / "more")) for path in sorted((folder / "more").rglob("*")))
        more = subprocess.run(
            ["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"],
            input=names.encode(),
            cwd=folder / "more",
            capture_output=True,
            check=True,
        )
        initrd = (built / "initrd").read_bytes()
        # The kernel looks for another archive at multiples of four.
        (folder / "initrd").write_bytes(initrd + bytes(-len(initrd) % 4) + more.stdout)
        self.options = (
            f"-i {folder}/user -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
            " -o LogLevel=ERROR -o ConnectTimeout=60"
        )

    def __enter__(self) -> EmulatedBoard:
        assert QEMU
        words = [
            QEMU,
            "-M",
            "virt",
            "-cpu",
            "cortex-a53",
            "-smp",
            "2",
            "-m",
            str(self.megabytes),
            "-nographic",
            "-no-reboot",
        ]
        words += ["-kernel", str(self.built / "vmlinuz"), "-initrd", str(self.folder / "initrd"), "-append", "quiet"]
        words += [
            "-netdev",
            f"user,id=n,hostfwd=tcp:127.0.0.1:{self.port}-:22",
            "-device",
            "virtio-net-pci,netdev=n,romfile=",
        ]
        self._log = self.folder / "console"
        self.process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=self._log.open("wb"), stderr=subprocess.STDOUT
        )
        deadline = time.monotonic() + BOOT_S
        while b"edge-seg board: ready" not in self._log.read_bytes() or not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(self._log.read_text(errors="replace")[-2000:])
            time.sleep(0.2)
        return self

    def _answers(self) -> bool:
        """Whether its ssh server is there: it starts after everything else."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            return connection.recv(4) == b"SSH-"
        return False

    def kill(self) -> None:
        """As if its power was cut."""
        self.process.kill()
        self.process.wait()

    def __exit__(self, *_: object) -> None:
        self.kill()


def need_board() -> None:
    """Skips the test where there is none."""
    if QEMU is None or shutil.which("cpio") is None:
        pytest.skip("qemu-system-aarch64 or cpio isn't installed: apt install qemu-system-arm cpio")
    if not (BUILT / "initrd").is_file():
        pytest.skip("no emulated board was made: `make board` makes and tests it")


@pytest.fixture(scope="module")
def emulated_board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedBoard]:
    """A booted board, for the tests of a module."""
    need_board()
    with EmulatedBoard(tmp_path_factory.mktemp("board") / "b") as running:
        yield running
