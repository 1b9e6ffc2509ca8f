"""nginx for the probes: plain, with good, expired and unknown certificates, and pages that say what was asked."""

from __future__ import annotations

import subprocess
from pathlib import Path

from perfloop.stack import servers
from perfloop.stack.process import Child, find_binary, free_port

# Unix seconds of the ends of the certificates that are made here.
LEAF_EXPIRES_AT = 2524608000.0  # 2050-01-01
INTERMEDIATE_EXPIRES_AT = 2208988800.0  # 2040-01-01
EXPIRED_AT = 1577836800.0  # 2020-01-01

_CA = """
[ca]
default_ca = own
[own]
database = {folder}/index.txt
new_certs_dir = {folder}
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[authority]
basicConstraints = critical, CA:true
[server]
subjectAltName = DNS:localhost, IP:127.0.0.1
"""

_NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  default_type text/plain;
  map $uri $asked {{
    default "method=$request_method host=$http_host key=$http_x_key auth=$http_authorization length=$content_length";
  }}
  server {{
    listen 127.0.0.1:{http};
    listen 127.0.0.1:{good} ssl;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate {folder}/chain.pem; ssl_certificate_key {folder}/server.key;
    location / {{ return 200 "all is well\\n"; }}
    location /204 {{ return 204; }}
    location /302 {{ return 302 /; }}
    location /303 {{ return 303 /asked; }}
    location /404 {{ return 404; }}
    location /503 {{ return 503; }}
    location /loop {{ return 302 /loop; }}
    location /elsewhere {{ return 307 http://127.0.0.1:{other}/asked; }}
    location /file {{ return 302 file:///etc/passwd; }}
    location /login {{ return 302 http://user:pw@127.0.0.1:{http}/; }}
    location /large {{ root {folder}; }}
    location /asked {{
      return 200 $asked;
    }}
  }}
  server {{
    listen 127.0.0.1:{other};
    location /asked {{
      return 200 $asked;
    }}
  }}
  server {{
    listen 127.0.0.1:{expired} ssl;
    ssl_protocols TLSv1.2;
    ssl_certificate {folder}/expired.pem; ssl_certificate_key {folder}/server.key;
    location / {{ return 200 "all is well\\n"; }}
  }}
}}
"""


class WebServer:
    """A running nginx: its addresses, and the file of the authority that signed its certificates."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ca_file = folder / "ca.pem"
        ports = {name: free_port() for name in ("http", "good", "other", "expired")}
        self.http, self.good, self.other, self.expired = (f"127.0.0.1:{port}" for port in ports.values())
        _write_certificates(folder)
        (folder / "large").mkdir()
        (folder / "large" / "file").write_bytes(b"x" * 2_000_000)
        config = folder / "nginx.conf"
        config.write_text(_NGINX.format(folder=folder, **ports))
        self.child = Child(
            "nginx",
            [find_binary("nginx"), "-c", str(config), "-p", str(folder)],
            log=folder / "nginx.log",
            ready=lambda: servers.tcp_ready(ports["http"]),
        )


def _write_certificates(folder: Path) -> None:
    (folder / "index.txt").touch()
    (folder / "ca.cnf").write_text(_CA.format(folder=folder))
    for name in ("ca", "intermediate", "server"):
        _openssl(folder, "req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr",
                 "-subj", f"/CN={name}")  # fmt: skip
    _sign(folder, "ca", "ca", "20500101000000Z", "authority")
    _sign(folder, "intermediate", "ca", "20400101000000Z", "authority")
    _sign(folder, "server", "intermediate", "20500101000000Z", "server")
    _sign(folder, "server", "ca", "20200101000000Z", "server", out="expired")
    chain = (folder / "server.pem").read_text() + (folder / "intermediate.pem").read_text()
    (folder / "chain.pem").write_text(chain)


def _sign(folder: Path, name: str, issuer: str, end: str, extensions: str, *, out: str | None = None) -> None:
    signer = ["-selfsign"] if name == issuer else ["-cert", f"{issuer}.pem"]
    _openssl(folder, "ca", "-batch", "-notext", "-config", "ca.cnf", "-extensions", extensions, *signer,
             "-keyfile", f"{issuer}.key", "-in", f"{name}.csr", "-out", f"{out or name}.pem",
             "-startdate", "20190101000000Z", "-enddate", end)  # fmt: skip


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
