//! What a running node keeps in step with the core: the documents on disk, and what is known of completeness.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tocsin_clock as clock;
use tocsin_home::Home;
use tocsin_home::identity::Papers;
use tocsin_home::room::Room;
use tocsin_protocol::{Directory, Reading, Status};
use tocsin_record::OrgId;
use tocsin_record::document::{Form, Signed};
use tokio::sync::watch;
use tracing::warn;

use crate::core::Mesh;
use crate::recovery::Recovery;
use crate::{Engine, write};

/// How often completeness is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// What the core says of the time is a moment old, in ms.
const LAG_MS: u64 = 10_000;
/// A look may take one in so many parts of the time: less often while much is missing.
const LOOK_SHARE: u64 = 50;
/// How long until something that the disk did not let happen is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// How often it is said in the log that the disk has little room.
const ROOM_EVERY: Duration = Duration::from_secs(60);

/// What the core last said of itself.
#[derive(Debug)]
pub struct Seen {
    /// The state of the mesh.
    pub status: Status,
    /// What follows from it.
    pub health: Health,
    /// When it was looked, by the monotonic clock, in ms.
    mono: u64,
}

impl Seen {
    /// From the state of the mesh, seen this moment; orgs that are not counted, by name.
    #[must_use]
    pub fn now(status: Status, own: OrgId, not_counted: &[String]) -> Self {
        let health = Health::of(&status, own, not_counted, clock::now_ms());
        Self { status, health, mono: clock::monotonic_ms() }
    }

    /// How long ago that was, in ms.
    #[must_use]
    pub fn age(&self) -> u64 {
        clock::monotonic_ms().saturating_sub(self.mono)
    }
}

/// How complete this node is, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// When it was looked, in ms: by the wall clock, or as far as the time is known where that is wrong.
    pub at: u64,
    /// What is to be thought of the clock.
    pub clock: Reading,
    /// So much earlier than the wall clock is what has come beyond doubt, in ms.
    pub lag: u64,
    /// For each org but the own: when any of its nodes was last heard, in ms; 0 if none was.
    pub heard: BTreeMap<OrgId, u64>,
    /// Headers and wanted bodies known to exist and not here, by author's org.
    pub missing: BTreeMap<OrgId, u64>,
    /// Of the missing, headers that nodes of the org announced and on a live link did not give, in ten minutes.
    pub not_given: BTreeMap<OrgId, u64>,
    /// Orgs that the operator does not count.
    pub not_counted: Vec<OrgId>,
    /// Bodies that are wanted and that nobody gives to this node, by author's org.
    pub withheld: BTreeMap<OrgId, u64>,
    /// Logs of which some peer holds more than this node.
    pub behind: u64,
    /// Bodies that are wanted and not here, whoever wrote them and whoever announced them; those of which a partner said
    /// that it withholds them are no part of it.
    pub not_back: u64,
}

