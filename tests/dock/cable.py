"""A network cable between uploader and station, on loopback: cut at any instant, in the middle of anything, and mended;
or frozen, which leaves both ends with a connection that carries nothing any more.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading

_PIECE = 1 << 16
_LOOK_S = 0.05


class Cable:
    """Forwards connections to a port of loopback. `url` is what to connect to."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._over, self._cut, self._frozen = threading.Event(), threading.Event(), threading.Event()
        self.carried = 0
        """Bytes towards the station."""
        self.connections = 0
        self._threads = [threading.Thread(target=self._accept, name="cable")]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """Both ends see a reset, and new connections too, until `mend`."""
        self._cut.set()
        with self._lock:
            for sock in self._sockets:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    sock.shutdown(socket.SHUT_RDWR)

    def freeze(self) -> None:
        """Neither end hears of anything any more."""
        self._frozen.set()

    def mend(self) -> None:
        """Connections that were frozen stay so for ever; new ones are carried."""
        if self._frozen.is_set():
            self.cut()
        self._frozen.clear()
        self._cut.clear()

    def leads_to(self, port: int) -> None:
        """Somebody else answers from now on; what was connected is cut."""
        self._port = port
        self.cut()
        self.mend()

    def close(self) -> None:
        self._over.set()
        self.cut()
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def __enter__(self) -> Cable:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(OSError):
                if not select.select([self._listener], [], [], _LOOK_S)[0]:
                    continue
                near, _ = self._listener.accept()
                self.connections += 1
                if self._cut.is_set():
                    near.close()
                    continue
                thread = threading.Thread(target=self._carry, args=(near,), name="cable")
                self._threads.append(thread)
                thread.start()

    def _carry(self, near: socket.socket) -> None:
        with contextlib.suppress(OSError), near, socket.create_connection(("127.0.0.1", self._port), 5) as far:
            with self._lock:
                self._sockets |= {near, far}
            try:
                self._pump(near, far)
            finally:
                with self._lock:
                    self._sockets -= {near, far}

    def _pump(self, near: socket.socket, far: socket.socket) -> None:
        other = {near: far, far: near}
        while not (self._over.is_set() or self._cut.is_set()):
            for sock in select.select([near, far], [], [], _LOOK_S)[0]:
                if self._frozen.is_set():
                    self._over.wait(_LOOK_S)
                    continue
                data = sock.recv(_PIECE)
                if not data:
                    return
                other[sock].sendall(data)
                self.carried += len(data) if sock is near else 0
