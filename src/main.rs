//! Binary of the command line and the worker; the library holds the code.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    twinkey::cli::main().await
}
