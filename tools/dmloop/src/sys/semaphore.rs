// SPDX-License-Identifier: GPL-2.0

//! The System V semaphores that libdevmapper and udev's rules meet at.
#![allow(unsafe_code)]

use rustix::io;
use std::{
    thread,
    time::{Duration, Instant},
};

/// A semaphore. It is removed with this value.
#[derive(Debug)]
pub(crate) struct Semaphore {
    id: libc::c_int,
}

impl Semaphore {
    /// Makes the semaphore `key`, at 1. EEXIST if there is one.
    pub(crate) fn create(key: i32) -> io::Result<Self> {
        // SAFETY: no memory is involved.
        let id = unsafe { libc::semget(key, 1, 0o600 | libc::IPC_CREAT | libc::IPC_EXCL) };
        if id < 0 {
            return Err(last_error());
        }
        let semaphore = Self { id };
        // SAFETY: SETVAL takes an int.
        if unsafe { libc::semctl(id, 0, libc::SETVAL, 1) } < 0 {
            return Err(last_error());
        }
        Ok(semaphore)
    }

    /// Adds `by`, or takes it away: EAGAIN if there is not so much.
    pub(crate) fn add(&self, by: i16) -> io::Result<()> {
        self.operate(by)
    }

    /// Waits until it is 0, for no longer than `limit`, and not if it is no use: EAGAIN.
    ///
    /// It looks again and again: the call that waits has no limit of its own.
    pub(crate) fn wait_for_zero(
        &self,
        limit: Duration,
        no_use: impl Fn() -> bool,
    ) -> io::Result<()> {
        let start = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            match self.operate(0) {
                Err(io::Errno::AGAIN) if start.elapsed() < limit && !no_use() => {
                    thread::sleep(pause)
                }
                result => return result,
            }
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    fn operate(&self, by: i16) -> io::Result<()> {
        let mut operation = libc::sembuf {
            sem_num: 0,
            sem_op: by,
            // CAST: the flag is a small number.
            sem_flg: libc::IPC_NOWAIT as libc::c_short,
        };
        // SAFETY: one operation, alive.
        match unsafe { libc::semop(self.id, &raw mut operation, 1) } {
            0 => Ok(()),
            _ => Err(last_error()),
        }
    }
}

impl Drop for Semaphore {
    fn drop(&mut self) {
        // SAFETY: IPC_RMID takes no argument.
        unsafe { libc::semctl(self.id, 0, libc::IPC_RMID) };
    }
}

fn last_error() -> io::Errno {
    let code = std::io::Error::last_os_error().raw_os_error();
    io::Errno::from_raw_os_error(code.unwrap_or(libc::EIO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_zero() {
        // Any key that is free.
        let Some(semaphore) = (1..100).find_map(|n| Semaphore::create(0x0d4d_7f00 + n).ok()) else {
            panic!("no semaphore can be had");
        };
        let soon = Duration::from_millis(10);
        assert_eq!(
            semaphore.wait_for_zero(soon, || false),
            Err(io::Errno::AGAIN)
        );
        semaphore.add(1).unwrap();
        semaphore.add(-2).unwrap();
        assert_eq!(semaphore.wait_for_zero(soon, || false), Ok(()));
    }
}
