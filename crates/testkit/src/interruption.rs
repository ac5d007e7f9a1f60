//! Points at which a test interrupts a client.

/// Whether the server executes the command at which its client is interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// The server does not receive the command.
    BeforeExecution,
    /// The server executes the command, and its response is lost.
    AfterExecution,
}
