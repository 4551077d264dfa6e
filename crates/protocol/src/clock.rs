//! One verdict on this machine's clock: what signs, holds, ends, lapses or is called complete asks it, and nothing else
//! compares the wall clock with anything.
//!
//! ```text
//! what this store knew last (kept with the sign of life) + monotonic time --> expected --\
//! the median of other orgs' clocks, by their own heads ----------------------> peers -----> Reading
//! a person's word (`tocsin clock confirm`) ----------------------------------> anchor ----/
//! ```
//!
//! A wall clock may be wrong by years after a flat battery, a restored machine or a bad time server, and what ends by it
//! is erased for good. So a later time is believed as long as monotonic time says the same, or when other orgs' clocks or a
//! person do; never because it was seen before: what was observed while nothing was due would count when something is. An
//! earlier one is late, and does no harm but to what is signed.
//!
//! What ends by a time is erased no earlier than [`TOLERANCE_MS`] before it by monotonic time, however often the clock is set by
//! less than that, and whatever voices agree; only a person, or others who agree for [`SETTLE_MS`], say that more time
//! passed. What is shown goes by what they say at once: what is hidden by mistake is shown again.
//!
//! No org's clock counts for more than one voice, and none outweighs a clock that went on evenly since others or a person
//! confirmed it: it takes more than half of all voices to overrule that.

use std::fmt;

use bincode::{Decode, Encode};

use crate::io::Now;

/// Clocks that differ by no more than this agree, in ms; a record this far ahead keeps its place and is held until then.
pub(crate) const TOLERANCE_MS: u64 = 600_000;
/// Where a single org of several confirms a time that nothing else speaks for, nothing is erased for so long, in ms: others
/// are still coming in.
const SETTLE_MS: u64 = 600_000;
/// A sign of life older than this does not let a log go on, in ms.
const ALIVE_MS: u64 = 600_000;
/// Wall clock and monotonic clock that part by more than this open new epochs, in ms.
const PARTED_MS: u64 = 10_000;

/// What is to be thought of this machine's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// It agrees with what is known.
    #[default]
    Trusted,
    /// It is ahead of the clocks of other orgs.
    Ahead {
        /// By how much.
        by_ms: u64,
    },
    /// It is behind the clocks of other orgs, or behind what this store knew already.
    Behind {
        /// By how much.
        by_ms: u64,
    },
    /// It is later than this store can know, and no other org's clock was heard: time passed while the machine was off, or
    /// the clock was set.
    Unknown {
        /// How much later.
        by_ms: u64,
    },
}

impl Reading {
    /// Whether it agrees with what is known: what else is false of an answer, it may be called complete.
    #[must_use]
    pub fn is_trusted(self) -> bool {
        self == Self::Trusted
    }

    /// For people: what follows from it, and what mends it.
    #[must_use]
    pub fn text(self) -> String {
        let stops = match self {
            Self::Trusted => return self.to_string(),
            Self::Behind { .. } => "nothing is called complete and nothing can be published",
            Self::Ahead { .. } | Self::Unknown { .. } => {
                "nothing is erased, lapses or is called complete, and nothing can be published"
            }
        };
        format!("{self}: {stops} until it is set right, or `tocsin clock confirm` says that it is right")
    }

    /// Whether two say the same, whatever the span.
    fn is_like(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

/// One sentence without its end.
impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Trusted => write!(f, "this machine's clock agrees with what is known"),
            Self::Ahead { by_ms } => {
                write!(f, "this machine's clock is {} ahead of its partners' clocks", Span(by_ms))
            }
            Self::Behind { by_ms } => {
                write!(
                    f,
                    "this machine's clock is {} behind what its partners or its own records say",
                    Span(by_ms)
                )
            }
            Self::Unknown { by_ms } => write!(
                f,
                "this machine's clock is {} later than this node can know, and no partner's clock confirms it",
                Span(by_ms)
            ),
        }
    }
}

struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, unit) = match self.0 / 60_000 {
            minutes @ 0..120 => (minutes, "minutes"),
            minutes @ 120..2_880 => (minutes / 60, "hours"),
            minutes => (minutes / 1_440, "days"),
        };
        write!(f, "{count} {unit}")
    }
}

/// What is kept in the store with the sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Kept {
    boot: [u8; 16],
    /// The time that was known to have come, in ms, and the monotonic clock then.
    time: u64,
    mono: u64,
    sure: bool,
    held: bool,
    /// The time that has come at least, in ms.
    least: u64,
}

