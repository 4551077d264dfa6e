//! Who acknowledged what and when: for each own record and each partner's node, when a receipt first covered it, when one
//! first said that it was taken, and what became of it there, first and last. Later receipts never replace what came first,
//! and nothing else does: it outlives the record's body, and ends with its log.
//!
//! Rests in rows of [`ROW`] records of one log by one node, as steps: neighbours that were acknowledged alike share one. In
//! clear, for no value stands in it. A step is some 8 bytes and a row's key 47, so that a partner costs at most 10 bytes a
//! record that was told of singly, and a quarter of a byte each where thousands were told of together.

use std::ops::ControlFlow;

use bincode::{Decode, Encode};
use bytes::Bytes;
use tocsin_record::{NodeKey, codec};

use crate::error::StoreError;
use crate::keys::{Keys, Kind};
use crate::kv::Kv;
use crate::outcome::{BodyState, LogNo, Outcome, RecordRef, Verdict};
use crate::reader::Reader;
use crate::slots::Slots;
use crate::store::Store;

/// Records of one log that share a row: so few that one more costs the writing of 2 KB at most.
pub const ROW: u64 = 256;
/// Most memory that reading a row may take, in bytes: a step for each record, and some room.
const ROW_MAX: usize = 64 << 10;

/// What became of a record at a partner, as far as its author is told. Appended to, never reordered: the position is what
/// stands on the wire and on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Fate {
    /// Its body is there, and was accepted.
    Accepted,
    /// It is kept from those who ask there: it waits for a person, or was refused. Which of the two is nobody else's business.
    KeptBack,
    /// Its header is there, and the body not, or not yet.
    HeaderOnly,
    /// Its body was there or was to come, and is gone: withdrawn, or ended.
    Gone,
}

impl Fate {
    /// What its author is told of a record with this outcome.
    #[must_use]
    pub fn of(outcome: &Outcome) -> Self {
        match (outcome.body, outcome.verdict) {
            (BodyState::Gone(_), _) => Self::Gone,
            (BodyState::Refused, _) | (_, Verdict::Refused) => Self::KeptBack,
            (BodyState::Here, Verdict::Accepted) => Self::Accepted,
            (BodyState::Here, Verdict::Held | Verdict::Unjudged) => Self::KeptBack,
            (BodyState::Wanted | BodyState::Withheld | BodyState::NotHeld, _) => Self::HeaderOnly,
        }
    }
}

/// What one partner's node said of one record. Times are in ms, by its clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Of the first receipt that covered it.
    pub first: u64,
    /// Of the first by which it was accepted; `None` if none said so.
    pub accepted: Option<u64>,
    /// Of the first that said what was said last.
    pub since: u64,
    /// What was said first.
    pub was: Fate,
    /// What was said last.
    pub is: Fate,
}

impl Acknowledgement {
    fn new(fate: Fate, time: u64) -> Self {
        let accepted = (fate == Fate::Accepted).then_some(time);
        Self { first: time, accepted, since: time, was: fate, is: fate }
    }

    /// A further receipt covers it. What is older than what was said last says nothing of how it stands.
    fn again(&mut self, fate: Fate, time: u64) {
        if fate != self.is && time >= self.since {
            (self.is, self.since) = (fate, time);
        }
        if fate == Fate::Accepted {
            self.accepted.get_or_insert(time);
        }
    }
}

/// Neighbours in a row that were acknowledged alike, or not at all.
#[derive(Encode, Decode)]
struct Step {
    count: u32,
    said: Option<StepSaid>,
}

#[derive(Encode, Decode)]
struct StepSaid {
    /// To the step before that was acknowledged.
    first: i64,
    /// From `first` on, with one more; 0 for none.
    accepted: u64,
    /// From `first` on.
    since: u64,
    was: Fate,
    is: Fate,
}

type Row = Vec<Option<Acknowledgement>>;

fn encode(row: &[Option<Acknowledgement>]) -> Bytes {
    let mut before = 0;
    let step = |alike: &[Option<Acknowledgement>]| {
        let said = alike[0].map(|said| {
            let first = said.first.wrapping_sub(before) as i64;
            before = said.first;
            let accepted = said.accepted.map_or(0, |at| 1 + at.saturating_sub(said.first));
            StepSaid { first, accepted, since: said.since - said.first, was: said.was, is: said.is }
        });
        Step { count: alike.len() as u32, said }
    };
    let steps: Vec<Step> = row.chunk_by(|a, b| a == b).map(step).collect();
    codec::encode(&steps).into()
}

