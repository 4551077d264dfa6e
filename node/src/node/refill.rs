//! What a damaged store left behind: it is kept until the node has refilled from its partners, then destroyed.

use std::path::Path;
use std::sync::Arc;

use tracing::{error, info};

use super::keep::Health;
use super::{Node, read, write};

/// Nothing may be missing for so long before the refill counts as complete, in ms: partners are still coming in.
const QUIET_MS: u64 = 5_000;

/// Watches one refill.
#[derive(Debug, Default)]
pub(super) struct Refill {
    /// Since when nothing is missing, in ms.
    since: Option<u64>,
}

impl Refill {
    /// True once everything that partners hold has been here for a while. A node without partners never refills.
    fn is_complete(&mut self, health: &Health, max_age: u64) -> bool {
        let whole = !health.heard.is_empty()
            && health.silent(max_age).next().is_none()
            && health.missing.is_empty()
            && health.behind == 0;
        if !whole {
            self.since = None;
            return false;
        }
        health.at.saturating_sub(*self.since.get_or_insert(health.at)) >= QUIET_MS
    }

    /// Destroys the store that was set aside, if there is one and the refill is complete.
    pub async fn look(&mut self, node: &Arc<Node>, health: &Health) {
        let Some(aside) = read(&node.aside).clone() else { return };
        if !self.is_complete(health, node.config.max_age_ms()) {
            return;
        }
        let folder = node.home.store_folder();
        match tokio::task::spawn_blocking(move || tocsin_store::destroy_aside(&folder)).await {
            Ok(Ok(_)) => {
                info!(aside = %aside.display(), "the refill is complete: the damaged store was destroyed");
            }
            Ok(Err(source)) => {
                error!(%source, aside = %aside.display(), "the damaged store could not be destroyed: remove it by hand");
            }
            // Told where it happened; the next start tries again.
            Err(_) => {}
        }
        *write(&node.aside) = None;
    }
}

/// What `status` says while a damaged store is set aside.
pub(super) fn alarm(aside: &Path) -> String {
    format!(
        "a damaged store was set aside in {} and this node refills from its partners; it is destroyed when every \
         partner was heard and nothing is missing. What only this node held, such as its own circle, is not refilled",
        aside.display()
    )
}

#[cfg(test)]
mod tests {
    use tocsin_record::OrgId;

    use super::*;

    #[test]
    fn a_refill_is_complete_when_every_partner_was_heard_and_nothing_is_missing() {
        let max_age = 600_000;
        let at = |at: u64, heard: u64, behind: u64, missing: u64| Health {
            at,
            heard: [(OrgId([1; 32]), heard)].into(),
            missing: if missing > 0 { [(OrgId([1; 32]), missing)].into() } else { [].into() },
            behind,
            ..Health::default()
        };
        let now = 1_800_000_000_000;
        let mut refill = Refill::default();
        assert!(
            !refill.is_complete(&Health { at: now, ..Health::default() }, max_age),
            "nobody to refill from"
        );
        for (heard, behind, missing) in [(0, 0, 0), (now, 1, 0), (now, 0, 7)] {
            for later in [0, QUIET_MS, 2 * QUIET_MS] {
                assert!(!refill.is_complete(&at(now + later, heard, behind, missing), max_age));
            }
        }
        assert!(!refill.is_complete(&at(now, now, 0, 0), max_age), "not at the first look");
        assert!(!refill.is_complete(&at(now + 1, now, 0, 7), max_age), "something came up");
        assert!(!refill.is_complete(&at(now + QUIET_MS, now, 0, 0), max_age), "it begins anew");
        assert!(refill.is_complete(&at(now + 2 * QUIET_MS, now, 0, 0), max_age));
    }
}
