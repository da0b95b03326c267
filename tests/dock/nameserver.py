"""A name server: `python -m tests.dock.nameserver ADDRESS MANNER`. It "knows" that every name is its own address,
"fails" (RFC 1035, 4.1.1: the code for a failure of the server), or is "silent".
"""

from __future__ import annotations

import socket
import struct
import sys

_ANSWERED, _FAILED = 0x8180, 0x8182
_A = 1


def answer(query: bytes, address: str, manner: str) -> bytes:
    """To one question; of an address of another kind (IPv6, say) it knows none."""
    end = query.index(b"\0", 12) + 5
    question = query[12:end]
    known = manner == "knows" and struct.unpack(">H", question[-4:-2])[0] == _A
    head = query[:2] + struct.pack(">5H", _FAILED if manner == "fails" else _ANSWERED, 1, int(known), 0, 0)
    record = struct.pack(">HHHIH", 0xC00C, _A, 1, 1, 4) + socket.inet_aton(address)
    return head + question + (record if known else b"")


def serve(address: str, manner: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((address, 53))
        print("ready", flush=True)
        while True:
            query, peer = sock.recvfrom(4096)
            if manner != "silent":
                sock.sendto(answer(query, address, manner), peer)


if __name__ == "__main__":
    serve(*sys.argv[1:])