/// A row that does not read is no row: it says nothing that a node could not go on without.
fn decode(bytes: &[u8]) -> Row {
    let steps: Vec<Step> = codec::decode::<_, ROW_MAX>(bytes).unwrap_or_default();
    let mut row = Row::new();
    let mut before = 0u64;
    for Step { count, said } in steps {
        let said = said.map(|said| {
            let first = before.wrapping_add(said.first as u64);
            before = first;
            let accepted = said.accepted.checked_sub(1).map(|after| first.saturating_add(after));
            let since = first.saturating_add(said.since);
            Acknowledgement { first, accepted, since, was: said.was, is: said.is }
        });
        let room = ROW as usize - row.len();
        row.extend(std::iter::repeat_n(said, room.min(count as usize)));
    }
    row
}

impl Keys {
    /// Key of a row, and of where those of all nodes for the same records begin.
    fn acknowledged(&self, log: LogNo, row: u64, peer: u16) -> Vec<u8> {
        let mut key = self.at(Kind::Receipts, log, row);
        key.extend_from_slice(&peer.to_be_bytes());
        key
    }
}

impl<K: Kv, S: Slots> Store<K, S> {
    /// Keeps what a node's receipt of this time says of the records up to `last`: how many have which fate, newest first.
    /// Returns how many rows were looked at, or none where the node has no number here.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn acknowledge(
        &mut self,
        log: LogNo,
        node: &NodeKey,
        time: u64,
        last: u64,
        fates: &[(u32, Fate)],
    ) -> Result<usize, StoreError> {
        self.alive()?;
        let peer = self.intern_peer(node)?;
        if peer == 0 {
            return Ok(0);
        }
        let each = fates.iter().flat_map(|(count, fate)| std::iter::repeat_n(*fate, *count as usize));
        let mut said: Vec<(u64, Fate)> = (1..=last).rev().zip(each).collect();
        said.reverse();
        let mut rows = 0;
        for of_row in said.chunk_by(|a, b| a.0 / ROW == b.0 / ROW) {
            rows += 1;
            let key = self.shared.keys.acknowledged(log, of_row[0].0 / ROW, peer);
            let before = self.staged_get(&key)?;
            let mut row = before.as_deref().map(decode).unwrap_or_default();
            for (seq, fate) in of_row {
                let at = (seq % ROW) as usize;
                row.resize(row.len().max(at + 1), None);
                match &mut row[at] {
                    Some(said) => said.again(*fate, time),
                    none => *none = Some(Acknowledgement::new(*fate, time)),
                }
            }
            let row = encode(&row);
            if before.as_ref() != Some(&row) {
                self.staged.batch.put(key, row);
            }
        }
        Ok(rows)
    }

    /// What a partner's node said of a record, staged changes included.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn acknowledgement(
        &self,
        place: RecordRef,
        node: &NodeKey,
    ) -> Result<Option<Acknowledgement>, StoreError> {
        let peer = self.shared.state().peers.iter().position(|known| known == node);
        let Some(peer) = peer.and_then(|peer| u16::try_from(peer).ok()) else { return Ok(None) };
        let key = self.shared.keys.acknowledged(place.log, place.seq / ROW, peer);
        Ok(self.staged_get(&key)?.and_then(|row| *decode(&row).get((place.seq % ROW) as usize)?))
    }

    /// How many of the records `first..=last` have which fate here, newest first, in at most `most` pieces. `last` is a
    /// record that is here. Sees staged changes.
    #[must_use]
    pub fn fates(&self, log: LogNo, first: u64, last: u64, most: usize) -> Vec<(u32, Fate)> {
        let mut pieces: Vec<(u64, Fate)> = Vec::new();
        if let Some(known) = self.shared.state().log(log) {
            for (_, count, stamped) in known.spans.within(first.max(1), last) {
                pieces.push((count, Fate::of(&stamped.outcome)));
            }
        }
        let changed = |seq| self.staged.changes.contains_key(&RecordRef { log, seq });
        let places = RecordRef { log, seq: first }..=RecordRef { log, seq: last };
        if self.staged.changes.range(places).next().is_some() {
            let mut next = (last + 1).saturating_sub(pieces.iter().map(|(count, _)| count).sum());
            let singly = pieces.into_iter().flat_map(|piece| std::iter::repeat_n(piece.1, piece.0 as usize));
            pieces = singly
                .map(|fate| {
                    let place = RecordRef { log, seq: next };
                    next += 1;
                    let now = changed(place.seq).then(|| self.outcome(place)).flatten();
                    (1, now.map_or(fate, |stamped| Fate::of(&stamped.outcome)))
                })
                .collect();
        }
        pieces.reverse();
        let alike = pieces.chunk_by(|a, b| a.1 == b.1);
        let piece = |alike: &[(u64, Fate)]| (alike.iter().map(|(count, _)| *count as u32).sum(), alike[0].1);
        alike.map(piece).take(most).collect()
    }

    /// What was acknowledged of records that are dropped goes with them, row by row.
    pub(crate) fn drop_acknowledged(&mut self, log: LogNo, below: u64) -> Result<(), StoreError> {
        let (from, to) = (self.shared.keys.at(Kind::Receipts, log, 0), below / ROW);
        let to = self.shared.keys.at(Kind::Receipts, log, to);
        let mut keys = Vec::new();
        self.shared.kv.range(&from, &to, &mut |key, _| {
            keys.push(key.to_vec());
            ControlFlow::Continue(())
        })?;
        keys.into_iter().for_each(|key| self.staged.batch.remove(key));
        Ok(())
    }
}

