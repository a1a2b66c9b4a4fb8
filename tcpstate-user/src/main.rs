//! The binary: parse, run, print the error, exit status.
use std::process::ExitCode;

fn main() -> ExitCode {
    tcpstate::app::main()
}
