"""
A BitTorrent tracker over HTTP, with compact answers every 5 seconds:

  python -S tracker.py ADDRESS PORT
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys


class Tracker:
    """Tells everybody about everybody else."""

    def __init__(self) -> None:
        self._peers: dict[str, set[tuple[str, int]]] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        try:
            request = (await reader.readline()).decode("latin1").split()
            while (await reader.readline()).strip():
                pass
            query = dict(pair.partition("=")[::2] for pair in request[1].partition("?")[2].split("&"))
            answer = self._answer(query, writer.get_extra_info("peername")[0])
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(answer))
            writer.write(answer)
            await writer.drain()
        finally:
            writer.close()

    def _answer(self, query: dict[str, str], host: str) -> bytes:
        peers, asking = self._peers.setdefault(query["info_hash"], set()), (host, int(query["port"]))
        if query.get("event") == "stopped":
            peers.discard(asking)
        else:
            peers.add(asking)
        others = sorted(peers - {asking})
        compact = b"".join(socket.inet_aton(host) + struct.pack(">H", port) for host, port in others)
        return b"d8:intervali5e12:min intervali2e5:peers%d:%be" % (len(compact), compact)


async def main(address: str, port: int) -> None:
    """Serve until the process is ended."""
    server = await asyncio.start_server(Tracker().serve, address, port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
