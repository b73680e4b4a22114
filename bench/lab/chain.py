"""
A chain over plain sockets, the yardstick for the happy path:

  python -S chain.py ADDRESS PORT FILE                           the source; sends when its stdin ends
  python -S chain.py ADDRESS PORT FILE BYTES PREVIOUS last|more  a peer; passes on what it gets

No encryption, no hashes; and one slow or dead peer stalls all those after it.
"""

from __future__ import annotations

import os
import socket
import sys
import time

CHUNK = 65536


def listening(address: str, port: int) -> socket.socket:
    """Where the next one in the chain connects to."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((address, port))
    made.listen(1)
    return made


def connected(address: str, port: int) -> socket.socket:
    """A connection to the one before, as soon as it listens."""
    while True:
        try:
            return socket.create_connection((address, port))
        except ConnectionRefusedError:
            time.sleep(0.01)


def source(address: str, port: int, path: str) -> None:
    """Give the file to the first peer, once stdin ends."""
    further, _ = listening(address, port).accept()
    print("connected", flush=True)
    sys.stdin.read()
    with open(path, "rb") as file:
        further.sendfile(file)
    further.recv(1)


def peer(address: str, port: int, path: str, size: int, previous: str, last: bool) -> None:
    """Take the file from the one before, and give it to the next one meanwhile."""
    before = connected(previous, port)
    further = None if last else listening(address, port).accept()[0]
    print("connected", flush=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    buffer = bytearray(CHUNK)
    view, got = memoryview(buffer), 0
    while got < size:
        count = before.recv_into(buffer)
        if not count:
            sys.exit(3)
        got += count
        if further is not None:
            further.sendall(view[:count])
        os.write(file, view[:count])


if __name__ == "__main__":
    _, where, port, path, *rest = sys.argv
    if rest:
        peer(where, int(port), path, int(rest[0]), rest[1], rest[2] == "last")
    else:
        source(where, int(port), path)