impl<K: Kv, S: Slots> Reader<K, S> {
    /// What each partner's node said of a record by its receipts; nothing of one that another node wrote.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn acknowledged(&self, place: RecordRef) -> Result<Vec<(NodeKey, Acknowledgement)>, StoreError> {
        let keys = &self.shared.keys;
        let row = place.seq / ROW;
        let (from, to) =
            (keys.at(Kind::Receipts, place.log, row), keys.at(Kind::Receipts, place.log, row + 1));
        let mut found = Vec::new();
        self.shared.kv.range(&from, &to, &mut |key, value| {
            let said = value.ok().and_then(|row| *decode(&row).get((place.seq % ROW) as usize)?);
            let peer = Keys::rest(key).get(12..).and_then(|peer| <[u8; 2]>::try_from(peer).ok());
            found.extend(peer.map(u16::from_be_bytes).zip(said));
            ControlFlow::Continue(())
        })?;
        Ok(found.into_iter().filter_map(|(peer, said)| Some((self.peer(peer)?, said))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(first: u64, fate: Fate) -> Option<Acknowledgement> {
        Some(Acknowledgement::new(fate, first))
    }

    #[test]
    fn what_came_first_stays_and_what_is_older_says_nothing_of_now() {
        let mut one = Acknowledgement::new(Fate::KeptBack, 100);
        one.again(Fate::Accepted, 200);
        one.again(Fate::Gone, 300);
        one.again(Fate::Accepted, 250);
        one.again(Fate::Gone, 400);
        let told = (one.first, one.accepted, one.since, one.was, one.is);
        assert_eq!(told, (100, Some(200), 300, Fate::KeptBack, Fate::Gone));
    }

    #[test]
    fn rows_read_back_and_neighbours_share_a_step() {
        let mut row: Row = vec![None, None];
        row.extend((0..150).map(|_| said(1_800_000_000_000, Fate::Accepted)));
        row.push(said(1_800_000_001_000, Fate::HeaderOnly));
        let mut late = said(1_799_999_999_000, Fate::KeptBack);
        late.as_mut().unwrap().again(Fate::Accepted, 1_800_000_500_000);
        row.push(late);
        let bytes = encode(&row);
        assert_eq!(decode(&bytes), row);
        assert!(bytes.len() < 50, "{} bytes for four steps", bytes.len());
        let singly: Row = (0..ROW).map(|n| said(1_800_000_000_000 + 1_000 * n, Fate::Accepted)).collect();
        let bytes = encode(&singly);
        assert_eq!(decode(&bytes), singly);
        assert!(bytes.len() < 10 * ROW as usize && bytes.len() < ROW_MAX, "{} bytes", bytes.len());
        assert_eq!(decode(b"no row"), Row::new());
    }

    #[test]
    fn a_fate_tells_no_more_than_is_decent() {
        let of = |verdict, body| Fate::of(&Outcome { verdict, body, rule: 1, from: 1, received: 1 });
        assert_eq!(of(Verdict::Accepted, BodyState::Here), Fate::Accepted);
        assert_eq!(of(Verdict::Held, BodyState::Here), of(Verdict::Refused, BodyState::Refused));
        assert_eq!(of(Verdict::Refused, BodyState::NotHeld), Fate::KeptBack);
        assert_eq!(of(Verdict::Unjudged, BodyState::Withheld), of(Verdict::Unjudged, BodyState::Wanted));
        assert_eq!(of(Verdict::Accepted, BodyState::Gone(2)), Fate::Gone);
    }
}
