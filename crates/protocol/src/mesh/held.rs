//! What the parts may ask of what is held, answered from the store and the directory.

use tocsin_record::{CircleId, Header, LogKey, OrgId, RecordId};
use tocsin_store::{Kv, LogNo, Reader, RecordRef, Slots, Standing, Store, StoreError};

use crate::directory::Directory;
use crate::held::Held;
use crate::io::LinkId;
use crate::mesh::Mesh;
use crate::message::LinkNo;

/// What is held, and who may hear of it.
pub(crate) struct Holdings<'a, K, S> {
    pub store: &'a Store<K, S>,
    pub reader: &'a Reader<K, S>,
    pub directory: &'a Directory,
    /// The org of this node.
    pub own: OrgId,
}

impl<K: Kv, S: Slots> Held for Holdings<'_, K, S> {
    fn name(&self, log: LogNo) -> Option<LogKey> {
        self.reader.log(log).map(|info| info.key)
    }

    fn shares(&self, org: OrgId, log: LogNo) -> bool {
        self.name(log).is_some_and(|name| self.directory.share(self.own, org, name.circle))
    }

    fn height(&self, log: LogNo) -> u64 {
        self.store.tip(log).map_or(0, |tip| tip.seq)
    }

    fn takes_up_to(&self, log: LogNo) -> u64 {
        match self.store.standing(log) {
            Some(Standing::Open) => u64::MAX,
            Some(Standing::Forked { at }) => at - 1,
            Some(Standing::Cut { at, .. }) => at,
            None => 0,
        }
    }

    fn is_missing(&self, place: RecordRef) -> bool {
        self.store.outcome(place).is_some_and(|stamped| stamped.outcome.body.is_missing())
    }

    fn missing(&self, from: RecordRef, most: usize) -> Vec<RecordRef> {
        self.store.wanted(from, most)
    }

    fn header(&self, place: RecordRef) -> Result<Option<Header>, StoreError> {
        Ok(self.store.entry(place)?.map(|entry| entry.header))
    }
}

/// The rest of a mesh as its parts for spreading and catching up see it, borrowed apart from them.
macro_rules! around {
    ($mesh:expr) => {
        crate::held::Around {
            held: crate::mesh::held::Holdings {
                store: &$mesh.store,
                reader: &$mesh.reader,
                directory: &$mesh.directory,
                own: $mesh.identity.org,
            },
            links: &mut $mesh.links,
            mono: $mesh.now.mono,
        }
    };
}
pub(crate) use around;

impl<K: Kv, S: Slots> Mesh<K, S> {
    fn holdings(&self) -> Holdings<'_, K, S> {
        let Self { store, reader, directory, .. } = self;
        Holdings { store, reader, directory, own: self.identity.org }
    }

    /// Whether this node and an org share a circle: only then it is spoken of on a link to it.
    pub(crate) fn shares(&self, org: OrgId, circle: CircleId) -> bool {
        self.directory.share(self.identity.org, org, circle)
    }

    pub(crate) fn height(&self, log: LogNo) -> u64 {
        self.holdings().height(log)
    }

    /// Greatest number that is taken of a log: below a fork or up to a cut, else no end.
    pub(crate) fn takes_up_to(&self, log: LogNo) -> u64 {
        self.holdings().takes_up_to(log)
    }

    pub(crate) fn is_missing(&self, place: RecordRef) -> bool {
        self.holdings().is_missing(place)
    }

    /// What it costs to read the record at a place.
    pub(crate) fn reading(&self, log: LogNo, seq: u64) -> u64 {
        self.holdings().reading(log, seq)
    }

    pub(crate) fn base(&self, log: LogNo) -> u64 {
        self.reader.log(log).map_or(0, |info| info.base.seq)
    }

    pub(crate) fn circle_of(&self, log: LogNo) -> Option<CircleId> {
        self.holdings().name(log).map(|name| name.circle)
    }

    /// The id of a record whose header is held.
    pub(crate) fn id_at(&self, log: LogNo, seq: u64) -> Result<Option<RecordId>, StoreError> {
        if let Some(tip) = self.store.tip(log)
            && tip.seq == seq
        {
            return Ok(Some(tip.id));
        }
        Ok(self.store.entry(RecordRef { log, seq })?.map(|entry| entry.id))
    }

    /// This node's number for a log on a link.
    pub(crate) fn number(&mut self, link: LinkId, log: LogNo) -> Option<LinkNo> {
        around!(self).number(link, log)
    }
}
