// SPDX-License-Identifier: GPL-2.0

//! Signals that would end the program: they wait until it is in good order.

use crate::failure::{Exit, Failure};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGIO, SIGTERM},
    flag::register,
};
use std::{
    io,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc, OnceLock,
    },
};

static CAME: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on such a signal only leaves word that it [`came`].
pub(crate) fn defer() -> io::Result<()> {
    let flag = CAME.get_or_init(Arc::default);
    let signals: &[i32] = if is_ignored(SIGHUP) {
        // nohup: it is to go on.
        &[SIGINT, SIGTERM]
    } else {
        &[SIGINT, SIGTERM, SIGHUP]
    };
    for &signal in signals {
        register(signal, Arc::clone(flag))?;
    }
    // Comes when somebody wants a file that a lease is held on, which is asked for then.
    register(SIGIO, Arc::default())?;
    Ok(())
}

/// Whether the program was started to ignore `signal`.
fn is_ignored(signal: i32) -> bool {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = text.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
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
