#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "the engine that asks it comes with the rest of this folder"
    )
)]
mod ed25519;
