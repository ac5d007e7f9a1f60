"""Proves on real services of AWS what docs/proven.md assumes of them: see scripts/prove-on-aws."""
