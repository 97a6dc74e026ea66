"""Tests of `gateway check`: a good file, and every error of a bad one on a line of its own."""

from __future__ import annotations

import json
import re
import socket
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable


LINE = re.compile(r"(?P<file>[^:]+):(?P<line>\d+):(?P<column>\d+): (?P<path>\S+): (?P<message>\S.*)")


def test_a_good_file(
    command: Callable[..., subprocess.CompletedProcess[str]], write: Callable[[str], Path]
) -> None:
    """A file without errors gets one calm line and exit status 0."""
    write("listen: {port: 0}\nroutes: [{path: /echo, handlers: [echo]}, {path: /live, handlers: [live]}]")
    done = command("check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "gateway.yaml: good, 2 routes\n", "")


def test_another_file(inside: Callable[..., subprocess.CompletedProcess[str]], folder: Path) -> None:
    """The file may be named, and its name is printed as it was given."""
    (folder / "other.yaml").write_text("listen: {port: 0}\nroutes: [{path: /echo, handlers: [echo]}]")
    assert inside("check", "--config", "other.yaml").stdout == "other.yaml: good, 1 route\n"


def test_the_shipped_file(inside: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """The configuration that comes with the gateway is good, under its own folder's name."""
    file = str(Path(__file__).parents[2] / "gateway.yaml")
    done = inside("check", "--skip-address", "-c", file)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_error_of_a_bad_file(
    command: Callable[..., subprocess.CompletedProcess[str]],
    write: Callable[[str], Path],
    install: Callable[[str, str, str], None],
) -> None:
    """Each error has its place and path; keys, handlers and plugins get hints; secrets are not shown."""
    install("loud-plugin", "loud", "import gateway\n\n@gateway.hookimpl\ndef gateway_start(nod): ...\n")
    write("""\
        lisen: {}
        listen: {port: 0}
        routes:
          - path: /echo
            handlers: [ecco]
            allowd_origins: ["*"]
          - path: /live
            handlers:
              - {name: live, options: {interval_seconds: "${SECRET}"}}
            limits: {max_message_bytes: -1}
        api:
          tokens: [{name: ops, token: "${SECRET} with spaces"}]
        plugins:
          lvie: {}
          loud: {}
        """)
    done = command("check", SECRET="hunter2-secret")
    assert done.returncode == 1
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if not line.startswith("  hint: ")]
    found = [LINE.fullmatch(line) for line in lines]
    assert all(found), done.stderr
    places = [(int(match["line"]), match["path"]) for match in found if match]
    assert places == [
        (1, "lisen"),
        (5, "routes[0].handlers[0]"),
        (6, "routes[0].allowd_origins"),
        (9, "routes[1].handlers[0].options.interval_seconds"),
        (10, "routes[1].limits.max_message_bytes"),
        (12, "api.tokens[0].token"),
        (14, "plugins.lvie"),
        (15, "plugins.loud"),
    ]
    for hint in ("'listen'", "'echo'", "'allowed_origins'", "'live'"):
        assert f"\n  hint: did you mean {hint}?\n" in done.stderr
    assert (
        "plugin 'loud' of distribution 'loud-plugin': hook gateway_start has no argument 'nod'" in done.stderr
    )
    assert "hunter2" not in done.stderr


def test_a_file_that_is_not_there(inside: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """A missing file is one line of the same form."""
    done = inside("check")
    assert (done.returncode, done.stderr) == (1, "gateway.yaml:1:1: (file): file not found\n")


def test_a_file_that_is_no_yaml(
    inside: Callable[..., subprocess.CompletedProcess[str]], write: Callable[[str], Path]
) -> None:
    """A file that cannot be read as YAML is told with the place, not with a traceback."""
    write("routes:\n  - path: /a\n   handlers: []\n")
    done = inside("check")
    assert done.returncode == 1
    assert all(map(LINE.fullmatch, done.stderr.splitlines()))
    assert "Traceback" not in done.stderr


def test_a_plugin_that_exits_at_its_import(
    command: Callable[..., subprocess.CompletedProcess[str]],
    write: Callable[[str], Path],
    install: Callable[[str, str, str], None],
) -> None:
    """Whatever a plugin does at its import is told as this plugin's problem."""
    install("rude-plugin", "rude", "raise SystemExit(0)")
    write("listen: {port: 0}")
    done = command("check")
    assert done.returncode == 1
    expected = "plugin 'rude' of distribution 'rude-plugin': rude_module cannot be imported: SystemExit: 0"
    assert done.stderr == f"gateway.yaml:1:1: plugins: {expected}\n"


def test_a_certificate_that_ends_soon(
    inside: Callable[..., subprocess.CompletedProcess[str]], write: Callable[[str], Path], folder: Path
) -> None:
    """An end within 14 days is a warning on a line of its own; after it the file is not good any more."""
    file = write("listen: {port: 0, tls: {certificate: pair.pem, key: pair.pem}}")
    now = datetime.now(UTC)
    for days, status, told in (
        (100, 0, ""),
        (9.5, 0, r"warning: certificate ends on \S+Z, in 9 days\n"),
        (-1, 1, r"certificate has ended, on \S+Z\n"),
    ):
        issued = trustme.CA().issue_cert(
            "localhost", not_before=now - timedelta(days=9), not_after=now + timedelta(days=days)
        )
        issued.private_key_and_cert_chain_pem.write_to_path(folder / "pair.pem")
        done = inside("check")
        assert (done.returncode, done.stdout) == (status, "" if status else f"{file.name}: good, 0 routes\n")
        expected = rf"gateway\.yaml:1:38: listen\.tls\.certificate: {told}" if told else ""
        assert re.fullmatch(expected, done.stderr), done.stderr


def test_formats_for_programs(
    inside: Callable[..., subprocess.CompletedProcess[str]], write: Callable[[str], Path]
) -> None:
    """JSON is one object, whatever is wrong; GitHub's annotations are a line for each problem."""
    write("listen: {prot: 1, port: 0}")
    done = inside("check", "--format", "json")
    assert (done.returncode, done.stderr) == (1, "")
    outcome = json.loads(done.stdout)
    assert outcome["good"] is False
    assert [(one["line"], one["path"], one["hint"]) for one in outcome["problems"]] == [
        (1, "listen.prot", "did you mean 'port'?")
    ]
    done = inside("check", "--format", "github")
    assert done.returncode == 1
    assert done.stdout.startswith(
        "::error file=gateway.yaml,line=1,col=10,title=gateway check::listen.prot: "
    )
    write("routes: [")
    assert json.loads(inside("check", "--format", "json").stdout)["good"] is False
    write("listen: {port: 0}")
    done = inside("check", "--format", "json")
    assert json.loads(done.stdout) == {"file": "gateway.yaml", "good": True, "problems": []}


def test_a_port_that_is_taken(
    inside: Callable[..., subprocess.CompletedProcess[str]], write: Callable[[str], Path]
) -> None:
    """A port of another program is an error with a hint, unless nobody wants to know."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def hang_up() -> None:
            for _ in range(2):  # it is asked with TLS and without
                server.accept()[0].close()

        answering = threading.Thread(target=hang_up)
        answering.start()
        write(f"listen: {{port: {port}}}")
        done = inside("check")
        answering.join()
        assert done.returncode == 1
        assert done.stderr.splitlines() == [
            f"gateway.yaml:1:16: listen.port: port taken by another program: {port}",
            f"  hint: `ss -ltnp 'sport = :{port}'` says by which",
        ]
        assert inside("check", "--skip-address").returncode == 0


def test_paths_of_plugins(
    inside: Callable[..., subprocess.CompletedProcess[str]], write: Callable[[str], Path]
) -> None:
    """A route at a path of an installed plugin's page is told, beside an error of another kind."""
    write("listen: {port: 0}\nroutes: [{path: /live/figures.json}, {path: bad}]")
    done = inside("check")
    assert done.stderr.splitlines() == [
        "gateway.yaml:2:17: routes[0].path: path is served by plugin 'live' already: '/live/figures.json'",
        "  hint: set plugins.live.options.figures_path to another path",
        "gateway.yaml:2:45: routes[1].path: path does not begin with '/': 'bad'",
    ]


def test_services_that_are_down(
    inside: Callable[..., subprocess.CompletedProcess[str]], write: Callable[[str], Path]
) -> None:
    """Only when it is asked for, the broker has to be there."""
    write("listen: {port: 0}\nbroker: {type: nats, urls: ['nats://127.0.0.1:1']}")
    assert inside("check").returncode == 0
    done = inside("check", "--online")
    assert done.returncode == 1
    assert done.stderr.startswith("gateway.yaml:2:29: broker.urls[0]: broker cannot be reached: ")


def test_paths_in_the_options_of_another_file(
    inside: Callable[..., subprocess.CompletedProcess[str]],
    install: Callable[[str, str, str], None],
    folder: Path,
) -> None:
    """A plugin's path in the old file begins where the new file's do, so that the same text is no change."""
    install(
        "paper-plugin",
        "paper",
        """\
        from pathlib import Path
        from typing import Annotated

        from pydantic import AfterValidator, ValidationInfo

        from gateway import Handler, Options, hookimpl

        def from_folder(path: Path, info: ValidationInfo) -> Path:
            return info.context["folder"] / path

        class PaperOptions(Options):
            file: Annotated[Path, AfterValidator(from_folder)]

        class Paper(Handler[PaperOptions]):
            pass

        @hookimpl
        def gateway_handlers():
            return {"paper": Paper}
        """,
    )
    text = "listen: {port: 0}\nroutes: [{path: /a, handlers: [{name: paper, options: {file: FILE}}]}]\n"
    for name in ("new", "former"):
        (folder / name).mkdir()
    old, new = folder / "former" / "old.yaml", folder / "new" / "gateway.yaml"
    new.write_text(text.replace("FILE", "words.txt"))
    other = f"options.file changes from '{new.parent}/other.txt' to '{new.parent}/words.txt'"
    for written, change in (
        ("words.txt", "nothing changes"),
        ("other.txt", f"route '/a': handler 'paper': {other}"),
    ):
        old.write_text(text.replace("FILE", written))
        done = inside("check", "-c", str(new), "--diff", str(old))
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{change}\n", "")


def test_what_a_restart_would_change(
    inside: Callable[..., subprocess.CompletedProcess[str]], write: Callable[[str], Path], folder: Path
) -> None:
    """Changes are told in words, a secret's without its value; files of both are beside the new one."""
    (folder / "former").mkdir()
    old = folder / "former" / "old.yaml"
    old.write_text("listen: {port: 0}\nresume: {key: '${KEY}-1'}\nrevocation: {file: gone.jsonl}\n")
    write(
        "listen: {port: 0}\nresume: {key: '${KEY}-2'}\nrevocation: {file: gone.jsonl}\n"
        "routes: [{path: /echo, handlers: [echo]}]\n"
    )
    key = "hunter2-" * 5
    done = inside("check", "--diff", str(old), KEY=key)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "route '/echo' is added: path '/echo', handlers 'echo'",
        "resume.key is changed",
    ]
    outcome = json.loads(inside("check", "--diff", str(old), "--format", "json", KEY=key).stdout)
    assert outcome["changes"] == done.stdout.splitlines()
    old.write_text("lisen: 1")
    done = inside("check", "--diff", str(old), KEY=key)
    assert done.returncode == 1
    assert "lisen: unknown key" in done.stderr
    assert done.stderr.endswith(f"cannot compare with a file that is not good: {old}\n")
