// SPDX-License-Identifier: GPL-2.0

//! A device-mapper target named `loop`: a regular file as a block device.
//!
//! ```text
//! dmsetup create loop0 --table "0 2048 loop /tmp/img0 0"
//! ```
//!
//! Three layers, each using only those before it:
//!
//! | layer | modules | what |
//! | --- | --- | --- |
//! | 0 | [`bindings`] | the C side, as generated |
//! | 1 | [`dm`], [`block`], [`fs`] | safe device-mapper, block layer, files |
//! | 2 | [`target`] | the loop target: policy, no `unsafe` |
//!
//! This file registers the target and does nothing else.

mod bindings;
mod block;
mod dm;
mod fs;
mod target;

use kernel::prelude::*;

module! {
    type: DmLoop,
    name: "dm_loop",
    authors: ["The dm-loop authors"],
    description: "device-mapper target that maps a regular file",
    license: "GPL",
}

/// The loaded module.
#[pin_data]
struct DmLoop {
    #[pin]
    target: dm::Registration<target::Loop>,
    // Dropped last: devices need them.
    workqueue: fs::Workqueue,
    placeholder: block::Placeholder,
}

impl kernel::InPlaceModule for DmLoop {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        fs::init();
        try_pin_init!(Self {
            workqueue: fs::Workqueue::new()?,
            placeholder: block::Placeholder::new()?,
            target <- dm::Registration::new(module),
        })
    }
}
