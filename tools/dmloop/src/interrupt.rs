// SPDX-License-Identifier: GPL-2.0

//! Signals that would end the program: they wait until it is in good order.

use crate::failure::{Exit, Failure};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGIO, SIGTERM},
    flag::register,
};
use std::sync::{
    atomic::{AtomicBool, Ordering},
    Arc, OnceLock,
};

static CAME: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on such a signal only leaves word that it [`came`].
pub(crate) fn defer() -> Result<(), Failure> {
    let flag = CAME.get_or_init(Arc::default);
    let failed = |error| Failure::io("cannot handle signals", &error);
    let ignored = ignored();
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // nohup, or a shell's background: it is to go on.
        if ignored & (1 << (signal - 1)) != 0 {
            continue;
        }
        register(signal, Arc::clone(flag)).map_err(failed)?;
    }
    // Comes when somebody wants a file that a lease is held on, which is asked for then.
    register(SIGIO, Arc::default()).map_err(failed)?;
    Ok(())
}

/// The signals that the program was started to ignore, as a mask.
fn ignored() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = text.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

/// Whether there was one.
pub(crate) fn came() -> bool {
    CAME.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// That there was none; else `message`.
pub(crate) fn none(message: &str) -> Result<(), Failure> {
    if came() {
        Err(Failure::new(Exit::Interrupted, message))
    } else {
        Ok(())
    }
}