/// What an older version of this program kept in place of [`Kept`].
#[derive(Encode, Decode)]
pub(crate) struct KeptBefore {
    boot: [u8; 16],
    time: u64,
    mono: u64,
    sure: bool,
    held: bool,
}

impl From<KeptBefore> for Kept {
    fn from(KeptBefore { boot, time, mono, sure, held }: KeptBefore) -> Self {
        Self { boot, time, mono, sure, held, least: time }
    }
}

/// The last sign of life, which lets a node's own logs go on.
#[derive(Clone, Copy, Debug, Encode, Decode)]
pub(crate) struct Alive {
    boot: [u8; 16],
    wall: u64,
    mono: u64,
}

impl Alive {
    pub fn new(boot: [u8; 16], now: Now) -> Self {
        Self { boot, wall: now.wall, mono: now.mono }
    }

    /// Whether this is the same boot of the machine, a moment later by both clocks.
    pub fn is_fresh(&self, boot: [u8; 16], now: Now) -> bool {
        let (Some(wall), Some(mono)) = (now.wall.checked_sub(self.wall), now.mono.checked_sub(self.mono))
        else {
            return false;
        };
        self.boot == boot && wall < ALIVE_MS && wall.abs_diff(mono) < PARTED_MS
    }

    /// What an older version of this program kept in place of [`Kept`].
    pub fn known(&self) -> Kept {
        Kept { boot: self.boot, time: self.wall, mono: self.mono, sure: true, held: false, least: self.wall }
    }
}

/// A time that was known to have come when the monotonic clock stood at `mono`.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    time: u64,
    mono: u64,
    /// Other orgs or a person confirmed it, at this start or before; else it is only what the machine said first.
    sure: bool,
    /// A person confirmed it against the clocks of other orgs: they do not count until this clock jumps or the machine
    /// starts anew.
    held: bool,
}

impl Anchor {
    /// The time by now, if all went on evenly.
    fn expected(&self, mono: u64) -> u64 {
        self.time.saturating_add(mono.saturating_sub(self.mono))
    }
}

/// The time that has come at least. Where the anchor follows each step of the wall clock that the others agree with, and so
/// may be led on by many small ones, this goes by monotonic time alone: a wall clock that differs from it by more than clocks
/// may moves it once it was agreed with for [`SETTLE_MS`]. Also after a time that nobody measured: that the others agree says
/// no more at a start than later.
#[derive(Clone, Copy, Debug)]
struct Least {
    time: u64,
    mono: u64,
    /// The machine was off since, or this is its first start: more time passed than its monotonic clock can tell.
    was_off: bool,
    /// Since when, by the monotonic clock, the wall clock is trusted and says something else.
    apart_since: Option<u64>,
}

impl Least {
    fn at(time: u64, mono: u64) -> Self {
        Self { time, mono, was_off: false, apart_since: None }
    }

    fn expected(&self, mono: u64) -> u64 {
        self.time.saturating_add(mono.saturating_sub(self.mono))
    }

    /// The wall clock as it is now. `trusted`: it agrees with what is known and with all voices that are heard; `widely`: with
    /// those of more than one org, if there are more.
    fn follow(&mut self, now: Now, trusted: bool, widely: bool) {
        let least = self.expected(now.mono);
        if !trusted || agree(least, now.wall) {
            self.apart_since = None;
            self.was_off &= !(trusted && widely);
            return;
        }
        let since = *self.apart_since.get_or_insert(now.mono);
        if now.mono.saturating_sub(since) >= SETTLE_MS {
            *self = Self::at(now.wall, now.mono);
        }
    }
}

/// What the clocks said when the monotonic clock stood at `mono`: the two in the middle, which are one if they are odd.
#[derive(Clone, Copy, Debug)]
struct Voices {
    lower: u64,
    upper: u64,
    mono: u64,
}

/// The clock of one node.
#[derive(Debug)]
pub(crate) struct Clock {
    anchor: Anchor,
    least: Least,
    voices: Option<Voices>,
    reading: Reading,
    /// A time that one org of several confirmed: nothing ends by it before the monotonic clock says so. Until then it is as
    /// late as it was known to be.
    settling: Option<(u64, Anchor)>,
    /// The latest time, in ms, by which anything may have been judged to have come.
    reached: u64,
    /// Wall and monotonic clock when they were last found to go on together.
    together: Now,
}

