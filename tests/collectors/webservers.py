"""Real web servers that write access logs: nginx, Apache and HAProxy, each on a free port with a folder of its own."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from pathlib import Path

from perfloop.stack.process import Child, find_binary, free_port
from perfloop.stack.servers import tcp_ready

NGINX = """
daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx-error.log;
events {{ worker_connections 64; }}
http {{
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  log_format perfloop '$remote_addr - $remote_user [$time_local] "$request" '
                      '$status $body_bytes_sent "$http_referer" "$http_user_agent" $request_time';
  server {{
    listen 127.0.0.1:{port};
    access_log {log} perfloop;
    location /broken {{ return 503; }}
    location /missing {{ return 404; }}
    location / {{ return 200 "welcome"; }}
  }}
}}
"""
APACHE = """
ServerRoot {folder}
ServerName localhost
PidFile {folder}/apache.pid
Listen 127.0.0.1:{port}
{user}
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule alias_module /usr/lib/apache2/modules/mod_alias.so
ErrorLog {folder}/apache-error.log
LogFormat "%h %l %u %t \\"%r\\" %>s %O \\"%{{Referer}}i\\" \\"%{{User-agent}}i\\" %D" perfloop
CustomLog {log} perfloop
Redirect 503 /broken
RedirectMatch 200 ^/users
Redirect 404 /missing
Redirect 204 /
"""
HAPROXY = """
global
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  timeout client 5s
  timeout server 5s
  timeout connect 5s
frontend web
  bind 127.0.0.1:{port}
  http-request return status 503 if {{ path_beg /broken }}
  http-request return status 404 if {{ path_beg /missing }}
  http-request return status 200 content-type text/plain string welcome
"""


def nginx(folder: Path, log: Path) -> Child:
    """nginx with `$request_time` at the end of combined; opens its log again on USR1."""
    port = free_port()
    config = _written(folder / "nginx.conf", NGINX.format(folder=folder, port=port, log=log))
    return _child("nginx", ["-c", str(config), "-e", f"{folder}/nginx-error.log"], folder, port)


def apache(folder: Path, log: Path) -> Child:
    """Apache with `%D` at the end of combined; opens its log again on USR1."""
    port, user = free_port(), "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
    config = _written(folder / "apache.conf", APACHE.format(folder=folder, port=port, log=log, user=user))
    return _child("apache2", ["-DFOREGROUND", "-f", str(config)], folder, port)


def haproxy(folder: Path) -> Child:
    """HAProxy with `option httplog`, whose log is what it prints."""
    port = free_port()
    config = _written(folder / "haproxy.cfg", HAPROXY.format(port=port))
    return _child("haproxy", ["-db", "-f", str(config)], folder, port)


def ask(server: Child, path: str, *, method: str = "GET") -> int:
    """Send one request and return the status."""
    request = urllib.request.Request(f"http://{server.address}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def _child(name: str, arguments: list[str], folder: Path, port: int) -> Child:
    argv = [find_binary(name), *arguments]
    log = folder / f"{name}.out"
    return Child(name, argv, log=log, ready=lambda: tcp_ready(port), address=f"127.0.0.1:{port}")


def _written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
