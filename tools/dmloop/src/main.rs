// SPDX-License-Identifier: GPL-2.0

//! The command `dmloop`. What it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    dmloop::main()
}
