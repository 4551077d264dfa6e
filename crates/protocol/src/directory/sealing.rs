//! The sealing keys that certificates name.

use std::collections::BTreeMap;

use tocsin_record::document::Certificate;
use tocsin_record::{CircleId, NodeKey, OrgId};
use tocsin_seal::{KeyError, SUITE, SealingPublic};

use super::Directory;

/// The key that is sealed to for a node; `None` if its certificate names none of a suite that this node knows.
///
/// # Errors
/// If it is one that nothing is wrapped for: the fault of the org that certified it.
pub(super) fn sealing_key(certificate: &Certificate) -> Result<Option<SealingPublic>, KeyError> {
    certificate
        .sealing_keys()
        .find(|(suite, _)| *suite == SUITE)
        .map(|(_, key)| SealingPublic::new(key))
        .transpose()
}

fn has_sealing_key(certificate: &Certificate) -> bool {
    certificate.sealing_keys().any(|(suite, _)| suite == SUITE)
}

impl Directory {
    /// How many nodes stand before one among those of [`Self::sealed_to`].
    pub(crate) fn sealed_before(&self, circle: CircleId, node: NodeKey) -> usize {
        let nodes = self.membership(circle).nodes();
        nodes.filter(|(other, certificate)| *other < node && has_sealing_key(certificate)).count()
    }

    /// The nodes of some orgs that have sealing keys, with those, in order of record key.
    #[must_use]
    pub fn sealed_to_orgs(&self, orgs: &[OrgId]) -> BTreeMap<NodeKey, SealingPublic> {
        let nodes = orgs.iter().flat_map(|org| self.nodes_of(*org));
        // As below.
        nodes.filter_map(|(node, certificate)| Some((node, sealing_key(certificate).ok()??))).collect()
    }

    /// The nodes of a circle's members that have sealing keys, with those, in order of record key: whom a key is wrapped for.
    #[must_use]
    pub fn sealed_to(&self, circle: CircleId) -> BTreeMap<NodeKey, SealingPublic> {
        let nodes = self.membership(circle).nodes();
        // Each key was checked when its certificate was taken.
        nodes.filter_map(|(node, certificate)| Some((node, sealing_key(certificate).ok()??))).collect()
    }
}
