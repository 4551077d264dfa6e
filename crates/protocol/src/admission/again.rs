//! What a clock far ahead took back is taken back again when it is right.
//!
//! Who believed that clock then has erased; the others take nothing of that log before its time comes. So the report would
//! stand with some for as long as the clock was ahead, years maybe, and its author would believe that it was taken back
//! everywhere. A report that was written by such a clock is held at its author as with all who took it, and waits for people.

use std::collections::BTreeSet;

use rand_chacha::rand_core::Rng;
use tocsin_record::CircleId;
use tocsin_record::body::Body;
use tocsin_record::body::retraction::Retraction;
use tocsin_store::{Kv, LogNo, RecordRef, Slots, StoreError};

use crate::admission::write::{Asker, Queued};
use crate::admission::{Admission, By};

impl<K: Kv, S: Slots> Admission<K, S> {
    /// Queues the retractions that stand in logs of this node whose time has not come, and that it has not said since. What
    /// cannot be written now is found the next time.
    ///
    /// # Errors
    /// On a disk fault.
    pub(crate) fn say_again(&mut self, by: &By<'_>, random: &mut impl Rng) -> Result<(), StoreError> {
        if !self.clock.reading().is_trusted() || !self.clock.is_ahead(by.now, self.writer.highest()) {
            return Ok(());
        }
        let mut ahead: BTreeSet<(CircleId, LogNo)> = BTreeSet::new();
        for info in self.reader.logs() {
            if info.key.author == self.node && self.clock.is_ahead(by.now, info.key.epoch) {
                ahead.insert((info.key.circle, info.no));
            }
        }
        let circles: BTreeSet<CircleId> = ahead.iter().map(|(circle, _)| *circle).collect();
        for circle in circles {
            for withdrawal in self.reader.withdrawals(self.identity.org, circle) {
                if ahead.contains(&(circle, withdrawal.record.log)) {
                    self.take_back_again(by, random, circle, withdrawal.record)?;
                }
            }
        }
        Ok(())
    }

    fn take_back_again(
        &mut self,
        by: &By<'_>,
        random: &mut impl Rng,
        circle: CircleId,
        place: RecordRef,
    ) -> Result<(), StoreError> {
        let Some(said) = self.retraction(place)? else { return Ok(()) };
        let is_of_now = |place: &RecordRef| {
            let log = self.store.key(place.log);
            log.is_some_and(|log| log.author == self.node && !self.clock.is_ahead(by.now, log.epoch))
        };
        let named = said.versions.first().map(|version| self.store.naming(&version.id));
        if named.is_none_or(|places| places.iter().any(is_of_now)) {
            return Ok(());
        }
        let mut salt = [0; 16];
        random.fill_bytes(&mut salt);
        if let Ok(drafts) = self.drafts(by, circle, &[Body::Retraction(Retraction { salt, ..said })]) {
            self.queue(Queued { asker: Asker::Again(place), circle, drafts });
        }
        Ok(())
    }

    fn retraction(&self, place: RecordRef) -> Result<Option<Retraction>, StoreError> {
        let entry = self.store.entry(place)?;
        Ok(match entry.as_ref().and_then(Body::of) {
            Some(Ok(Body::Retraction(said))) => Some(said),
            _ => None,
        })
    }
}
