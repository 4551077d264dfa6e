//! What a running node keeps in step with the core: the documents on disk, the index of held records, and what is
//! known of completeness.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tocsin_clock as clock;
use tocsin_engine::core::Mesh;
use tocsin_home::identity::Papers;
use tocsin_matcher::Matcher;
use tocsin_protocol::{Directory, Event, Status};
use tocsin_record::body::Body;
use tocsin_record::document::{Form, Signed};
use tocsin_record::{OrgId, body};
use tocsin_store::{Found, RecordRef, Verdict};
use tokio::sync::{broadcast, watch};
use tracing::{error, warn};

use super::refill::Refill;
use super::{Node, write};

/// How often completeness is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A look may take one in so many parts of the time: less often while much is missing.
const LOOK_SHARE: u64 = 50;

/// How complete this node is, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// When it was looked, by the wall clock, in ms.
    pub at: u64,
    /// For each org but the own: when any of its nodes was last heard, in ms; 0 if none was.
    pub heard: BTreeMap<OrgId, u64>,
    /// Headers and wanted bodies known to exist and not here, by author's org.
    pub missing: BTreeMap<OrgId, u64>,
    /// Bodies that are wanted and that nobody gives to this node, by author's org.
    pub withheld: BTreeMap<OrgId, u64>,
    /// Logs of which some peer holds more than this node.
    pub behind: u64,
    /// Bodies that are wanted and not here, whoever wrote them and whoever announced them; those of which a partner said
    /// that it withholds them are no part of it.
    pub not_back: u64,
}

impl Health {
    /// From the state of the mesh at `now`.
    #[must_use]
    pub fn of(status: &Status, own: OrgId, now: u64) -> Self {
        let behind = status.behind as u64;
        let mut health = Self { at: now, behind, not_back: status.counts.wanted, ..Self::default() };
        for org in status.orgs.iter().filter(|org| org.org != own) {
            health.heard.insert(org.org, org.heard.unwrap_or(0));
            let missing = org.missing_headers.saturating_add(org.missing_bodies);
            if missing > 0 {
                health.missing.insert(org.org, missing);
            }
            if org.withheld > 0 {
                health.withheld.insert(org.org, org.withheld);
            }
        }
        health
    }

    /// Orgs not heard of for longer than this, with when they were last.
    pub fn silent(&self, max_age: u64) -> impl Iterator<Item = (OrgId, u64)> + '_ {
        self.heard
            .iter()
            .filter(move |(_, heard)| self.at.saturating_sub(**heard) > max_age)
            .map(|(org, heard)| (*org, *heard))
    }

    /// When the org that was silent the longest was last heard; 0 while somebody never was. While nothing is missing,
    /// all that anybody said until then is here. In a mesh of one it is now.
    #[must_use]
    pub fn as_of(&self) -> u64 {
        self.heard.values().copied().min().unwrap_or(self.at)
    }

    /// How many records are missing.
    #[must_use]
    pub fn missing_count(&self) -> u64 {
        self.missing.values().fold(0, |sum, missing| sum.saturating_add(*missing))
    }
}

/// Adds a held record that was found while the store was opened.
pub fn index_held(held: &mut Matcher, found: &Found<'_>) {
    let Some(bytes) = found.body else { return };
    if let Ok(Body::Report(report)) = Body::read(found.header, bytes) {
        for indicator in report.indicators.iter().filter(|indicator| !indicator.is_pattern()) {
            held.insert(indicator.what.borrowed(), found.place.pack());
        }
    }
}

/// Follows the core until it ends.
pub async fn keep(node: Arc<Node>, directory: watch::Sender<Arc<Directory>>) {
    let mut events = node.core.news();
    let own = node.org();
    let mut next = tokio::time::Instant::now();
    let mut refill = Refill::default();
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Ok(Event::Documents { .. }) => new_documents(&node, &directory).await,
                Ok(Event::Judged { place, kind, verdict, .. }) if kind == body::REPORT => judged(&node, place, verdict),
                Ok(_) => {}
                // Held records that were missed are found again at the next start.
                Err(broadcast::error::RecvError::Lagged(count)) => warn!(count, "events were missed"),
                Err(broadcast::error::RecvError::Closed) => return,
            },
            () = tokio::time::sleep_until(next) => {
                let looked = node.core.look(move |mesh: &Mesh| {
                    let began = clock::monotonic_ms();
                    let health = Health::of(&mesh.status(), own, clock::now_ms());
                    (health, clock::monotonic_ms() - began)
                });
                let Ok((health, took)) = looked.await else { return };
                refill.look(&node, &health).await;
                *write(&node.health) = Arc::new(health);
                next = tokio::time::Instant::now() + LOOK_EVERY.max(Duration::from_millis(took * LOOK_SHARE));
            }
        }
    }
}

async fn new_documents(node: &Arc<Node>, directory: &watch::Sender<Arc<Directory>>) {
    let Ok(current) = node.core.look(|mesh| Arc::new(mesh.directory().clone())).await else {
        return;
    };
    let papers = papers(&current.all());
    directory.send_replace(current);
    let home = node.home.clone();
    let written = tokio::task::spawn_blocking(move || home.write_papers(&papers)).await;
    if !matches!(written, Ok(Ok(()))) {
        error!(
            "the mesh's documents could not be written to the home: the store keeps them, `mesh show` lags behind"
        );
    }
}

/// Documents as they rest in a home.
pub(super) fn papers(all: &[Signed]) -> Papers {
    let of = |form: Form| all.iter().filter(|signed| signed.form == form).cloned().collect();
    Papers {
        charters: of(Form::Charter),
        certificates: of(Form::Certificate),
        revocations: of(Form::Revocations),
    }
}

fn judged(node: &Node, place: RecordRef, verdict: Verdict) {
    let is_held = verdict == Verdict::Held;
    if !is_held && super::read(&node.held).is_empty() {
        return;
    }
    let Ok(Some(report)) = node.report_at(place) else {
        return;
    };
    let mut held = write(&node.held);
    for indicator in report.indicators.iter().filter(|indicator| !indicator.is_pattern()) {
        if is_held {
            held.insert(indicator.what.borrowed(), place.pack());
        } else {
            held.remove(indicator.what.borrowed(), place.pack());
        }
    }
}
