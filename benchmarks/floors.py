"""What no command could be quicker than: `floors.py put STORE TIMES` or `floors.py link FOLDER TIMES`; seconds of each, as JSON."""

from __future__ import annotations

import os
import sys
from time import perf_counter


def put(store: str, times: int) -> list[float]:
    """Conditional PUTs of 200 bytes by obstore, of fresh objects."""
    from urllib.parse import parse_qs, urlsplit

    import obstore
    from obstore.store import S3Store

    place = urlsplit(store)
    options = {name: values[0] for name, values in parse_qs(place.query).items() if name in ("endpoint", "region")}
    plain = options.get("endpoint", "").startswith("http://")
    client = S3Store(place.netloc, client_options={"allow_http": plain}, retry_config={"max_retries": 0}, **options)  # type: ignore[arg-type]
    body, seconds = os.urandom(200), []
    for _ in range(times):
        began = perf_counter()
        obstore.put(client, f"floor/{os.urandom(8).hex()}", body, mode="create", use_multipart=False)
        seconds.append(perf_counter() - began)
    return seconds


def link(folder: str, times: int) -> list[float]:
    """Files of 200 bytes, synced and then linked to the name by which they are seen."""
    body, seconds = os.urandom(200), []
    for _ in range(times):
        began = perf_counter()
        name = f"{folder}/{os.urandom(8).hex()}"
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.write(file, body)
        os.fsync(file)
        os.close(file)
        os.link(name, f"{name}=")
        os.unlink(name)
        seconds.append(perf_counter() - began)
    return seconds


if __name__ == "__main__":
    kind, place, times = sys.argv[1:]
    print([put, link][kind == "link"](place, int(times)))
