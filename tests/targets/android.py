"""The device's end of adb's protocol, over TCP, for the real adb: its shell is this machine's, its files too.

Neither a phone nor an emulator is at hand. What it can't show is Android itself: its shell, its tools, its rights.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import threading
from pathlib import Path

CONNECT, OPEN, OKAY, WRITE, CLOSE = b"CNXN", b"OPEN", b"OKAY", b"WRTE", b"CLSE"
STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)
LONGEST = 1 << 16


class Device:
    """Listens on a port of its own; ``full_after``: bytes after which its disk is full."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.full_after: int | None = None
        self._server = socket.create_server(("127.0.0.1", 0))
        self.serial = f"127.0.0.1:{self._server.getsockname()[1]}"
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=_Connection(connection, self).serve, daemon=True).start()

    def unplug(self) -> None:
        """Breaks all connections."""
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._server.close()
        self.unplug()


class _Connection:
    def __init__(self, link: socket.socket, device: Device) -> None:
        self.device = device
        self._link = link
        self._sending = threading.Lock()
        self._streams: dict[int, _Stream] = {}

    def send(self, command: bytes, first: int, second: int, data: bytes = b"") -> None:
        (word,) = struct.unpack("<I", command)
        header = struct.pack("<6I", word, first, second, len(data), sum(data) & 0xFFFFFFFF, word ^ 0xFFFFFFFF)
        with self._sending, contextlib.suppress(OSError):
            self._link.sendall(header + data)

    def serve(self) -> None:
        file = self._link.makefile("rb")
        with contextlib.suppress(OSError, struct.error):
            while header := file.read(24):
                word, first, second, length, _, _ = struct.unpack("<6I", header)
                self._handle(struct.pack("<I", word), first, second, file.read(length))
        for stream in list(self._streams.values()):
            stream.end_of_input()

    def _handle(self, command: bytes, first: int, second: int, data: bytes) -> None:
        if command == CONNECT:
            self.send(CONNECT, 0x01000001, LONGEST, b"device::ro.product.model=test;features=shell_v2,cmd")
        elif command == OPEN:
            stream = _Stream(self, here=first + 1000, there=first)
            self._streams[stream.here] = stream
            self.send(OKAY, stream.here, first)
            service = data.rstrip(b"\0")
            work = _sync if service == b"sync:" else _shell
            threading.Thread(target=work, args=(stream, service), daemon=True).start()
        elif command == WRITE and second in self._streams:
            self._streams[second].receive(data)
            self.send(OKAY, second, first)
        elif command == OKAY and second in self._streams:
            self._streams[second].acknowledged.release()
        elif command == CLOSE and second in self._streams:
            self._streams.pop(second).end_of_input()


class _Stream:
    """One service's two directions; every write waits for its acknowledgement."""

    def __init__(self, connection: _Connection, here: int, there: int) -> None:
        self.here, self.there = here, there
        self.device = connection.device
        self.acknowledged = threading.Semaphore(0)
        self._connection = connection
        self._writing = threading.Lock()
        reading, self._writer = os.pipe()
        self.input = os.fdopen(reading, "rb")

    def receive(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self._writer, data)

    def end_of_input(self) -> None:
        self.acknowledged.release()
        with contextlib.suppress(OSError):
            os.close(self._writer)

    def write(self, data: bytes) -> None:
        with self._writing:
            for at in range(0, len(data), LONGEST // 2):
                self._connection.send(WRITE, self.here, self.there, data[at : at + LONGEST // 2])
                self.acknowledged.acquire()

    def close(self) -> None:
        self._connection.send(CLOSE, self.here, self.there)


def _shell(stream: _Stream, service: bytes) -> None:
    """``shell,v2,…:COMMAND``: packets of a kind, a length, and data."""
    command = service.partition(b":")[2]
    process = subprocess.Popen(
        ["sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        cwd=stream.device.home, env={"PATH": os.environ["PATH"], "HOME": str(stream.device.home)},
    )  # fmt: skip

    def feed() -> None:
        assert process.stdin is not None
        with contextlib.suppress(OSError, struct.error):
            while header := stream.input.read(5):
                kind, length = struct.unpack("<BI", header)
                data = stream.input.read(length)
                if kind == CLOSE_STDIN:
                    break
                if kind == STDIN:
                    process.stdin.write(data)
                    process.stdin.flush()
        with contextlib.suppress(OSError):
            process.stdin.close()

    def tell(kind: int) -> None:
        pipe = process.stdout if kind == STDOUT else process.stderr
        assert pipe is not None
        while data := os.read(pipe.fileno(), 4096):
            stream.write(struct.pack("<BI", kind, len(data)) + data)

    threading.Thread(target=feed, daemon=True).start()
    tellers = [threading.Thread(target=tell, args=(kind,), daemon=True) for kind in (STDOUT, STDERR)]
    for teller in tellers:
        teller.start()
    for teller in tellers:
        teller.join()
    code = process.wait()
    stream.write(struct.pack("<BIB", EXIT, 1, code if code >= 0 else 128 - code))
    stream.close()


def _sync(stream: _Stream, service: bytes) -> None:
    """Files: requests of four letters and a length."""
    with contextlib.suppress(OSError, struct.error):
        while header := stream.input.read(8):
            word, length = header[:4], struct.unpack("<I", header[4:])[0]
            if word == b"QUIT":
                break
            path = stream.input.read(length).decode()
            if word == b"STAT":
                try:
                    found = os.lstat(path)
                    answer = (found.st_mode, found.st_size & 0xFFFFFFFF, int(found.st_mtime))
                except OSError:
                    answer = (0, 0, 0)
                stream.write(b"STAT" + struct.pack("<3I", *answer))
            elif word == b"RECV":
                content = Path(path).read_bytes()
                for at in range(0, len(content), 60_000):
                    block = content[at : at + 60_000]
                    stream.write(b"DATA" + struct.pack("<I", len(block)) + block)
                stream.write(b"DONE" + struct.pack("<I", 0))
            elif word == b"SEND":
                _receive_file(stream, Path(path.rpartition(",")[0]))
    stream.close()


def _receive_file(stream: _Stream, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    full = stream.device.full_after
    failed = False
    with file.open("wb") as out:
        while True:
            word, length = struct.unpack("<4sI", stream.input.read(8))
            if word == b"DONE":
                break
            data = stream.input.read(length)
            if full is not None and out.tell() + length > full:
                failed = True
            else:
                out.write(data)
    words = b"couldn't write: No space left on device"
    stream.write(b"FAIL" + struct.pack("<I", len(words)) + words if failed else b"OKAY" + struct.pack("<I", 0))
