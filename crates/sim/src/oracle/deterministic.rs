//! The same seed gives the same run: a hash over every event in its order.

use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher13};

/// The hash of a run so far.
#[derive(Clone, Debug)]
pub struct Trace(SipHasher13);

impl Default for Trace {
    fn default() -> Self {
        Self(SipHasher13::new())
    }
}

impl Trace {
    /// Something happened.
    pub fn add(&mut self, at_us: u64, what: u8, who: usize, bytes: &[u8]) {
        self.0.write_u64(at_us);
        self.0.write_u8(what);
        self.0.write_u64(who as u64);
        self.0.write_u64(bytes.len() as u64);
        self.0.write(bytes);
    }

    /// The hash, as text.
    #[must_use]
    pub fn hash(&self) -> String {
        format!("{:032x}", self.0.finish128().as_u128())
    }
}
