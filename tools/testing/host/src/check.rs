// SPDX-License-Identifier: GPL-2.0

//! Properties: functions that panic where the module's code and its model disagree.

mod layout;
mod line;

pub use self::{
    layout::{layout, Step},
    line::line,
};
#[cfg(test)]
pub(crate) use self::{
    layout::{map_of, map_within, Map, VecStore},
    line::print,
};