impl Clock {
    /// At a start. Without anything kept the machine is believed: there is nothing yet that could be erased.
    pub fn open(boot: [u8; 16], kept: Option<Kept>, now: Now) -> Self {
        let first = Anchor { time: now.wall, mono: now.mono, sure: false, held: false };
        let anchor = match kept {
            None => first,
            // The same boot: monotonic time tells how much passed.
            Some(Kept { boot: of, time, mono, sure, held, .. }) if of == boot && mono <= now.mono => {
                Anchor { time, mono, sure, held }
            }
            Some(kept) if agree(kept.time, now.wall) => Anchor { sure: kept.sure, ..first },
            // How long the machine was off nobody can say.
            Some(kept) => Anchor { time: kept.time, ..first },
        };
        let least = match kept {
            None => Least { was_off: true, ..Least::at(now.wall, now.mono) },
            Some(kept) if kept.boot == boot && kept.mono <= now.mono => Least::at(kept.least, kept.mono),
            Some(kept) => Least { was_off: true, ..Least::at(kept.least, now.mono) },
        };
        let reached = kept.map_or(now.wall, |kept| kept.time.max(now.wall));
        // What is to be thought of it is judged, and said, with the first look.
        Self {
            anchor,
            least,
            reached,
            voices: None,
            reading: Reading::Trusted,
            settling: None,
            together: now,
        }
    }

    /// What is kept for the next start: never the wall clock, but what is known.
    pub fn kept(&self, boot: [u8; 16], now: Now) -> Kept {
        let Anchor { sure, held, .. } = self.anchor;
        let (time, least) = (self.anchor.expected(now.mono), self.least.expected(now.mono));
        Kept { boot, time, mono: now.mono, sure, held, least }
    }

    /// Judges the clock at the time of an input. True if the verdict is another than before.
    pub fn look(&mut self, now: Now) -> bool {
        let reading = self.read(now);
        let before = std::mem::replace(&mut self.reading, reading);
        !before.is_like(reading)
    }

    /// Hears what the clocks of other orgs say now, one voice each, of `others` in the mesh.
    pub fn hear(&mut self, now: Now, mut voices: Vec<u64>, others: usize) {
        let expected = self.anchor.expected(now.mono);
        let orgs = voices.len();
        if orgs > 0 && self.anchor.sure && agree(expected, now.wall) {
            voices.push(now.wall);
        }
        voices.sort_unstable();
        self.voices = voices.get(voices.len() / 2).map(|upper| Voices {
            lower: voices[(voices.len() - 1) / 2],
            upper: *upper,
            mono: now.mono,
        });
        let agreed = self
            .voices
            .is_some_and(|Voices { lower, upper, .. }| agree(lower, now.wall) && agree(upper, now.wall));
        if agreed {
            if orgs >= others.min(2) {
                self.settling = None;
            } else if !agree(expected, now.wall) {
                self.settling = Some((now.mono.saturating_add(SETTLE_MS), self.anchor));
            }
            self.anchor = Anchor { time: now.wall, mono: now.mono, sure: true, held: false };
        }
        let trusted = self.anchor.sure && self.read(now).is_trusted();
        self.least.follow(now, trusted, agreed && orgs >= others.min(2));
    }

    /// A person says that the wall clock is right. `against_peers`: also where the clocks of other orgs say otherwise.
    ///
    /// # Errors
    /// The reading, where other orgs' clocks contradict and the person did not say so.
    pub fn confirm(&mut self, now: Now, against_peers: bool) -> Result<(), Reading> {
        let said = self.voices.map_or(Reading::Trusted, |voices| voices.read(now));
        if !said.is_trusted() && !against_peers {
            return Err(said);
        }
        self.anchor = Anchor { time: now.wall, mono: now.mono, sure: true, held: !said.is_trusted() };
        self.least = Least::at(now.wall, now.mono);
        self.settling = None;
        Ok(())
    }

    fn read(&self, now: Now) -> Reading {
        let expected = self.anchor.expected(now.mono);
        let even = agree(expected, now.wall);
        let by_itself = if even {
            Reading::Trusted
        } else if now.wall > expected {
            Reading::Unknown { by_ms: now.wall - expected }
        } else {
            Reading::Behind { by_ms: expected - now.wall }
        };
        match self.voices {
            Some(voices) if !(self.anchor.held && even) => match voices.read(now) {
                Reading::Trusted if !even => by_itself,
                said => said,
            },
            _ => by_itself,
        }
    }

