// SPDX-License-Identifier: GPL-2.0

//! The pure files of `rust/target`, under the paths that they have in the module.

#[path = "../../../../rust/target/alignment.rs"]
pub(crate) mod alignment;
#[path = "../../../../rust/target/message.rs"]
pub(crate) mod message;
#[path = "../../../../rust/target/placement.rs"]
pub(crate) mod placement;
#[path = "../../../../rust/target/table.rs"]
pub(crate) mod table;
#[path = "../../../../rust/target/window.rs"]
pub(crate) mod window;
