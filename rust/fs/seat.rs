// SPDX-License-Identifier: GPL-2.0

//! Who uses which part of which file.
//!
//! A table may hold several targets on one file, and `dmsetup reload` constructs the
//! new table of a device while the old one is still in use: so there is one claim a
//! file, made by the first who block-maps it and released by the last. Two different
//! devices may share a file only where they cannot see each other's writes, and no
//! file is block-mapped and file-mapped at once: what a claim forbids to others, it
//! forbids to our own writes through the file system as well.
//!
//! Lock order: the lock of a [`Slot`], then [`static@SLOTS`]. The first is held during a
//! claim, which sleeps and does I/O; nothing sleeps under the second. So a file system
//! that hangs holds up nobody but the users of one file.

use super::{
    claim::{Claim, ClaimError},
    file::BackingFile,
    reclaim::ReclaimGuard,
};
use crate::{block::Sector, dm::MappedDevice};
use kernel::{
    new_mutex,
    prelude::*,
    rbtree::{RBTree, RBTreeNode},
    sync::{global_lock, Arc, Mutex},
};

global_lock! {
    // SAFETY: initialized by `init()`, which the module calls before anything else.
    unsafe(uninit) static SLOTS: Mutex<Slots> = None;
}

/// The slots of all files in use, by the addresses of their inodes, which stay as
/// long as the files are open. [`None`] before the first.
type Slots = Option<RBTree<usize, Entry>>;

/// A slot, how many have it or are about to, and how many of those write. Each has the file
/// open while it is counted.
struct Entry {
    slot: Arc<Slot>,
    holders: usize,
    writers: usize,
}

/// The users of one file, and its claim.
#[pin_data]
struct Slot {
    #[pin]
    state: Mutex<State>,
}

/// # Invariants
///
/// All users map the file in one way; there is a claim while there are users who
/// block-map it, and only then.
#[derive(Default)]
struct State {
    claim: Option<Claim>,
    users: KVec<User>,
}

/// How a file is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mapped {
    /// To the blocks on disk.
    Blocks,
    /// Through the file system.
    File(Caching),
}

/// What goes through the page cache of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caching {
    /// Nothing.
    None,
    /// What direct I/O does not allow.
    Some,
    /// Everything.
    All,
}

/// What one target does with a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct User {
    /// The mapped device that the target is part of.
    pub(crate) device: MappedDevice,
    /// How it maps the file.
    pub(crate) mapped: Mapped,
    /// The first sector of the file that it maps.
    pub(crate) start: Sector,
    /// The first sector after that.
    pub(crate) end: Sector,
    /// Whether it writes.
    pub(crate) writable: bool,
    /// log2 of the sectors that the page cache writes back at least.
    pub(crate) page_shift: u32,
}

/// A place among the users of a file.
///
/// # Invariants
///
/// `user` is one of the users of `slot`, and counted in [`static@SLOTS`].
pub(crate) struct Seat {
    slot: Arc<Slot>,
    user: User,
    file: BackingFile,
}

/// Prepares the table of slots. See [`super::init`].
pub(super) fn init() {
    // SAFETY: called once, before any other use of the lock.
    unsafe { SLOTS.init() };
}

impl User {
    /// Whether this and `other`, on different devices, would see each other's writes, or
    /// undo them.
    fn conflicts(&self, other: &Self) -> bool {
        self.device != other.device
            && (self.writable || other.writable)
            && (self.meets(other, 0) || self.mixes(other) && self.meets(other, self.page_shift))
    }

    /// Whether some sectors of both are in one unit of `1 << shift` sectors.
    fn meets(&self, other: &Self, shift: u32) -> bool {
        let unit = |sector: u64| sector.checked_shr(shift).unwrap_or(0);
        let first = |user: &Self| unit(user.start.get());
        let last = |user: &Self| unit(user.end.get().saturating_sub(1));
        first(self) <= last(other) && first(other) <= last(self)
    }

    /// Whether one goes through the page cache where the other may not. A page that the
    /// first writes back holds what the second has meanwhile replaced on disk.
    fn mixes(&self, other: &Self) -> bool {
        !matches!(
            (self.mapped, other.mapped),
            (Mapped::File(Caching::None), Mapped::File(Caching::None))
                | (Mapped::File(Caching::All), Mapped::File(Caching::All))
                | (Mapped::Blocks, Mapped::Blocks)
        )
    }
}

impl Seat {
    /// Takes a place among the users of `file`. Whoever block-maps it is shown the
    /// claim. Process context, sleeps.
    pub(crate) fn take(
        file: BackingFile,
        user: User,
        show: impl FnOnce(&Claim),
    ) -> Result<Self, ClaimError> {
        let slot = Slot::get(&file, user.writable)?;
        match slot.join(&file, user, show) {
            // INVARIANT: just counted by `get`, and joined.
            Ok(()) => Ok(Self { slot, user, file }),
            Err(error) => {
                Slot::put(&file, user.writable);
                Err(error)
            }
        }
    }