impl Health {
    /// From the state of the mesh at `now`, by the wall clock.
    #[must_use]
    pub fn of(status: &Status, own: OrgId, not_counted: &[String], now: u64) -> Self {
        let behind = status.behind as u64;
        // The core looked a moment ago.
        let lag = Some(now.saturating_sub(status.passed)).filter(|lag| *lag > LAG_MS).unwrap_or(0);
        let mut health = Self {
            at: status.time,
            clock: status.clock,
            lag,
            behind,
            not_back: status.counts.wanted,
            ..Self::default()
        };
        for org in status.orgs.iter().filter(|org| org.org != own) {
            let not_given = org.not_given.iter().fold(0, |sum: u64, (_, count)| sum.saturating_add(*count));
            if not_given > 0 {
                health.not_given.insert(org.org, not_given);
            }
            if not_counted.contains(&org.name) {
                health.not_counted.push(org.org);
                continue;
            }
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

    /// Orgs not heard of for longer than this, with when they were last. Nobody was heard in the `age` since it was looked.
    pub fn silent(&self, max_age: u64, age: u64) -> impl Iterator<Item = (OrgId, u64)> + '_ {
        let now = self.at.saturating_add(age);
        self.heard
            .iter()
            .filter(move |(_, heard)| now.saturating_sub(**heard) > max_age)
            .map(|(org, heard)| (*org, *heard))
    }

    /// Why nothing that was said `age` ago is complete, but for how old it is.
    #[must_use]
    pub fn gaps(&self, max_age: u64, age: u64) -> Vec<Gap> {
        let mut gaps = Vec::new();
        if !self.clock.is_trusted() {
            gaps.push(Gap::Clock(self.clock));
        }
        for (org, count) in &self.missing {
            let not_given = self.not_given.get(org).copied().unwrap_or(0).min(*count);
            if not_given > 0 {
                gaps.push(Gap::NotGiven(*org, not_given));
            }
            if *count > not_given {
                gaps.push(Gap::Missing(*org, *count - not_given));
            }
        }
        gaps.extend(self.silent(max_age, age).map(|(org, since)| Gap::Silent(org, since)));
        gaps
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

/// A reason why an answer is not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// The core last told how it is then, in ms, and does not answer.
    Stale(u64),
    /// By this clock nobody can say as of when.
    Clock(Reading),
    /// So many headers or wanted bodies of an org exist and are not here.
    Missing(OrgId, u64),
    /// Nodes of an org announce so many records and do not give them.
    NotGiven(OrgId, u64),
    /// An org was last heard then, in ms; 0 if it never was.
    Silent(OrgId, u64),
}

/// Looks at completeness, for as long as the core runs. Its end is told by its own thread.
pub async fn look(engine: Arc<Engine>) {
    let own = engine.org();
    let mut recovery = Recovery::default();
    loop {
        let looked = engine.core.look(|mesh: &Mesh| {
            let began = clock::monotonic_ms();
            (mesh.status(), clock::monotonic_ms() - began)
        });
        let Ok((status, took)) = looked.await else { return std::future::pending().await };
        let seen = Arc::new(Seen::now(status, own, &engine.config.not_counted));
        *write(&engine.seen) = Some(Arc::clone(&seen));
        recovery.look(&engine, &seen.health).await;
        tokio::time::sleep(LOOK_EVERY.max(Duration::from_millis(took * LOOK_SHARE))).await;
    }
}

/// Says in the log that the disk has little room, while it has, until the node ends.
pub(crate) async fn watch_room(home: Home) {
    let mut every = tokio::time::interval(ROOM_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        if let Some(alarm) = Room::of(home.path()).ok().and_then(|room| room.alarm()) {
            warn!("{alarm}");
        }
    }
}

/// Writes the mesh's documents to the home whenever they are others than those that are there.
pub(crate) async fn save_documents(engine: Arc<Engine>, mut directory: watch::Receiver<Arc<Directory>>) {
    loop {
        let current = directory.borrow_and_update().clone();
        let home = engine.home.clone();
        let written = tokio::task::spawn_blocking(move || {
            let papers = papers(&current.all());
            // What is there and does not parse is written anew, too.
            if home.papers().is_ok_and(|there| there.as_ref() == Some(&papers)) {
                return Ok(());
            }
            home.write_papers(&papers)
        })
        .await;
        let fault = match written {
            Ok(Ok(())) => None,
            Ok(Err(fault)) => Some(fault.to_string()),
            Err(fault) => Some(fault.to_string()),
        };
        let before = std::mem::replace(&mut *write(&engine.unsaved), fault.clone());
        match fault {
            None if directory.changed().await.is_ok() => {}
            // The core ended.
            None => return std::future::pending().await,
            Some(fault) => {
                if before.as_ref() != Some(&fault) {
                    warn!(fault, "the mesh's documents could not be written to the home: it is tried again");
                }
                let _ = tokio::time::timeout(AGAIN, directory.changed()).await;
            }
        }
    }
}

/// Documents as they rest in a home.
fn papers(all: &[Signed]) -> Papers {
    let of = |form: Form| all.iter().filter(|signed| signed.form == form).cloned().collect();
    Papers {
        charters: of(Form::Charter),
        certificates: of(Form::Certificate),
        revocations: of(Form::Revocations),
    }
}
