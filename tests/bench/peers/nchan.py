"""Nginx with nchan: `nchan.py FOLDER PORT` writes its configuration into FOLDER and becomes nginx."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# One process does the work. A subscriber begins with what is published after it came.
CONFIGURATION = """\
load_module {folder}/usr/lib/nginx/modules/ngx_nchan_module.so;
user root;
daemon off;
master_process {master};
worker_processes 1;
pid {folder}/nginx-{port}.pid;
error_log stderr warn;
events {{
    worker_connections 16384;
}}
http {{
    access_log off;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location = /fan {{
            nchan_pubsub websocket;
            nchan_channel_id fan;
            nchan_subscriber_first_message newest;
            nchan_message_buffer_length 100;
        }}
    }}
}}
"""

# With nchan, nginx insists on folders in /var/lib/nginx, whatever its configuration says.
# So it gets a /var/lib that only it sees.
ALONE = ("unshare", "--mount")
SHELL = ("sh", "-ec")
SCRIPT = 'mount -t tmpfs none /var/lib; mkdir /var/lib/nginx; exec "$0" "$@"'


def main(folder: Path, port: str) -> None:
    """Write the configuration and become nginx."""
    # Who is not root becomes it in a user namespace, where nginx cannot give a worker process another user.
    root = os.geteuid() == 0
    file = folder / f"nginx-{port}.conf"
    file.write_text(CONFIGURATION.format(folder=folder, port=port, master="on" if root else "off"))
    nginx = str(folder / "usr" / "sbin" / "nginx")
    command = [*ALONE, *([] if root else ["--map-root-user"]), *SHELL, SCRIPT]
    os.execvp(command[0], [*command, nginx, "-e", "stderr", "-p", str(folder), "-c", str(file)])  # noqa: S606 - the shell is in it


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
