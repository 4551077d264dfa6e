//! How much a peer may make this node do: every question costs what answering it costs, out of a budget that fills again
//! with time, and answers wait in bounded memory. A question that is over the budget is not answered; whoever asks
//! honestly asks again, with the next comparison at the latest.

/// One unit is about ten microseconds of the core's thread. A full budget is half a second of it.
const FULL: i64 = 50_000;
/// Filled again in each ms: a quarter of the core's thread at most.
const PER_MS: i64 = 25;
/// Most bytes of answers that wait for one link in one commit; pages wait for the next one beyond it.
pub(crate) const ANSWERS_MAX: usize = 8 << 20;

/// What questions and idle talk cost, in units.
pub(crate) mod cost {
    /// A page of the store that must be read and decoded.
    pub const PAGE: usize = 200;
    /// One record out of a page that was read, and the policy's word on it.
    pub const RECORD: usize = 5;
    /// A document that is read and looked for among those in force.
    const DOCUMENT: usize = 10;
    /// A signature that is verified.
    pub const SIGNATURE: usize = 6;
    /// Anything at all.
    pub const LEAST: usize = 1;

    /// A page that came and brought nothing new, by the bytes and records that were read.
    pub fn decoded(bytes: usize, records: usize) -> usize {
        (bytes + 256 * records) >> 10
    }

    /// Walking over so many things that are at hand.
    pub fn walk(things: usize) -> usize {
        LEAST + things / 8
    }

    /// A document of so many bytes and signatures that does not come into force.
    pub fn document(bytes: usize, signatures: usize) -> usize {
        DOCUMENT + (bytes >> 12) + SIGNATURE * signatures
    }
}

/// What one link may still ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    left: i64,
    at: u64,
}

impl Effort {
    pub fn new(mono: u64) -> Self {
        Self { left: FULL, at: mono }
    }

    /// Takes `units`, if any are left: what is begun may cost more than there is, and the rest is owed.
    pub fn take(&mut self, mono: u64, units: usize) -> bool {
        let passed = i64::try_from(mono.saturating_sub(self.at)).unwrap_or(i64::MAX);
        self.left = self.left.saturating_add(passed.saturating_mul(PER_MS)).min(FULL);
        self.at = mono;
        let can = self.left > 0;
        self.left = self.left.saturating_sub(i64::try_from(units).unwrap_or(i64::MAX));
        can
    }

    /// Whether more is owed than a full budget: not by questions alone, which end when nothing is left.
    pub fn owes_too_much(&self) -> bool {
        self.left < -FULL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_ends_and_fills_again() {
        let mut effort = Effort::new(0);
        let all = usize::try_from(FULL).unwrap();
        assert!(effort.take(0, all - 1) && effort.take(0, all));
        assert!(!effort.take(0, 1) && !effort.take(1000, 1), "what was begun is owed");
        assert!(effort.take(4000, 1));
        assert!(!effort.owes_too_much());
        effort.take(4000, 2 * all + 1);
        assert!(effort.owes_too_much());
        assert!(effort.take(u64::MAX, usize::MAX), "no clock is too far");
    }
}
