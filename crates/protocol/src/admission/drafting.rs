//! What this node's people ask to be written, as drafts: of bodies as they are, of what is taken back the retractions that
//! name all its versions. Nothing is queued before all of a request is drafted.

use std::collections::BTreeMap;

use rand_chacha::rand_core::Rng;
use tocsin_record::body::Body;
use tocsin_record::body::report::Subject;
use tocsin_record::body::retraction::{Retraction, VERSIONS_MAX, Version};
use tocsin_record::run::Draft;
use tocsin_record::{CircleId, Entry};
use tocsin_store::{Kv, Slots, StoreError};

use crate::admission::write::{Asker, QUEUE_MAX, Queued};
use crate::admission::{Admission, By};
use crate::io::{Now, RequestError, Ticket, Write};

/// What is to be written, by its circle.
type Drafts = Vec<(CircleId, Vec<Draft>)>;

impl<K: Kv, S: Slots> Admission<K, S> {
    /// Queues what this node's people write and take back as one, for the next commit.
    ///
    /// # Errors
    /// Inside, why it cannot be written; then nothing is queued.
    pub(crate) fn queue_writes(
        &mut self,
        by: &By<'_>,
        random: &mut impl Rng,
        ticket: Ticket,
        writes: &[Write],
    ) -> Result<Result<(), RequestError>, StoreError> {
        let mut all: Drafts = Vec::new();
        for write in writes {
            let drafted = match write {
                Write::Bodies { circle, bodies } => {
                    self.drafts(by, *circle, bodies).map(|drafts| vec![(*circle, drafts)])
                }
                Write::TakeBack { circle, subject, reason } => {
                    self.retractions(by, random, *subject, *reason, Some(*circle))?
                }
                Write::Retract { subject, reason } => {
                    self.retractions(by, random, *subject, *reason, None)?
                }
            };
            match drafted {
                Ok(drafts) => all.extend(drafts),
                Err(error) => return Ok(Err(error)),
            }
        }
        if self.writer.queued + all.iter().map(|(_, drafts)| drafts.len()).sum::<usize>() > QUEUE_MAX {
            return Ok(Err(RequestError::Busy));
        }
        for (circle, drafts) in all {
            self.queue(Queued { asker: Asker::People(ticket), circle, drafts });
        }
        Ok(Ok(()))
    }

    pub(super) fn drafts(
        &self,
        by: &By<'_>,
        circle: CircleId,
        bodies: &[Body],
    ) -> Result<Vec<Draft>, RequestError> {
        if self.writer.queued + bodies.len() > QUEUE_MAX {
            return Err(RequestError::Busy);
        }
        if !by.directory.membership(circle).has(self.identity.org) {
            return Err(RequestError::NotMember(circle));
        }
        let roster = by.directory.membership(circle).version();
        bodies.iter().map(|body| Self::draft(by.now, roster, body)).collect()
    }

    fn draft(now: Now, roster: u32, body: &Body) -> Result<Draft, RequestError> {
        let kind =
            body.kind().ok_or_else(|| RequestError::Draft("this node cannot write such a body".into()))?;
        let (tlp, flags) =
            body.marking().map_or((0, 0), |marking| (marking.tlp.code(), marking.flags().word()));
        let expires = body.marking().and_then(|marking| marking.retain_until).unwrap_or(0);
        Ok(Draft {
            kind,
            tlp,
            flags,
            time: now.wall,
            expires,
            roster,
            extension: Vec::new(),
            body: body.encode().into(),
        })
    }

    /// What takes a report of this org back: in one circle, or in every one that it was shared to and that the org is still in.
    fn retractions(
        &self,
        by: &By<'_>,
        random: &mut impl Rng,
        subject: Subject,
        reason: u16,
        only: Option<CircleId>,
    ) -> Result<Result<Drafts, RequestError>, StoreError> {
        let org = self.identity.org;
        let mut circles: BTreeMap<CircleId, Vec<Version>> = BTreeMap::new();
        for place in self.reader.copies(org, subject) {
            // A retraction names no more of them: the others are not read.
            let circle = self.store.key(place.log).map(|log| log.circle);
            if circle.and_then(|circle| circles.get(&circle)).is_some_and(|all| all.len() >= VERSIONS_MAX) {
                continue;
            }
            let Some(stored) = self.reader.record(place)? else {
                continue;
            };
            let Entry { header, id, .. } = &stored.entry;
            let version = Version { author: header.author, epoch: header.epoch, seq: header.seq, id: *id };
            circles.entry(header.circle).or_default().push(version);
        }
        circles.retain(|circle, _| only.is_none_or(|only| *circle == only));
        circles.retain(|circle, _| self.store.withdrawn(org, *circle, subject).is_none());
        if circles.is_empty() {
            return Ok(Err(RequestError::NoReport(subject)));
        }
        // Where the org is no longer in, nobody takes its word any more: that keeps it from no other circle.
        let is_in = |circle: &CircleId| by.directory.membership(*circle).has(org);
        if circles.keys().any(is_in) {
            circles.retain(|circle, _| is_in(circle));
        }
        let mut all = Vec::with_capacity(circles.len());
        for (circle, mut versions) in circles {
            versions.truncate(VERSIONS_MAX);
            let mut salt = [0; 16];
            random.fill_bytes(&mut salt);
            let body =
                Body::Retraction(Retraction { salt, subject, versions, reason, extension: Vec::new() });
            match self.drafts(by, circle, &[body]) {
                Ok(drafts) => all.push((circle, drafts)),
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(all))
    }
}
