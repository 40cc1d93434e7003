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
pub(crate) struct Work {
    bar: ProgressBar,
    /// What is true of the file if it ends early.
    kept: &'static str,
}

impl Work {
    /// Nothing is done yet. `kept` says what the file is if it ends early.
    pub(crate) fn begin(quiet: bool, kept: &'static str) -> Self {
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
        Self { bar, kept }
    }

    /// Begins a part of the work.
    pub(crate) fn part(&self, what: &'static str, bytes: u64) {
        self.bar.set_length(bytes);
        self.bar.set_position(0);
        self.bar.set_message(what);
    }

    /// So much has been done. An error if it is time to end.
    pub(crate) fn done(&self, bytes: usize, lease: Option<&Lease<'_>>) -> Result<(), Failure> {
        self.bar.inc(u64::try_from(bytes).unwrap_or(0));
        self.may_go_on(lease)
    }

    /// An error if it is time to end.
    pub(crate) fn may_go_on(&self, lease: Option<&Lease<'_>>) -> Result<(), Failure> {
        interrupt::none(&format!(
            "interrupted: {}; run it again to go on",
            self.kept
        ))?;
        if lease.is_some_and(Lease::is_wanted) {
            return Err(Failure::new(
                Exit::Busy,
                format!(
                    "another program has opened the file: {}; run it again when that has closed it",
                    self.kept
                ),
            ));
        }
        Ok(())
    }

    /// Takes the progress off the screen.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
