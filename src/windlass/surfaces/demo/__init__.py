"""`windlass demo`: real agent processes on a throw-away store, narrated, and checked against what they left there."""
