//! What a damaged store left behind: it is kept until the node has refilled from its partners and for a day at least,
//! then destroyed. What only this node held is in it and nowhere else, and nobody can tell from here whether that was
//! anything.

use std::path::{Path, PathBuf};

use tocsin_clock as clock;
use tocsin_home::files;
use tracing::{error, info, warn};

use crate::health::Health;
use crate::{Engine, read, write};

/// Nothing may be missing for so long before the refill counts as complete, in ms: partners are still coming in.
const QUIET_MS: u64 = 5_000;
/// The file in a store that was set aside that says since when, as RFC 3339.
const SINCE: &str = "set-aside";

/// A damaged store that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedStore {
    /// Where it lies.
    pub path: PathBuf,
    /// Since when, in ms by the wall clock.
    pub since: u64,
}

impl DamagedStore {
    /// A store that is set aside now.
    pub fn new(path: PathBuf) -> Self {
        let since = clock::now_ms();
        if let Err(source) = files::write(&path.join(SINCE), clock::rfc3339(since).as_bytes()) {
            // Its day then begins with each start of the node.
            warn!(%source, "the damaged store is not dated");
        }
        Self { path, since }
    }

    /// The one that an earlier start set aside, if it is still there.
    #[must_use]
    pub fn of(store: &Path) -> Option<Self> {
        let path = tocsin_store::aside(store)?;
        let said =
            files::read_text(&path.join(SINCE), 64).ok().and_then(|text| clock::parse_rfc3339(text.trim()));
        Some(said.map_or_else(|| Self::new(path.clone()), |since| Self { path: path.clone(), since }))
    }

    /// What `status` says while it is there. `not_back` is the number of bodies that did not come back.
    #[must_use]
    pub fn alarm(&self, keep: u64, not_back: u64) -> String {
        let waits = match not_back {
            0 => String::new(),
            1 => " 1 body did not come back yet;".to_owned(),
            more => format!(" {more} bodies did not come back yet;"),
        };
        format!(
            "a damaged store, or what was damaged in it, was set aside in {} at {}, and this node refills from its partners;{waits} it is destroyed \
             when every partner was heard and nothing is missing, not before {}. What only this node held (its own \
             circle, what it kept from every partner) does not come back: import its sources again, or copy that folder \
             before it goes and have it looked at. To end this by hand, remove the folder",
            self.path.display(),
            clock::show(self.since),
            clock::show(self.since.saturating_add(keep)),
        )
    }
}

/// Watches one recovery: the refill of a new store from the partners.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    /// Since when nothing is missing, in ms.
    since: Option<u64>,
}

impl Recovery {
    /// True once everything that partners hold has been here for a while. A node without partners never refills.
    fn is_complete(&mut self, health: &Health, max_age: u64) -> bool {
        let whole = !health.heard.is_empty()
            && health.gaps(max_age, 0).is_empty()
            && health.behind == 0
            && health.not_back == 0;
        if !whole {
            self.since = None;
            return false;
        }
        health.at.saturating_sub(*self.since.get_or_insert(health.at)) >= QUIET_MS
    }

    /// Destroys the store that was set aside, if there is one, its time is over and the refill is complete.
    pub async fn look(&mut self, engine: &Engine, health: &Health) {
        let Some(damaged) = read(&engine.damaged).clone() else { return };
        if !damaged.path.exists() {
            info!(aside = %damaged.path.display(), "the damaged store was removed by hand");
            *write(&engine.damaged) = None;
            return;
        }
        let complete = self.is_complete(health, engine.config.max_age_ms());
        if !complete || health.at < damaged.since.saturating_add(engine.config.keep_damaged_ms()) {
            return;
        }
        let folder = engine.home.store_folder();
        let aside = damaged.path;
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
        *write(&engine.damaged) = None;
    }
}

#[cfg(test)]
mod tests {
    use tocsin_protocol::Reading;
    use tocsin_record::OrgId;

    use super::*;

    #[test]
    fn a_refill_is_complete_when_every_partner_was_heard_and_nothing_is_missing() {
        let max_age = 600_000;
        let at = |at: u64, heard: u64, behind: u64, missing: u64, not_back: u64| Health {
            at,
            heard: [(OrgId([1; 32]), heard)].into(),
            missing: if missing > 0 { [(OrgId([1; 32]), missing)].into() } else { [].into() },
            behind,
            not_back,
            ..Health::default()
        };
        let now = 1_800_000_000_000;
        let mut recovery = Recovery::default();
        assert!(
            !recovery.is_complete(&Health { at: now, ..Health::default() }, max_age),
            "nobody to refill from"
        );
        for (heard, behind, missing, not_back) in
            [(0, 0, 0, 0), (now, 1, 0, 0), (now, 0, 7, 0), (now, 0, 0, 1)]
        {
            for later in [0, QUIET_MS, 2 * QUIET_MS] {
                assert!(!recovery.is_complete(&at(now + later, heard, behind, missing, not_back), max_age));
            }
        }
        assert!(!recovery.is_complete(&at(now, now, 0, 0, 0), max_age), "not at the first look");
        assert!(!recovery.is_complete(&at(now + 1, now, 0, 7, 0), max_age), "something came up");
        assert!(!recovery.is_complete(&at(now + QUIET_MS, now, 0, 0, 0), max_age), "it begins anew");
        let ahead = Reading::Ahead { by_ms: 3_600_000 };
        let wrong = Health { clock: ahead, ..at(now + 2 * QUIET_MS, now, 0, 0, 0) };
        assert!(!recovery.is_complete(&wrong, max_age), "by a clock that is wrong");
        assert!(!recovery.is_complete(&at(now + 2 * QUIET_MS, now, 0, 0, 0), max_age), "it begins anew");
        assert!(recovery.is_complete(&at(now + 3 * QUIET_MS, now, 0, 0, 0), max_age));
    }

    #[test]
    fn a_store_set_aside_keeps_its_date() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        assert_eq!(DamagedStore::of(&store), None);
        let path = folder.path().join("store.damaged");
        std::fs::create_dir(&path).unwrap();
        let damaged = DamagedStore::new(path);
        std::thread::sleep(std::time::Duration::from_millis(5));
        assert_eq!(DamagedStore::of(&store).unwrap(), damaged);
        let alarm = damaged.alarm(86_400_000, 2);
        assert!(
            alarm.contains(&clock::show(damaged.since + 86_400_000)) && alarm.contains("2 bodies"),
            "{alarm}"
        );
    }
}
