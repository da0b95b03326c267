"""What a certificate of the agency's is for, as its subject says (organizational unit)."""

from __future__ import annotations

ROOT, ISSUING = "bodycam root", "bodycam issuing"
IDENTITY, SESSION = "bodycam camera identity", "bodycam camera session"
RECEIPT, CAMERA_TLS, STATION_TLS = "bodycam receipt", "bodycam camera tls", "bodycam station tls"
