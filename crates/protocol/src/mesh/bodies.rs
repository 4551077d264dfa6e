//! Bodies that come, go and are asked for: what peers say of them goes to the catch-up, what they ask for is looked up and
//! given as the policy lets it.

use std::sync::Arc;

use bytes::Bytes;
use tocsin_record::run::body_fits;
use tocsin_record::{OrgId, Part, Run, planted};
use tocsin_store::{BodyState, Kv, LogNo, RecordRef, Slots, StoreError, Verdict};

use crate::admission::By;
use crate::io::{Hand, LinkId, Output};
use crate::links::budget::cost;
use crate::mesh::Mesh;
use crate::mesh::held::around;
use crate::message::body::REFS_MAX;
use crate::message::tree::PUSH_BODY_MAX;
use crate::message::{BodyData, BodyStatus, Message, RecordAt};

/// Bytes of bodies in one live frame.
const LIVE_BYTES: usize = 64 << 10;

impl<K: Kv, S: Slots> Mesh<K, S> {
    /// What a run says of bodies that are still missing here.
    pub(crate) fn note_parts(
        &mut self,
        hand: Hand,
        log: LogNo,
        run: &Run,
        out: &mut Output,
    ) -> Result<(), StoreError> {
        for entry in run.entries() {
            let place = RecordRef { log, seq: entry.header.seq };
            if !self.is_missing(place) {
                continue;
            }
            match &entry.body {
                // The run's ids were compared, so this is the body that the held header names.
                Part::Here(body) => self.take_body(place, body.clone(), hand, out)?,
                Part::Ask => {
                    if let Some(link) = hand.link() {
                        self.catchup.announced_body(&around!(self), link, place)?;
                    }
                }
                Part::Withheld => self.refused(hand.link(), place, true)?,
                Part::NotHeld | Part::Gone(_) => {}
            }
        }
        Ok(())
    }

    /// A peer will not give a body, by its word on a link or in a bundle. When nobody is left who would, it counts as withheld if somebody said so.
    fn refused(&mut self, link: Option<LinkId>, place: RecordRef, withheld: bool) -> Result<(), StoreError> {
        if self.catchup.refused(link, place, withheld) { self.admission.withhold(place) } else { Ok(()) }
    }

    pub(crate) fn heard_want_bodies(&mut self, link: LinkId, refs: &[RecordAt]) -> Result<(), StoreError> {
        let Some(peer) = self.links.peer(link) else {
            return Ok(());
        };
        let mut live = Vec::new();
        let mut live_bytes = 0;
        for what in refs.iter().take(REFS_MAX) {
            // The rest is asked for again, when the asker's patience ends.
            if !self.pays(cost::RECORD) {
                break;
            }
            let status = self.status_of_body(link, *what, peer.org)?;
            let len = if let BodyStatus::Here(body) = &status { body.len() } else { 0 };
            let data = BodyData { what: *what, status };
            if len > PUSH_BODY_MAX {
                self.tell_bulk(link, Message::Bodies(vec![data]));
                continue;
            }
            if live_bytes + len > LIVE_BYTES {
                self.tell(link, Message::Bodies(std::mem::take(&mut live)));
                live_bytes = 0;
            }
            live_bytes += len;
            live.push(data);
        }
        if !live.is_empty() {
            self.tell(link, Message::Bodies(live));
        }
        Ok(())
    }

    fn status_of_body(&mut self, link: LinkId, what: RecordAt, org: OrgId) -> Result<BodyStatus, StoreError> {
        let Some(log) = self.log_meant(link, what.log)? else {
            return Ok(BodyStatus::NotHeld);
        };
        let place = RecordRef { log, seq: what.seq };
        // Only what is committed leaves.
        let Some(stored) = self.admission.reader.record(place)? else {
            return Ok(BodyStatus::NotHeld);
        };
        if let BodyState::Gone(reason) = stored.stamped.outcome.body {
            return Ok(BodyStatus::Gone(reason));
        }
        let Some(body) = stored.entry.body() else {
            return Ok(BodyStatus::NotHeld);
        };
        if stored.stamped.outcome.verdict != Verdict::Accepted
            && !self.admission.is_carried_unread(stored.stamped.outcome.rule)
        {
            return Ok(BodyStatus::NotHeld);
        }
        let unasked = planted::is(planted::Bug::ForwardUnasked);
        let directory = Arc::clone(&self.directory);
        let by = By { directory: &directory, now: self.now };
        let way = self.admission.way(&by, log, org);
        let may = way.is_some_and(|way| self.admission.may_send(&by, &way, place, &stored.entry));
        Ok(if unasked || may { BodyStatus::Here(body.to_vec()) } else { BodyStatus::Withheld })
    }