    /// Whether other orgs or a person confirmed it, or it goes on from where they did.
    pub fn is_sure(&self) -> bool {
        self.anchor.sure
    }

    /// The verdict at the last look.
    pub fn reading(&self) -> Reading {
        self.reading
    }

    /// The time, as far as it is known, in ms: where the wall clock is wrong, that of the others or what this node expects.
    pub fn time(&self, now: Now) -> u64 {
        match self.reading {
            Reading::Trusted => now.wall,
            Reading::Behind { by_ms } => now.wall.saturating_add(by_ms),
            Reading::Ahead { by_ms } | Reading::Unknown { by_ms } => now.wall.saturating_sub(by_ms),
        }
    }

    /// The latest time that has come beyond doubt, in ms: what ended by it is asked for and judged no more, and its body may
    /// go. Never later than the wall clock.
    pub fn passed(&self, now: Now) -> u64 {
        self.known(now).min(self.latest(now))
    }

    /// The latest time that may be taken to have come, in ms: what ended by it is not shown. Later than [`Self::passed`] after
    /// the machine was off: how long it was the others know better. Never later than the wall clock.
    pub fn shown(&self, now: Now) -> u64 {
        if self.least.was_off { self.known(now).min(now.wall) } else { self.passed(now) }
    }

    fn known(&self, now: Now) -> u64 {
        match self.settling {
            Some((until, before)) if now.mono < until => before.expected(now.mono),
            _ => self.time(now),
        }
    }

    /// What ends by then may be over, in ms: the wall clock, or what monotonic time supports and as much as clocks may differ,
    /// whichever is less. So nothing is over earlier than that before its end, whatever other clocks say, as long as they do
    /// not all agree for [`SETTLE_MS`] with a clock that is wrong.
    fn latest(&self, now: Now) -> u64 {
        now.wall.min(self.least.expected(now.mono).saturating_add(TOLERANCE_MS))
    }

    /// Whether a time that somebody stated has not come, by more than clocks may differ.
    pub fn is_ahead(&self, now: Now, time: u64) -> bool {
        time > self.time(now).saturating_add(TOLERANCE_MS)
    }

    /// Up to which time what ends may be erased now, in ms; `None` while nothing may.
    pub fn erases_up_to(&self, now: Now) -> Option<u64> {
        let certain = matches!(self.reading, Reading::Trusted | Reading::Behind { .. });
        let settled = self.settling.is_none_or(|(until, _)| now.mono >= until);
        (certain && settled).then(|| self.latest(now))
    }

    /// Whether the clock is trusted and says an earlier time than it did when it was trusted before: what had come by that has
    /// not come yet.
    pub fn went_back(&mut self, now: Now) -> bool {
        if !self.reading.is_trusted() {
            return false;
        }
        let back = now.wall.saturating_add(TOLERANCE_MS) < self.reached;
        self.reached = if back { now.wall } else { self.reached.max(now.wall) };
        back
    }

    /// Whether the machine's clock was set since this was last asked: wall and monotonic clock parted.
    pub fn was_set(&mut self, now: Now) -> bool {
        let passed = now.mono.saturating_sub(self.together.mono);
        let set = now.wall.abs_diff(self.together.wall.saturating_add(passed)) > PARTED_MS;
        if set {
            self.together = now;
        }
        set
    }
}

impl Voices {
    /// What they say of the wall clock: trusted also where half of them say one thing and half another.
    fn read(&self, now: Now) -> Reading {
        let since = now.mono.saturating_sub(self.mono);
        let (lower, upper) = (self.lower.saturating_add(since), self.upper.saturating_add(since));
        if now.wall > upper.saturating_add(TOLERANCE_MS) {
            Reading::Ahead { by_ms: now.wall - upper }
        } else if lower > now.wall.saturating_add(TOLERANCE_MS) {
            Reading::Behind { by_ms: lower - now.wall }
        } else {
            Reading::Trusted
        }
    }
}

/// Whether a time is not later than the wall clock, right or wrong as that may be, by more than clocks may differ.
pub(crate) fn not_beyond(now: Now, time: u64) -> bool {
    time <= now.wall.saturating_add(TOLERANCE_MS)
}

fn agree(one: u64, other: u64) -> bool {
    one.abs_diff(other) <= TOLERANCE_MS
}

#[cfg(test)]
mod tests;
