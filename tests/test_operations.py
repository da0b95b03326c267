"""docs/operations.md says what can be done: each command in it exists, with these options, and each unit and file."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import cli, profiles
from agent.evidence import commands as evidence
from agent.station import commands as station

HOUSE = Path(__file__).resolve().parent.parent
PAGE = (HOUSE / "docs" / "operations.md").read_text("utf-8")
PARSERS = {
    "bodycam-agent": cli._agent_parser,
    "bodycam-station": station._parser,
    "bodycam-evidence": evidence._parser,
}
OF_THE_SYSTEM = {
    *("auditctl", "ausearch", "apt-get", "find", "install", "journalctl", "openssl", "rm", "sha256sum", "systemctl"),
    *("tpm2_evictcontrol", "tpm2_nvundefine"),
}


def commands(page: str = PAGE) -> Iterator[list[str]]:
    """The words of each line in a code block, without what it sets for the environment."""
    for block in re.findall(r"^```\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words = words[1:]
            if words:
                # In a tree of the source.
                yield [words[0].removeprefix(".venv/bin/"), *words[1:]]


def parsed(words: list[str]) -> argparse.Namespace:
    return PARSERS[words[0]]().parse_args(words[1:])


@pytest.mark.parametrize("words", [w for w in commands() if w[0] in PARSERS], ids=" ".join)
def test_every_command_of_ours_is_taken_as_it_stands(words: list[str]) -> None:
    if words[-1] == "--version":
        with pytest.raises(SystemExit) as left:
            parsed(words)
        assert left.value.code == 0
    else:
        parsed(words)


def test_every_other_command_names_what_there_is() -> None:
    units = {path.name for path in (HOUSE / "systemd").iterdir()}
    for words in commands():
        if words[0] in PARSERS:
            continue
        assert words[0] in OF_THE_SYSTEM, words
        for named in re.findall(r"\bbodycam-(?:recorder|uploader|poweroff|evict|apply)[a-z.]*", " ".join(words)):
            unit = named.removesuffix(".d") if named.endswith(".d") else named
            assert unit in units or f"{unit}.service" in units, words


def test_every_file_that_the_page_names_is_in_the_package() -> None:
    package = (HOUSE / "tools" / "deb").read_text("utf-8")
    for name in re.findall(r"/usr/share/doc/bodycam-agent/(examples/[a-z.]+)", PAGE):
        assert f'doc / "{name}"' in package, name
    for name in re.findall(r"/usr/share/bodycam-agent/profiles/([a-z]+\.toml)", PAGE):
        assert (HOUSE / "config" / "profiles" / name).is_file(), name
    assert '"usr/share/bodycam-agent/profiles"' in package
    (rules,) = set(re.findall(r"/(etc/audit/rules\.d)/[a-z0-9.-]+", PAGE))
    assert f'AUDIT = Path("{rules}")' in package
    (name,) = set(re.findall(r"/etc/audit/rules\.d/([a-z0-9.-]+)", PAGE))
    assert f'root / AUDIT / "{name}"' in package and (HOUSE / "systemd" / "audit" / name).is_file()


def test_the_page_covers_what_a_technician_has_to_do() -> None:
    """Each command that changes a camera or what is trusted stands on it; a wrong one is found."""
    there = {" ".join(words[:2]) for words in commands()}
    for needed in ("provision", "selftest", "ctl", "config", "bench"):
        assert f"bodycam-agent {needed}" in there
    for needed in ("init", "enrol", "rotate", "revoke", "configure", "hold", "purge", "status", "serve"):
        assert f"bodycam-station {needed}" in there
    (wrong,) = commands("```\nbodycam-station purge --dir agency --all\n```\n")
    with pytest.raises(SystemExit):
        parsed(wrong)


def test_a_profile_is_found_by_its_name_where_the_package_puts_it() -> None:
    assert Path("/usr/share/bodycam-agent/profiles") in profiles.PLACES


def test_the_list_of_what_was_signed_names_all_of_it_from_the_directory_above_the_agency(tmp_path: Path) -> None:
    (line,) = (line for line in PAGE.splitlines() if line.startswith("find agency/"))
    signed = ["agency/station/receipts/a b", "agency/station/purges/c", "agency/trust/revoked/d"]
    for name in signed:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    subprocess.run(["/bin/sh", "-c", line], cwd=tmp_path, check=True, timeout=60)
    listed = (tmp_path / "signed.sha256").read_text().splitlines()
    assert sorted(entry[66:] for entry in listed) == sorted(signed)
