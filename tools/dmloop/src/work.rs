// SPDX-License-Identifier: GPL-2.0

//! Long work on a file: progress, and ending early in good order.

use crate::{
    failure::{Exit, Failure},
    interrupt,
    sys::Lease,
};
use indicatif::{ProgressBar, ProgressStyle};

/// How much is done between two looks at the signals.
pub(crate) const CHUNK: usize = 1 << 20;

/// Long work, counted in bytes.
#[derive(Debug)]
pub(crate) struct Work(ProgressBar);

impl Work {
    /// Nothing is done yet.
    pub(crate) fn begin(quiet: bool) -> Self {
        let bar = if quiet {
            ProgressBar::hidden()
        } else {
            ProgressBar::new(0)
        };
        let style = ProgressStyle::with_template(
            "{msg} {bar:30} {percent:>3}% of {total_bytes}, {eta} left",
        );
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Begins a part of the work.
    pub(crate) fn part(&self, what: &'static str, bytes: u64) {
        self.0.set_length(bytes);
        self.0.set_position(0);
        self.0.set_message(what);
    }

    /// So much has been done. An error if it is time to end.
    pub(crate) fn done(&self, bytes: usize, lease: Option<&Lease<'_>>) -> Result<(), Failure> {
        self.0.inc(u64::try_from(bytes).unwrap_or(0));
        self.may_go_on(lease)
    }

    /// An error if it is time to end.
    pub(crate) fn may_go_on(&self, lease: Option<&Lease<'_>>) -> Result<(), Failure> {
        interrupt::none(
            "interrupted: the file contains what it did before; run it again to go on",
        )?;
        if lease.is_some_and(Lease::is_wanted) {
            return Err(Failure::new(
                Exit::Busy,
                "another program has opened the file: it contains what it did before; run it again when that has closed it",
            ));
        }
        Ok(())
    }

    /// Takes the progress off the screen.
    pub(crate) fn end(&self) {
        self.0.finish_and_clear();
    }
}