    /// Makes the claimed file at least `size` bytes long. Process context, sleeps.
    pub(super) fn grow(&self, size: u64) -> Result<(), ClaimError> {
        // Device-mapper waits for this with I/O of the device stopped.
        let _reclaim = ReclaimGuard::enter();
        let mut state = self.slot.state.lock();
        state.claim.as_mut().ok_or(ENOENT)?.grow(&self.file, size)
    }

    /// The file.
    pub(crate) fn file(&self) -> &BackingFile {
        &self.file
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.slot.leave(self.user);
        Slot::put(&self.file, self.user.writable);
    }
}

impl Slot {
    /// The slot of `file`, counted. To be given back with [`Slot::put`].
    fn get(file: &BackingFile, writable: bool) -> Result<Arc<Self>> {
        // Not under the lock: to allocate may take long.
        let slot = Arc::pin_init(
            pin_init!(Self {
                state <- new_mutex!(State::default()),
            }),
            GFP_KERNEL,
        )?;
        let key = file.inode().as_raw().addr();
        let entry = Entry {
            slot,
            holders: 0,
            writers: 0,
        };
        let node = RBTreeNode::new(key, entry, GFP_KERNEL)?;

        let mut slots = SLOTS.lock();
        let slots = slots.get_or_insert_with(RBTree::new);
        if slots.get(&key).is_none() {
            slots.insert(node);
        }
        let entry = slots.get_mut(&key).ok_or(ENOENT)?;
        entry.holders = entry.holders.checked_add(1).ok_or(EOVERFLOW)?;
        // No more than those.
        entry.writers = entry.writers.saturating_add(writable.into());
        Ok(entry.slot.clone())
    }

    /// Gives the slot of `file` back; the last one removes it.
    fn put(file: &BackingFile, writable: bool) {
        let key = file.inode().as_raw().addr();
        let mut slots = SLOTS.lock();
        let Some(slots) = slots.as_mut() else {
            return;
        };
        let Some(entry) = slots.get_mut(&key) else {
            return;
        };
        entry.holders = entry.holders.saturating_sub(1);
        entry.writers = entry.writers.saturating_sub(writable.into());
        if entry.holders == 0 {
            slots.remove(&key);
        }
    }

    /// Whether anybody but those who have the slot of `file` has it open for writing, or mapped.
    fn has_other_writers(file: &BackingFile) -> bool {
        let key = file.inode().as_raw().addr();
        // Under the lock: who is counted cannot close the file meanwhile.
        let slots = SLOTS.lock();
        let entry = slots.as_ref().and_then(|slots| slots.get(&key));
        file.writers() > entry.map_or(0, |entry| entry.writers)
    }

    /// Adds `user`, unless it conflicts with one that is there. The first who
    /// block-maps the file makes the claim.
    fn join(
        &self,
        file: &BackingFile,
        user: User,
        show: impl FnOnce(&Claim),
    ) -> Result<(), ClaimError> {
        let mut state = self.state.lock();
        let State { claim, users } = &mut *state;
        for other in users.iter() {
            match (user.mapped, other.mapped) {
                (Mapped::Blocks, Mapped::File(_)) => return Err(ClaimError::FileMapped),
                (Mapped::File(_), Mapped::Blocks) => return Err(ClaimError::Busy),
                _ if user.conflicts(other) => return Err(ClaimError::Busy),
                _ => {}
            }
        }
        // Before the claim, so that nothing is left to undo.
        users.reserve(1, GFP_KERNEL).map_err(Error::from)?;
        match (user.mapped, &mut *claim) {
            (Mapped::File(_), _) if file.is_swapfile() => return Err(ClaimError::Busy),
            (Mapped::File(_), _) => {}
            (Mapped::Blocks, Some(claim)) => show(claim),
            (Mapped::Blocks, None) => {
                let has_others = || Self::has_other_writers(file);
                show(claim.insert(Claim::new(file, has_others)?))
            }
        }
        users.push(user, GFP_KERNEL).map_err(Error::from)?;
        Ok(())
    }

    /// Removes `user`. The last one releases the claim.
    fn leave(&self, user: User) {
        let mut state = self.state.lock();
        let State { claim, users } = &mut *state;
        if let Some(position) = users.iter().position(|other| *other == user) {
            // The error says that there is none at that position.
            let _ = users.remove(position);
        }
        if users.is_empty() {
            *claim = None;
        }
    }
}
