"""What the agency answers to a camera's request: certificates, whom to trust, and the configuration it decides.

JSON for one camera. It holds nothing secret, and nothing in it is signed but the certificates: whoever carries it could
name recipients of his own. It goes by a way that both ends trust, or both compare its SHA-256.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.errors import KeyTrustError

MAX_BUNDLE = 256 << 10
_HINT = "take the file that bodycam-station enrol wrote"
Tables = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Bundle:
    """Chains are PEM, the camera's own certificate first; `config` are sections and keys of agent.toml."""

    camera: str
    identity_chain: str
    tls_chain: str
    trust_root: str
    config: Tables

    def to_bytes(self) -> bytes:
        value = {
            "v": 1,
            "camera": self.camera,
            "identity_chain": self.identity_chain,
            "tls_chain": self.tls_chain,
            "trust_root": self.trust_root,
            "config": {section: dict(keys) for section, keys in self.config.items()},
        }
        return json.dumps(value, indent=2).encode("ascii") + b"\n"


def parse(data: bytes) -> Bundle:
    """Raises KeyTrustError."""
    try:
        if len(data) > MAX_BUNDLE:
            raise ValueError
        value = json.loads(data.decode("ascii"))
    except (ValueError, RecursionError):
        raise KeyTrustError("this is no answer to an enrolment", _HINT) from None
    if not isinstance(value, dict) or value.get("v") != 1:
        raise KeyTrustError("this answer to an enrolment is of a version that this agent does not know", _HINT)
    texts = [value.get(key) for key in ("camera", "identity_chain", "tls_chain", "trust_root")]
    config = value.get("config")
    if not all(isinstance(text, str) for text in texts) or not isinstance(config, dict) or not _is_tables(config):
        raise KeyTrustError("this answer to an enrolment is not whole", _HINT)
    camera, identity, tls, root = map(str, texts)
    return Bundle(camera, identity, tls, root, config)


def _is_tables(value: dict[str, Any]) -> bool:
    return all(isinstance(keys, dict) and all(_is_plain(entry) for entry in keys.values()) for keys in value.values())


def _is_plain(value: object) -> bool:
    items = value if isinstance(value, list) else [value]
    return all(isinstance(item, (str, int)) for item in items)
