//! What the parts may ask of what is held, answered from the store and the directory.

use tocsin_record::{CircleId, Header, LogKey, OrgId};
use tocsin_store::{Kv, LogNo, RecordRef, Slots, StoreError};

use crate::admission::Admission;
use crate::directory::Directory;
use crate::held::Held;
use crate::io::LinkId;
use crate::mesh::Mesh;
use crate::message::LinkNo;

/// What is held, and who may hear of it.
pub(crate) struct Holdings<'a, K, S> {
    pub admission: &'a Admission<K, S>,
    pub directory: &'a Directory,
}

impl<K: Kv, S: Slots> Held for Holdings<'_, K, S> {
    fn name(&self, log: LogNo) -> Option<LogKey> {
        self.admission.reader.log(log).map(|info| info.key)
    }

    fn shares(&self, org: OrgId, log: LogNo) -> bool {
        let own = self.admission.identity.org;
        self.name(log).is_some_and(|name| self.directory.membership(name.circle).is_shared(own, org))
    }

    fn height(&self, log: LogNo) -> u64 {
        self.admission.height(log)
    }

    fn takes_up_to(&self, log: LogNo) -> u64 {
        let counts = self.admission.reader.log(log).map_or(u64::MAX, |info| {
            self.directory.membership(info.key.circle).counts_up_to(info.org, &info.key)
        });
        self.admission.takes_up_to(log).min(counts)
    }

    fn is_missing(&self, place: RecordRef) -> bool {
        self.admission.store().outcome(place).is_some_and(|stamped| stamped.outcome.body.is_missing())
    }

    fn missing(&self, from: RecordRef, most: usize) -> Vec<RecordRef> {
        self.admission.store().wanted(from, most)
    }

    fn header(&self, place: RecordRef) -> Result<Option<Header>, StoreError> {
        Ok(self.admission.store().entry(place)?.map(|entry| entry.header))
    }
}

/// The rest of a mesh as its parts for spreading and catching up see it, borrowed apart from them.
macro_rules! around {
    ($mesh:expr) => {
        crate::held::Around {
            held: crate::mesh::held::Holdings { admission: &$mesh.admission, directory: &$mesh.directory },
            links: &mut $mesh.links,
            mono: $mesh.now.mono,
        }
    };
}
pub(crate) use around;

impl<K: Kv, S: Slots> Mesh<K, S> {
    fn holdings(&self) -> Holdings<'_, K, S> {
        Holdings { admission: &self.admission, directory: &self.directory }
    }

    /// Whether this node and an org share a circle: only then it is spoken of on a link to it.
    pub(crate) fn shares(&self, org: OrgId, circle: CircleId) -> bool {
        self.directory.membership(circle).is_shared(self.admission.identity.org, org)
    }

    pub(crate) fn height(&self, log: LogNo) -> u64 {
        self.admission.height(log)
    }

    /// Greatest number that is taken of a log: below a fork, up to where it is cut since its org was taken out, else no end.
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

    pub(crate) fn circle_of(&self, log: LogNo) -> Option<CircleId> {
        self.holdings().name(log).map(|name| name.circle)
    }

    /// This node's number for a log on a link.
    pub(crate) fn number(&mut self, link: LinkId, log: LogNo) -> Option<LinkNo> {
        around!(self).number(link, log)
    }
}
