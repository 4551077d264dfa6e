//! Bugs on purpose: each makes the product break one promise, so that the oracle for it can be seen to notice: the
//! simulator's (`crates/sim`), or that of imports (`crates/imports`).
//!
//! Without the feature `planted`, which nothing but these two ask for, [`is`] is a constant and nothing of this is
//! in the program.

use std::sync::atomic::{AtomicU8, Ordering};

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Bug {
    /// Every signature of a run is good.
    SkipVerify = 1,
    /// A body that is asked for is given, whatever the policy says.
    ForwardUnasked,
    /// Nobody answers which missing bodies it has.
    NoHoles,
    /// A commit does not wait for the disk.
    AckBeforeFlush,
    /// Links are gone through in an order that differs from run to run.
    IterateRandom,
    /// What is accepted only when it is judged anew does not enter the index.
    AnewUnanswered,
    /// Keys of what was erased are not overwritten.
    KeepKeys,
    /// Records end a day early.
    ExpireEarly,
    /// A peer may talk of any number of logs that hold nothing.
    EmptyUnbounded,
    /// Whoever did not give what it announced is asked again before all others.
    AskTheSame,
    /// An author that said two things is listened to all the same.
    TakeForked,
    /// What was refused for its body counts as not seen.
    ForgetRefusal,
    /// Keys of what was erased are overwritten, but nobody waits for the disk.
    SkipSlotSync,
    /// What is new in a circle goes to those who were taken out as well.
    KeepPushing,
    /// Whoever comes into a circle is given the keys of what was written before.
    OpenHistory,
    /// Rosters are told to all of the mesh.
    TellRosters,
    /// What a part of an object names beside its own marking does not bind it.
    LoosenMarking,
    /// Versions of an object are compared at seconds.
    OldWins,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::SkipVerify,
        Self::ForwardUnasked,
        Self::NoHoles,
        Self::AckBeforeFlush,
        Self::IterateRandom,
        Self::AnewUnanswered,
        Self::KeepKeys,
        Self::ExpireEarly,
        Self::EmptyUnbounded,
        Self::AskTheSame,
        Self::TakeForked,
        Self::ForgetRefusal,
        Self::SkipSlotSync,
        Self::KeepPushing,
        Self::OpenHistory,
        Self::TellRosters,
        Self::LoosenMarking,
        Self::OldWins,
    ];
}

static PLANTED: AtomicU8 = AtomicU8::new(0);

/// Plants one bug, or none, in this process.
pub fn plant(bug: Option<Bug>) {
    PLANTED.store(bug.map_or(0, |bug| bug as u8), Ordering::Relaxed);
}

/// Whether a bug is planted.
#[must_use]
#[inline]
pub fn is(bug: Bug) -> bool {
    cfg!(feature = "planted") && PLANTED.load(Ordering::Relaxed) == bug as u8
}
