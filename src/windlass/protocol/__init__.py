"""Pure: keys, documents and state machines. No input or output, no clock, no randomness."""
