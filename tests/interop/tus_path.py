"""The way to a production station in small: nginx, which wants a client certificate and speaks TLS 1.3 alone, before
npm's reference tus server; on loopback, as child processes.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.station.layout import AgencyPaths
from tests.ports import free_port

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache"
PACKAGES = CACHE / "npm"
START_S = 30.0
_CONF = """\
daemon off;
master_process off;
pid {place}/nginx.pid;
error_log {place}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_max_body_size 0;
    client_body_temp_path {place}/body;
    proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi;
    scgi_temp_path {place}/scgi;
    upstream tus {{ server 127.0.0.1:{upstream}; keepalive 8; }}
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_protocols TLSv1.3;
        ssl_certificate {chain};
        ssl_certificate_key {key};
        ssl_client_certificate {root};
        ssl_verify_client on;
        ssl_verify_depth 3;
        location = /orders/configuration {{
            # What a station answers where there is one.
            default_type application/octet-stream;
            alias {place}/order;
        }}
        location / {{
            proxy_pass http://tus;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            # Else a resumed upload starts at zero: nginx would hold what came until it has all of it.
            proxy_request_buffering off;
        }}
    }}
}}
"""


def missing() -> str:
    """What of it is not on this machine, in words; "" where all is there."""
    if not (PACKAGES / "node_modules" / "@tus" / "server").is_dir():
        return "npm's @tus/server is missing: `make setup`"
    if not nginx():
        return "nginx is missing: `make setup`"
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False)
    if node.returncode or int(node.stdout.lstrip("v").split(".")[0]) < 20:
        return f"@tus/server needs Node 20, this is {node.stdout.strip() or 'none'}"
    return ""


def nginx() -> str:
    """The program: the one that `make setup` unpacked, or the machine's."""
    unpacked = CACHE / "nginx" / "usr" / "sbin" / "nginx"
    return str(unpacked) if unpacked.exists() else shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or ""


@contextmanager
def tus_server(place: Path) -> Iterator[int]:
    """The tus server alone, storing in `place`; yields its port."""
    words = place.with_suffix(".log").open("wb")
    command = ["node", "--no-warnings", str(HERE / "tus_server.mjs"), str(PACKAGES), str(place)]
    with words, _ended(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=words)) as process:
        assert process.stdout
        line = process.stdout.readline()
        assert line, place.with_suffix(".log").read_text()
        yield int(line)


@contextmanager
def tus_behind_nginx(agency: AgencyPaths, place: Path) -> Iterator[str]:
    """Both; yields the URL. What is stored lies in `place/store`."""
    (place / "store").mkdir(parents=True)
    with tus_server(place / "store") as upstream:
        port = free_port()
        files = {"chain": agency.tls_chain, "key": agency.tls_key, "root": agency.trust_root}
        conf = place / "nginx.conf"
        conf.write_text(_CONF.format(place=place, upstream=upstream, port=port, **files))
        command = [nginx(), "-c", str(conf), "-p", str(place), "-e", str(place / "error.log")]
        with _ended(subprocess.Popen(command)) as process:
            _wait(port, process, place / "error.log")
            yield f"https://127.0.0.1:{port}"


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"nginx does not listen: {log.read_text() if log.exists() else process.returncode}")


@contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        if process.stdout:
            process.stdout.close()
