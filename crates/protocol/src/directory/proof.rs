//! What shows to anybody, from the mesh's first charter on, who signs with a key, and that its org was in a circle.

use tocsin_record::document::Signed;
use tocsin_record::{CircleId, NodeKey};

use super::Directory;

/// Documents in the order of their versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// All versions of the charter.
    pub charters: Vec<Signed>,
    /// The certificate of the node, also where it was revoked since.
    pub certificate: Option<Signed>,
    /// All versions of the revocations, where the last names the node or its org.
    pub revocations: Vec<Signed>,
    /// The versions of the circle's roster up to the one asked for; none of a circle that has no roster.
    pub rosters: Vec<Signed>,
}

impl Directory {
    /// What shows that a node was one of the mesh, and in a circle by a version of its roster. Nothing of later versions is in
    /// it: who came in since is nobody's business who is shown one record.
    #[must_use]
    pub fn proof(&self, node: NodeKey, circle: CircleId, roster: u32) -> Proof {
        let known = self.certificates.get(&node);
        let is_revoked = known.is_some_and(|known| self.is_revoked(known.document.org, node));
        let revocations = self.revocations.iter().filter(|_| is_revoked);
        let rosters = self.circles.chain(circle).map_or(Vec::new(), |chain| chain.signed_up_to(roster));
        Proof {
            charters: self.charters.clone(),
            certificate: known.map(|known| known.signed.clone()),
            revocations: revocations.map(|(_, signed)| signed.clone()).collect(),
            rosters,
        }
    }
}
