//! `tests/bench/run`: see the module `bench`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cell::bench::main()
}
