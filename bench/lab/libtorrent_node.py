"""
A peer with libtorrent, for the Python of the system, which has its bindings:

  python3 libtorrent_node.py TORRENT FOLDER DONE default|tuned [ADDRESS...]

The session runs before the race; the torrent is added when stdin ends, and the addresses are told.  Without
addresses it is the source: it has the file, and its torrent is added at once.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import libtorrent

PORT = 6881
COMMON = {
    "listen_interfaces": f"0.0.0.0:{PORT}",
    "enable_dht": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "alert_mask": libtorrent.alert.category_t.status_notification,
    "allow_multiple_connections_per_ip": True,
}
#: Our tuning for a local network, not an expert's.
TUNED = {
    "enable_outgoing_utp": False,
    "enable_incoming_utp": False,
    "unchoke_slots_limit": 8,
    "connections_limit": 1000,
    "connection_speed": 500,
    "mixed_mode_algorithm": 0,
    "smooth_connects": False,
    "min_reconnect_time": 1,
    "torrent_connect_boost": 100,
    "choking_algorithm": 0,
    "seed_choking_algorithm": 1,
    "max_out_request_queue": 200,
    "send_buffer_watermark": 1 << 20,
    "send_buffer_low_watermark": 64 << 10,
    "strict_end_game_mode": True,
    "piece_timeout": 3,
    "request_timeout": 3,
    "aio_threads": 2,
    "hashing_threads": 1,
    "out_enc_policy": 2,
    "in_enc_policy": 2,
}


def added(session: Any, torrent: Any, folder: str, source: bool) -> Any:
    """The torrent, in the session."""
    wishes = libtorrent.add_torrent_params()
    wishes.ti, wishes.save_path = torrent, folder
    wishes.flags = libtorrent.torrent_flags.update_subscribe
    if source:
        wishes.flags |= libtorrent.torrent_flags.seed_mode
    return session.add_torrent(wishes)


def main(torrent: str, folder: str, done: str, mode: str, addresses: list[str]) -> None:
    """Take and give, until the process is ended."""
    session = libtorrent.session({**COMMON, **(TUNED if mode == "tuned" else {})})
    described = libtorrent.torrent_info(torrent)
    if addresses:
        sys.stdin.read()
    handle = added(session, described, folder, not addresses)
    for address in addresses:
        handle.connect_peer((address, PORT))
    finished = not addresses
    while True:
        # Alerts cost nothing to wait for; the status is asked as well, in case one is missed.
        session.wait_for_alert(5000 if finished else 250)
        told = any(isinstance(alert, libtorrent.torrent_finished_alert) for alert in session.pop_alerts())
        if not finished and (told or handle.status().is_seeding):
            with open(f"{done}.new", "w") as file:
                file.write(repr(time.time()))
            os.rename(f"{done}.new", done)
            finished = True


if __name__ == "__main__":
    _, *words = sys.argv
    main(words[0], words[1], words[2], words[3], words[4:])
