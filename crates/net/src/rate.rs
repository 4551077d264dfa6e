//! How often something may happen.

use std::time::Duration;

use tokio::time::Instant;

/// A bound in the form of a bucket that fills with time.
#[derive(Clone, Copy)]
pub(super) struct Rate {
    pub(super) a_second: f64,
    pub(super) at_once: f64,
}

/// What is left of one.
#[derive(Clone, Copy)]
pub(super) struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn full(rate: Rate, now: Instant) -> Self {
        Self { left: rate.at_once, at: now }
    }

    pub(super) fn take(&mut self, rate: Rate, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * rate.a_second).min(rate.at_once);
        self.at = now;
        let there = self.left >= 1.0;
        if there {
            self.left -= 1.0;
        }
        there
    }

    /// How long nobody asked.
    pub(super) fn rested(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.at)
    }
}
