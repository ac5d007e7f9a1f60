mod ed25519;
