"""Certificates for tests, made by openssl: an authority, and who it vouches for."""

from __future__ import annotations

import subprocess
from pathlib import Path

from msgspec import Struct

#: names and addresses under which a server of the tests is called
HERE = "subjectAltName=DNS:localhost,IP:127.0.0.1"


class Certificate(Struct, frozen=True):
    """PEM files of a certificate and its key."""

    cert: Path
    key: Path


class Authority(Struct, frozen=True):
    """An authority in a folder of its own: `ca.pem` is what others trust."""

    folder: Path

    @property
    def ca(self) -> Path:
        """Its certificate."""
        return self.folder / "ca.pem"

    def vouch(self, name: str, says: str = HERE) -> Certificate:
        """A certificate with this common name."""
        made = Certificate(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        request = self.folder / f"{name}.csr"
        _openssl("req", "-new", *_key(made.key), "-subj", f"/CN={name}", "-addext", says, "-out", request)
        by = ("-CA", self.ca, "-CAkey", self.folder / "ca.key", "-CAcreateserial", "-days", "2")
        _openssl("x509", "-req", "-in", request, *by, "-copy_extensions", "copyall", "-out", made.cert)
        return made


def authority(folder: Path, name: str = "Quanyu tests") -> Authority:
    """Make one."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Authority(folder)
    _openssl("req", "-x509", *_key(folder / "ca.key"), "-subj", f"/CN={name}", "-days", "2", "-out", made.ca)
    return made


def _key(path: Path) -> tuple[str | Path, ...]:
    return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-keyout", path)


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
