"""The floor of a large file: obstore's own streaming upload or download, the call alone, in a process of its own.

PYTHON benchmarks/streaming.py upload|download BUCKET ENDPOINT KEY FILE → JSON: seconds of the call, bytes resident at most.
"""

from __future__ import annotations

import json
import resource
import sys
import time

import obstore
from obstore.store import S3Store


def main() -> None:
    """Connect first, then time the one call with its default part size and concurrency."""
    what, bucket, endpoint, key, file = sys.argv[1:]
    store = S3Store(bucket, endpoint=endpoint, region="us-east-1", client_options={"allow_http": True, "timeout": "300s"})
    start = time.perf_counter()
    if what == "upload":
        with open(file, "rb") as source:
            obstore.put(store, key, source)
    else:
        with open(file, "wb") as target:
            target.writelines(obstore.get(store, key).stream())
    seconds = time.perf_counter() - start
    unit = 1 if sys.platform == "darwin" else 1024
    print(json.dumps({"seconds": seconds, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}))


if __name__ == "__main__":
    main()
