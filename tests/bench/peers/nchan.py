"""Nginx with nchan: `nchan.py FOLDER PORT` writes its configuration into FOLDER and becomes nginx."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# One process that does the work; a subscriber begins with what is published after it came.
CONFIGURATION = """\
load_module {folder}/usr/lib/nginx/modules/ngx_nchan_module.so;
user root;
daemon off;
master_process off;
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

# With nchan, nginx insists on folders in /var/lib/nginx whatever its configuration says: it gets a /var/lib that
# only it sees.
ALONE = ("unshare", "--map-root-user", "--mount", "sh", "-ec")
SCRIPT = 'mount -t tmpfs none /var/lib; mkdir /var/lib/nginx; exec "$0" "$@"'


def main(folder: Path, port: str) -> None:
    """Write the configuration and become nginx."""
    file = folder / f"nginx-{port}.conf"
    file.write_text(CONFIGURATION.format(folder=folder, port=port))
    nginx = str(folder / "usr" / "sbin" / "nginx")
    os.execvp(ALONE[0], [*ALONE, SCRIPT, nginx, "-e", "stderr", "-p", str(folder), "-c", str(file)])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
