//! `tests/soak/run`: see the module `soak`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cell::soak::main()
}