    pub(crate) fn heard_bodies(
        &mut self,
        link: LinkId,
        bodies: Vec<BodyData>,
        out: &mut Output,
    ) -> Result<(), StoreError> {
        let mut not_held = false;
        for data in bodies {
            self.did(cost::THING);
            let Some(log) = self.log_mine(link, data.what.log) else {
                // Of no log that was ever named: nobody asked for it.
                let len = if let BodyStatus::Here(bytes) = &data.status { bytes.len() } else { 0 };
                self.did(cost::decoded(len, 1));
                continue;
            };
            let place = RecordRef { log, seq: data.what.seq };
            if !self.catchup.answered(link, place) {
                // It comes late, or nobody asked for it: that it was read at all is paid for.
                let BodyStatus::Here(bytes) = &data.status else { continue };
                self.did(cost::decoded(bytes.len(), 1));
                if !self.is_missing(place) || !self.pays(self.reading(log, place.seq)) {
                    continue;
                }
            }
            self.catchup.look_again();
            match data.status {
                BodyStatus::Here(bytes) => {
                    let Some(entry) = self.admission.store().entry(place)? else {
                        continue;
                    };
                    if !body_fits(entry.header.body_len, &entry.header.body_hash, &bytes) {
                        self.close(link, "it sent another body than the header names", out);
                        return Ok(());
                    }
                    if self.is_missing(place) {
                        let node = self.node_of(link);
                        self.catchup.gave(node, bytes.len());
                        self.take_body(place, Bytes::from(bytes), Hand::Link(link), out)?;
                    }
                }
                BodyStatus::Withheld => self.refused(Some(link), place, true)?,
                BodyStatus::NotHeld => {
                    not_held = true;
                    self.refused(Some(link), place, false)?;
                    self.catchup.seek(place);
                }
                BodyStatus::Gone(_) => self.refused(Some(link), place, false)?,
            }
        }
        if not_held {
            self.catchup.did_not_give(&around!(self), link);
        }
        Ok(())
    }

    /// A body is available that was not when its header was told: every permitted link that may lack it hears of it.
    pub(crate) fn released(&mut self, place: RecordRef, from: Option<LinkId>) -> Result<(), StoreError> {
        self.heads.released();
        let Some(entry) = self.admission.store().entry(place)? else {
            return Ok(());
        };
        let directory = Arc::clone(&self.directory);
        let by = By { directory: &directory, now: self.now };
        for link in self.links_of(place.log) {
            let Some(peer) = self.links.peer(link) else {
                continue;
            };
            let Some(way) = self.admission.way(&by, place.log, peer.org) else {
                continue;
            };
            if Some(link) == from || !self.admission.may_send(&by, &way, place, &entry) {
                continue;
            }
            if let Some(log) = self.number(link, place.log) {
                self.tell(link, Message::HaveBodies(vec![RecordAt { log, seq: place.seq }]));
            }
        }
        Ok(())
    }

    pub(crate) fn heard_have_bodies(&mut self, link: LinkId, refs: &[RecordAt]) -> Result<(), StoreError> {
        let mut before = None;
        for what in refs.iter().take(REFS_MAX) {
            let Some(log) = self.log_meant(link, what.log)? else { continue };
            let place = RecordRef { log, seq: what.seq };
            let around = &mut around!(self);
            self.catchup.announced_early(around, link, place);
            if !self.catchup.announced_by(around, link, place, &mut before)? {
                break;
            }
        }
        Ok(())
    }

    pub(crate) fn heard_holes(&mut self, link: LinkId, refs: &[RecordAt]) -> Result<(), StoreError> {
        let Some(peer) = self.links.peer(link) else {
            return Ok(());
        };
        if planted::is(planted::Bug::NoHoles) {
            return Ok(());
        }
        let directory = Arc::clone(&self.directory);
        let by = By { directory: &directory, now: self.now };
        let mut have = Vec::new();
        for what in refs.iter().take(REFS_MAX) {
            if !self.pays(cost::THING) {
                break;
            }
            let Some(log) = self.log_meant(link, what.log)? else {
                continue;
            };
            let place = RecordRef { log, seq: what.seq };
            let here = self
                .admission
                .store()
                .outcome(place)
                .is_some_and(|stamped| stamped.outcome.body == BodyState::Here);
            // What its author gives nobody, everybody asks after: that it is not here either is known without a look.
            if !here {
                continue;
            }
            if !self.pays(cost::RECORD) {
                break;
            }
            if let Some(entry) = self.admission.store().entry(place)?
                && let Some(way) = self.admission.way(&by, log, peer.org)
                && self.admission.may_send(&by, &way, place, &entry)
                && let Some(log) = self.number(link, log)
            {
                have.push(RecordAt { log, seq: what.seq });
            }
        }
        if !have.is_empty() {
            self.tell(link, Message::HaveBodies(have));
        }
        Ok(())
    }
}
