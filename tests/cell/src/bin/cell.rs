//! `cargo cell`: see the module `demo`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cell::demo::main()
}
