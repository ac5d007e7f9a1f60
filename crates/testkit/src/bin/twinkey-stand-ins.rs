//! Starts the stand-ins of AWS, prints one line of JSON with their addresses, and stops them at the
//! end of its input.

use std::io::Read as _;

use twinkey_testkit::stand_ins::StandIns;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let stand_ins = StandIns::start().await;
    println!("{}", stand_ins.describe());
    let wait = || std::io::stdin().read_to_end(&mut Vec::new());
    tokio::task::spawn_blocking(wait).await??;
    Ok(())
}
