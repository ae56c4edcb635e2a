"""Names the file system under a directory and says what is known of it: whether locks reach every writer, whether it lasts."""

from __future__ import annotations

import os
import re

from windlass.record import Record

_MOUNTS = "/proc/self/mountinfo"
_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "glusterfs", "lustre", "gpfs", "afs", "beegfs", "ocfs2", "gfs2")
_SHARED = ("9p", "virtiofs", "vboxsf", "prl_fs", "vmhgfs", "drvfs", "fuse.vmhgfs-fuse", "fakeowner", "fuse.grpcfuse", "fuse.osxfs")
_PASSING = ("tmpfs", "ramfs")
_SYNCED = (
    "Dropbox",
    "OneDrive",
    "Google Drive",
    "GoogleDrive",
    "CloudStorage",
    "Mobile Documents",
    "iCloud Drive",
    "Nextcloud",
    "Syncthing",
)


class FileSystem(Record):
    """The kind of file system ("" where it is not known), what is known of it, and whether that is a warning."""

    kind: str
    text: str
    warning: bool


def file_system(path: str, mounts: str = _MOUNTS) -> FileSystem:
    """What the directory lies on. `mounts` is Linux' table of mounts; elsewhere only synced folders are told."""
    real = os.path.realpath(path)
    kind = _kind(real, mounts)
    synced = next((name for name in _SYNCED if any(part.startswith(name) for part in real.split("/"))), None)
    if synced:
        return FileSystem(kind=kind, text=f"in a synced folder ({synced}): two machines will not exclude each other", warning=True)
    if not kind:
        return FileSystem(kind="", text="its kind is not known here", warning=False)
    text, warning = _known(kind)
    return FileSystem(kind=kind, text=f"{kind}: {text}", warning=warning)


def _known(kind: str) -> tuple[str, bool]:
    if kind in _NETWORK:
        return "network; its locks may not reach other machines: let one of them write", True
    if kind in _SHARED:
        return "shared with a host or container; locks may not reach the other side", True
    if kind.startswith("fuse") and kind != "fuseblk":
        return "a program's own; its locks may not reach every writer", True
    if kind in _PASSING:
        return "in memory; all is gone after a restart", True
    if kind == "overlay":
        return "a container's own layer; it goes when the container goes", True
    return "local; locks and links reach every process of this machine", False


def _kind(real: str, mounts: str) -> str:
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return ""
    best, kind = -1, ""
    for line in lines:
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        if len(fields) < 5 or not right:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), fields[4])
        # of two mounts on one point the later one is seen
        if len(point) >= best and (real == point or real.startswith(point.rstrip("/") + "/")):
            best, kind = len(point), right.split(" ")[0]
    return kind
