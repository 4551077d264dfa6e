//! What spreading and catching up see of the rest of a node while they work: what is held, and the links.

use tocsin_record::{Header, LogKey, OrgId};
use tocsin_store::{LogNo, RecordRef, StoreError};

use crate::io::LinkId;
use crate::links::Links;
use crate::links::budget::cost;
use crate::message::LinkNo;

/// So many records at the end of a log are in the page that was written last: copies of them come all the time.
const AT_HAND: u64 = 256;

/// What may be asked of what is held. Nothing is changed by it.
pub(crate) trait Held {
    /// The name of a log, as it is committed: no other is told.
    fn name(&self, log: LogNo) -> Option<LogKey>;

    /// Whether this node and an org share the circle of a log: only then it is spoken of on a link to it.
    fn shares(&self, org: OrgId, log: LogNo) -> bool;

    /// The number of the last record of a log whose header is held, 0 if there is none.
    fn height(&self, log: LogNo) -> u64;

    /// Greatest number that is taken of a log: below a fork or up to a cut, else no end.
    fn takes_up_to(&self, log: LogNo) -> u64;

    /// Whether the header of a record is held, and its body is wanted and not here.
    fn is_missing(&self, place: RecordRef) -> bool;

    /// At most so many places of missing bodies from one on, in order.
    fn missing(&self, from: RecordRef, most: usize) -> Vec<RecordRef>;

    /// The header of a record, if it is held.
    ///
    /// # Errors
    /// On a disk fault.
    fn header(&self, place: RecordRef) -> Result<Option<Header>, StoreError>;

    /// What it costs to read the record at a place: the last is at hand, and those just before it nearly so.
    fn reading(&self, log: LogNo, seq: u64) -> u64 {
        match self.height(log).saturating_sub(seq) {
            0 => cost::ANSWER,
            1..AT_HAND => cost::RECORD,
            _ => cost::PAGE,
        }
    }
}

/// The rest of a node, lent for one input.
pub(crate) struct Around<'a, H> {
    pub held: H,
    pub links: &'a mut Links,
    /// The monotonic clock, in ms.
    pub mono: u64,
}

impl<H: Held> Around<'_, H> {
    /// This node's number for a log on a link.
    pub fn number(&mut self, link: LinkId, log: LogNo) -> Option<LinkNo> {
        let name = self.held.name(log)?;
        self.links.number(link, name)
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use std::collections::{BTreeMap, BTreeSet};

    use tocsin_record::{BodyHash, CircleId, Class, MeshId, NodeKey, RecordId};

    use super::*;

    /// What a test says to be held: of each log its height, and which bodies are missing. All share all of it.
    #[derive(Default)]
    pub(crate) struct Shelf {
        pub heights: BTreeMap<LogNo, u64>,
        pub missing: BTreeSet<RecordRef>,
    }

    impl Shelf {
        /// One log of so many records, of which all bodies are missing.
        pub(crate) fn lacking(log: LogNo, height: u64) -> Self {
            let missing = (1..=height).map(|seq| RecordRef { log, seq }).collect();
            Self { heights: BTreeMap::from([(log, height)]), missing }
        }
    }

    impl Held for &Shelf {
        fn name(&self, log: LogNo) -> Option<LogKey> {
            let author = NodeKey([u8::try_from(log.0).ok()?; 32]);
            Some(LogKey { mesh: MeshId([1; 32]), author, circle: CircleId([2; 32]), epoch: 3 })
        }

        fn shares(&self, _: OrgId, _: LogNo) -> bool {
            true
        }

        fn height(&self, log: LogNo) -> u64 {
            self.heights.get(&log).copied().unwrap_or(0)
        }

        fn takes_up_to(&self, _: LogNo) -> u64 {
            u64::MAX
        }

        fn is_missing(&self, place: RecordRef) -> bool {
            self.missing.contains(&place)
        }

        fn missing(&self, from: RecordRef, most: usize) -> Vec<RecordRef> {
            self.missing.range(from..).take(most).copied().collect()
        }

        fn header(&self, place: RecordRef) -> Result<Option<Header>, StoreError> {
            let name = self.name(place.log).filter(|_| place.seq <= self.height(place.log));
            Ok(name.map(|name| Header {
                suite: 0,
                class: Class::Content,
                kind: 1,
                tlp: 0,
                flags: 0,
                mesh: name.mesh,
                author: name.author,
                circle: name.circle,
                epoch: name.epoch,
                seq: place.seq,
                prev: RecordId::ZERO,
                time: place.seq,
                expires: 0,
                roster: 0,
                extension: Vec::new(),
                body_len: 100,
                body_hash: BodyHash::ZERO,
            }))
        }
    }
}
