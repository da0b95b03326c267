"""tuspy's side of the comparison, as a process of its own: the same files, one after another.

python -m benchmarks.tuspy_child SPOOL URL ROOT CHAIN KEY
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main(words: list[str]) -> int:
    spool, url, root, chain, key = words
    # The only way to give it an agency's own root: it hands `requests` true or false.
    os.environ["REQUESTS_CA_BUNDLE"] = root
    from tusclient import client

    for path in sorted(Path(spool).glob("sealed/*.tar")):
        made = client.TusClient(f"{url}/files", client_cert=(chain, key))
        made.uploader(str(path), chunk_size=path.stat().st_size, metadata={"name": path.stem}).upload()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
