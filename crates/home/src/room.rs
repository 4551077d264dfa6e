//! How much room the disk of a home has, and what that allows: the only place that judges it.
//!
//! ```text
//!  free of size:   100 % ......... LOW ............... SPENT ........ 0
//!                       all goes on | it is told, in     | what only takes room is refused as well;
//!                                   | `status` and log   | retractions, lookups and policies go on
//! ```

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use tocsin_text as text;

/// Room is low with less than one in so many bytes free,
const LOW_SHARE: u64 = 10;
/// or with less than this, in bytes: whichever is less.
const LOW_MOST: u64 = 1 << 30;
/// Room is spent with less than one in so many bytes free,
const SPENT_SHARE: u64 = 50;
/// or with less than this, in bytes: whichever is less. What is left is for what takes reports back, for what partners
/// send, and for the store to compact in.
const SPENT_MOST: u64 = 256 << 20;

/// What the room on a disk allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// All goes on.
    Ample,
    /// All goes on, and people are told.
    Low,
    /// This node's people write nothing new.
    Spent,
}

impl Level {
    /// Of a file system of so many bytes, of which so many are free.
    #[must_use]
    pub fn of(free: u64, size: u64) -> Self {
        if free < SPENT_MOST.min(size / SPENT_SHARE) {
            Self::Spent
        } else if free < LOW_MOST.min(size / LOW_SHARE) {
            Self::Low
        } else {
            Self::Ample
        }
    }
}

/// The room on the disk of a home, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// The home.
    pub home: PathBuf,
    /// Bytes that this node may still write.
    pub free: u64,
    /// Bytes of the file system.
    pub size: u64,
}

/// The disk of a home has no room for anything new.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0}, so nothing new is written: make room on it, then try again; reports can still be taken back and values looked \
     up"
)]
pub struct NoRoom(Room);

impl Room {
    /// Asks the system, which answers from memory for a disk of this machine.
    ///
    /// # Errors
    /// What the system says.
    pub fn of(home: &Path) -> io::Result<Self> {
        let told = rustix::fs::statvfs(home)?;
        Ok(Self {
            home: home.to_owned(),
            free: told.f_bavail.saturating_mul(told.f_frsize),
            size: told.f_blocks.saturating_mul(told.f_frsize),
        })
    }

    /// What the room allows.
    #[must_use]
    pub fn level(&self) -> Level {
        Level::of(self.free, self.size)
    }

    /// What people are told, unless there is room enough.
    #[must_use]
    pub fn alarm(&self) -> Option<String> {
        match self.level() {
            Level::Ample => None,
            Level::Low => Some(format!(
                "{self}: make room; with much less this node publishes, shares and imports nothing"
            )),
            Level::Spent => {
                Some(format!("{self}: make room; until then this node publishes, shares and imports nothing"))
            }
        }
    }

    /// Whether something new may be written.
    ///
    /// # Errors
    /// [`NoRoom`] once the room is spent.
    pub fn for_new(self) -> Result<(), NoRoom> {
        if self.level() == Level::Spent { Err(NoRoom(self)) } else { Ok(()) }
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (free, size) = (text::bytes(self.free), text::bytes(self.size));
        write!(f, "the disk of {} has only {free} free of {size}", self.home.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    #[test]
    fn the_lesser_of_share_and_bytes_is_the_bound() {
        // A small disk is judged by its share,
        assert_eq!(Level::of(100 * MIB, 1000 * MIB), Level::Ample);
        assert_eq!(Level::of(100 * MIB - 1, 1000 * MIB), Level::Low);
        assert_eq!(Level::of(20 * MIB, 1000 * MIB), Level::Low);
        assert_eq!(Level::of(20 * MIB - 1, 1000 * MIB), Level::Spent);
        // a large one by bytes.
        assert_eq!(Level::of(GIB, 4000 * GIB), Level::Ample);
        assert_eq!(Level::of(GIB - 1, 4000 * GIB), Level::Low);
        assert_eq!(Level::of(256 * MIB, 4000 * GIB), Level::Low);
        assert_eq!(Level::of(256 * MIB - 1, 4000 * GIB), Level::Spent);
        // Full, and a file system that tells no size, as some of the network do: nothing is known of its room.
        assert_eq!(Level::of(0, GIB), Level::Spent);
        assert_eq!(Level::of(0, 0), Level::Ample);
        assert_eq!(Level::of(u64::MAX, u64::MAX), Level::Ample);
    }

    #[test]
    fn what_is_told_names_the_disk_the_bytes_and_what_to_do() {
        let room = |free| Room { home: "/srv/aa".into(), free, size: 1000 * MIB };
        assert_eq!(room(100 * MIB).alarm(), None);
        let low = room(50 * MIB).alarm().unwrap();
        assert!(
            low.starts_with("the disk of /srv/aa has only 50.0 MiB free of 1000.0 MiB: make room;"),
            "{low}"
        );
        room(20 * MIB).for_new().unwrap();
        let refused = room(MIB).for_new().unwrap_err().to_string();
        assert!(refused.starts_with("the disk of /srv/aa has only 1.0 MiB free of"), "{refused}");
        assert!(refused.contains("make room on it"), "{refused}");
    }
}
