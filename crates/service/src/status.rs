//! `status`: how the node is.

use std::sync::Arc;
use std::time::Duration;

use tocsin_api::types::Gap as ToldGap;
use tocsin_api::types::{
    ClockStatus, DiskRoom, HeldBy, Log, Partner, PartnerNode, PolicyStatus, ReceiptOf, Removed, Silent,
    Status, StoreStatus, Time, Withheld,
};
use tocsin_clock as clock;
use tocsin_engine::core::Mesh;
use tocsin_engine::health::{Gap, Health, Seen};
use tocsin_engine::links;
use tocsin_engine::read;
use tocsin_home::room::Room;
use tocsin_net::{Direction, Lane};
use tocsin_protocol::{Directory, Input, LogStatus, Reading};
use tocsin_record::NodeKey;
use tocsin_record::OrgId;
use tocsin_record::id::fingerprint;
use tocsin_store::{RecordRef, Standing};

use super::{Node, NodeError, network};

/// How long the core may take to say how it is, before what it said last is told instead.
const CORE_WAIT: Duration = Duration::from_millis(500);
/// How long the store may take, before the answer goes without it.
const STORE_WAIT: Duration = Duration::from_secs(2);

/// What of a status is read from the store.
#[derive(Default)]
struct Stored {
    logs: Vec<Log>,
    receipts: Vec<ReceiptOf>,
    store: StoreStatus,
    waiting: Vec<HeldBy>,
    wanted: u64,
    partners: Vec<Partner>,
    alarms: Vec<String>,
}

impl Node {
    /// How the node is. Always answers, and soon: where the core or the store does not, it says so, with what was known
    /// before.
    pub async fn status(self: &Arc<Self>, partners: bool) -> Status {
        let mut alarms: Vec<String> = self.engine.core.stalled().map(stall).into_iter().collect();
        let disk = match Room::of(self.engine.home.path()) {
            Ok(room) => {
                alarms.extend(room.alarm());
                Some(DiskRoom { free_bytes: room.free, size_bytes: room.size })
            }
            Err(error) => {
                alarms.push(format!("the system does not tell what is free on the home's disk: {error}"));
                None
            }
        };
        let Some(seen) = self.seen().await else {
            alarms.push("the core has not said yet how it is: ask again".to_owned());
            return Status { disk, alarms, ..self.status_of(None) };
        };
        let stored = self.stored(&seen, partners).await.unwrap_or_else(|why| {
            alarms.push(format!("{why}: what the store would tell is left out here"));
            Stored::default()
        });
        let mut status = self.status_of(Some(&seen));
        alarms.append(&mut status.alarms);
        alarms.extend(stored.alarms);
        status.queues.wanted = stored.wanted;
        let Stored { logs, receipts, store, waiting, partners, .. } = stored;
        Status { logs, receipts, store, waiting, disk, partners, alarms, ..status }
    }

    /// The state of the mesh: now, or when the core last told it.
    async fn seen(&self) -> Option<Arc<Seen>> {
        if self.engine.core.stalled().is_none()
            && let Ok(Ok(status)) = tokio::time::timeout(CORE_WAIT, self.engine.core.look(Mesh::status)).await
        {
            return Some(Arc::new(Seen::now(status, self.engine.org(), &self.engine.config.not_counted)));
        }
        read(&self.engine.seen).clone()
    }

    /// Whether what the core said is new enough to call anything complete.
    pub(super) fn is_current(&self, seen: &Seen, max_age: u64) -> bool {
        self.engine.core.stalled().is_none() && seen.age() <= max_age
    }

    /// What the store adds, or why it does not.
    async fn stored(self: &Arc<Self>, seen: &Arc<Seen>, partners: bool) -> Result<Stored, String> {
        let no_answer =
            || format!("the store gives no answer within {STORE_WAIT:?}, a disk that hangs most likely");
        let room = Arc::clone(&self.readings).try_acquire_owned().map_err(|_| no_answer())?;
        let seen = Arc::clone(seen);
        let read = self.apart(move |node| {
            let _room = room;
            let (directory, look) = (node.engine.directory(), &seen.status);
            let counts = node.engine.reader.counts();
            Ok(Stored {
                logs: node.log_rows(&directory, &look.logs),
                receipts: node.receipt_rows(&directory, look)?,
                store: StoreStatus {
                    records: counts.records,
                    bodies: counts.bodies,
                    observables: read(&node.engine.index).accepted.len() as u64,
                    accepted: counts.accepted,
                    held: counts.held,
                    refused: counts.refused,
                    disk_bytes: node.engine.reader.disk_size()?,
                },
                waiting: node.waiting(counts.held),
                wanted: counts.wanted,
                partners: if partners { node.partner_rows(&directory) } else { Vec::new() },
                alarms: node.forks(&directory),
            })
        });
        let read = tokio::time::timeout(STORE_WAIT, read).await.map_err(|_| no_answer())?;
        read.map_err(|error| format!("the store could not be read ({error})"))
    }

    /// What is known without the store; without the core, only who this is.
    fn status_of(&self, seen: Option<&Seen>) -> Status {
        let directory = self.engine.directory();
        let mut status = Status {
            org: self.engine.identity.card.entry.name.clone(),
            node: self.engine.identity.node().to_string(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            mesh: directory.charter().name.clone(),
            mesh_fingerprint: fingerprint(&self.engine.mesh_id.0),
            charter: directory.charter().version,
            removed: removed(&directory),
            policy: self.policy_status(seen.is_some_and(|seen| seen.status.rejudging)),
            listening: self.engine.links.listens(),
            ..Status::default()
        };
        let pressure = self.engine.net.pressure();
        status.network = self.network(&pressure);
        status.queues.inbox = self.engine.core.waiting() as u64;
        let Some(seen) = seen else {
            status.alarms = network::alarms(&pressure, 0);
            return status;
        };
        let (look, health, age) = (&seen.status, &seen.health, seen.age());
        let max_age = self.engine.config.max_age_ms();
        let name = |org| self.org_name(&directory, org);
        status.silent = health
            .silent(max_age, age)
            .map(|(org, since)| Silent { org: name(org), since: Time(since) })
            .collect();
        status.missing = health.missing_count();
        status.withheld = health
            .withheld
            .iter()
            .map(|(org, records)| Withheld { author: name(*org), records: *records })
            .collect();
        let current = self.is_current(seen, max_age);
        status.as_of = Time(health.as_of());
        let gaps = self.gaps(seen, max_age);
        status.complete = gaps.is_empty();
        status.gaps = gaps.into_iter().map(|gap| told_gap(gap, name)).collect();
        status.clock = clock_status(look);
        status.summary = summary(health, &health.gaps(max_age, age), &name);
        if !current {
            status.summary =
                format!("as of {}, and no longer known: {}", clock::show_time(health.at), status.summary);
        }
        status.peers = self.peer_rows(&directory, look);
        status.queues.outbox_bytes = status.peers.iter().map(|peer| peer.queued).sum();
        status.not_counted = health.not_counted.iter().map(|org| name(*org)).collect();
        status.alarms = self.alarms(look, health.not_back);
        let down = status.peers.iter().filter(|peer| !peer.connected).count();
        status.alarms.extend(network::alarms(&pressure, down));
        status.alarms.extend(health.not_given.iter().filter(|(org, _)| !health.not_counted.contains(org)).map(
            |(org, count)| {
                let org = name(*org);
                format!(
                    "{org} announces {count} records that it does not give, so no answer is complete: ask {org}, or leave \
                     it out with `not_counted = [\"{org}\"]` in config.toml and start the node anew"
                )
            },
        ));
        status
    }

    /// Why no answer is complete now: the only place that judges it. Empty if all are.
    pub(super) fn gaps(&self, seen: &Seen, max_age: u64) -> Vec<Gap> {
        let mut gaps = seen.health.gaps(max_age, seen.age());
        if !self.is_current(seen, max_age) {
            gaps.insert(0, Gap::Stale(seen.health.at));
        }
        gaps
    }

    /// What is to be thought of the clock.
    ///
    /// # Errors
    /// When the core has ended.
    pub async fn clock(&self) -> Result<ClockStatus, NodeError> {
        Ok(self.engine.core.look(|mesh: &Mesh| clock_status(&mesh.status())).await?)
    }

    /// The people of this node say that its clock is right.
    ///
    /// # Errors
    /// When partners' clocks say otherwise and `against_partners` is not set, or the core has ended.
    pub async fn confirm_clock(&self, against_partners: bool) -> Result<ClockStatus, NodeError> {
        self.engine
            .core
            .ask(move |ticket| Input::ConfirmClock { ticket, against_peers: against_partners })
            .await?;
        self.clock().await
    }

    /// The latest time that has come beyond doubt, in ms: by it answers lapse.
    pub(super) fn passed_ms(&self) -> u64 {
        let lag = read(&self.engine.seen).as_ref().map_or(0, |seen| seen.health.lag);
        clock::now_ms().saturating_sub(lag)
    }

    fn partner_rows(&self, directory: &Directory) -> Vec<Partner> {
        let evidence = self.engine.reader.evidence();
        let mut rows: Vec<Partner> = directory
            .charter()
            .orgs
            .iter()
            .filter(|entry| entry.root != self.engine.org())
            .map(|entry| {
                let seen = evidence.get(&entry.root).copied().unwrap_or_default();
                Partner {
                    org: entry.name.clone(),
                    accepted: seen.accepted,
                    held: seen.held,
                    refused: seen.refused,
                    withdrawn: seen.withdrawn,
                    forks: seen.forks,
                    trust: directory.trust(&entry.name),
                }
            })
            .collect();
        rows.sort_by(|a, b| a.org.cmp(&b.org));
        rows
    }

    fn peer_rows(&self, directory: &Directory, look: &tocsin_protocol::Status) -> Vec<PartnerNode> {
        let links = self.engine.links.links();
        let mut rows = Vec::new();
        for (node, certificate) in directory.nodes().filter(|(node, _)| *node != self.engine.identity.node())
        {
            let key = certificate.transport_key();
            let link = links.iter().find(|(_, link)| link.peer == key && link.node == Some(node));
            rows.push(PartnerNode {
                org: self.org_name(directory, certificate.org),
                node: certificate.node.clone(),
                slow: link.is_some_and(|(no, _)| look.peers.iter().any(|peer| peer.link == *no && peer.slow)),
                fault: if link.is_some() { None } else { self.engine.links.fault(&key) },
                ..link.map(|(no, link)| self.link_row(*no, link)).unwrap_or_default()
            });
        }
        rows
    }

    fn link_row(&self, no: u64, link: &links::LinkState) -> PartnerNode {
        let queued = |lane| self.engine.net.queued(no, lane).bytes as u64;
        PartnerNode {
            connected: true,
            address: Some(link.remote.clone()),
            direction: Some(
                match link.direction {
                    Direction::Inbound => "in",
                    Direction::Outbound => "out",
                }
                .to_owned(),
            ),
            rtt_ms: link.rtt.map(|rtt| (rtt.as_secs_f64() * 1e5).round() / 100.0),
            queued: queued(Lane::Live) + queued(Lane::Bulk),
            ..PartnerNode::default()
        }
    }

    fn log_rows(&self, directory: &Directory, logs: &[LogStatus]) -> Vec<Log> {
        logs.iter()
            .map(|log| Log {
                author: self.org_name(directory, log.org),
                node: self.node_name(directory, log.key.author),
                circle: self.circle_name(log.key.circle),
                epoch: log.key.epoch,
                base: self.engine.reader.log(log.no).map_or(0, |info| info.base.seq),
                height: log.height,
                announced: log.head.map(|(seq, _)| seq),
                announced_at: Time(log.head.map_or(0, |(_, time)| time)),
                missing: log.bodies.announced,
                withheld: log.bodies.withheld,
                state: match log.standing {
                    Standing::Open => "open",
                    Standing::Forked { .. } => "forked",
                    Standing::Cut { .. } => "cut",
                }
                .to_owned(),
            })
            .collect()
    }

    /// What each partner's node acknowledged of this node's own logs: those that were acknowledged, and the newest of
    /// each circle for partners that said nothing yet.
    fn receipt_rows(
        &self,
        directory: &Directory,
        look: &tocsin_protocol::Status,
    ) -> Result<Vec<ReceiptOf>, NodeError> {
        let mut rows = Vec::new();
        let own =
            || look.logs.iter().filter(|log| log.key.author == self.engine.identity.node() && log.height > 0);
        for log in own() {
            for (holder, height, time) in &log.receipts {
                rows.push(self.receipt_row(directory, look, log, *holder, Some((*height, *time)))?);
            }
            let newest = own()
                .filter(|other| other.key.circle == log.key.circle)
                .all(|other| other.key.epoch <= log.key.epoch);
            for (node, _) in directory.membership(log.key.circle).nodes().filter(|_| newest) {
                let said = log.receipts.iter().any(|(holder, _, _)| *holder == node);
                if !said && node != self.engine.identity.node() {
                    rows.push(self.receipt_row(directory, look, log, node, None)?);
                }
            }
        }
        Ok(rows)
    }

    /// What one node acknowledged of a log: a height, and when.
    fn receipt_row(
        &self,
        directory: &Directory,
        look: &tocsin_protocol::Status,
        log: &LogStatus,
        holder: NodeKey,
        said: Option<(u64, u64)>,
    ) -> Result<ReceiptOf, NodeError> {
        let org = directory.org_of(holder);
        let mut row = ReceiptOf {
            org: org.map(|org| self.org_name(directory, org)).unwrap_or_default(),
            node: self.node_name(directory, holder),
            circle: self.circle_name(log.key.circle),
            of: log.height,
            ..ReceiptOf::default()
        };
        let Some((height, time)) = said else { return Ok(row) };
        let written = self.engine.reader.record(RecordRef { log: log.no, seq: height })?;
        let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let delays = look.orgs.iter().find(|known| Some(known.org) == org).map(|known| &known.delays_ms);
        let at = |per_cent: usize| {
            let delays = delays?;
            let rank = (delays.len() * per_cent).div_ceil(100).max(1);
            delays.get(rank - 1).copied()
        };
        row.height = height;
        row.time = Time(time);
        row.after_ms = written.map(|stored| signed(time) - signed(stored.entry.header.time));
        (row.p50_ms, row.p99_ms) = (at(50), at(99));
        Ok(row)
    }

    fn policy_status(&self, rejudging: bool) -> PolicyStatus {
        let load = self.policy.load();
        PolicyStatus {
            rules: self.policy.get().rules().len() as u64,
            loaded: Time(load.loaded),
            rejudging,
            fault: load.refused.as_ref().map(|(_, why)| why.clone()),
        }
    }

    fn alarms(&self, look: &tocsin_protocol::Status, waits: u64) -> Vec<String> {
        let mut alarms = Vec::new();
        if !look.clock.is_trusted() {
            alarms.push(look.clock.text());
        }
        alarms.extend(look.policy_errors.iter().map(|(rule, count)| {
            format!("the policy's rule `{rule}` could not be evaluated {count} times: those records are held")
        }));
        alarms.extend(
            read(&self.engine.damaged)
                .as_ref()
                .map(|aside| aside.alarm(self.engine.config.keep_damaged_ms(), waits)),
        );
        let load = self.policy.load();
        if let Some((when, why)) = &load.refused {
            // One line, as all alarms are.
            let why = why.split('\n').map(str::trim).collect::<Vec<_>>().join("; ");
            alarms.push(format!(
                "the policy file was refused at {}, and the policy of {} stays in force: {why}; mend it, and \
                 `tocsin policy reload`",
                clock::show_time(*when),
                clock::show_time(load.loaded),
            ));
        }
        alarms.extend(read(&self.engine.unsaved).as_ref().map(|why| {
            format!(
                "the mesh's documents could not be written to the home ({why}): the store has them, and it is tried again"
            )
        }));
        alarms
    }

    /// Who said two different things.
    fn forks(&self, directory: &Directory) -> Vec<String> {
        let forks = self.engine.reader.logs().into_iter().filter_map(|log| {
            let Standing::Forked { at } = log.standing else { return None };
            Some(format!(
                "{} said two different things at number {at} of circle {}: nothing more is taken of that node \
                 there until its org's root names the branch that stands",
                self.org_name(directory, log.org),
                self.circle_name(log.key.circle),
            ))
        });
        forks.collect()
    }
}

/// What is said while the core does nothing.
pub(super) fn stall(since: Duration) -> String {
    format!(
        "the core has done nothing for {} s while inputs wait, a disk that hangs most likely: until it goes on nothing is \
         taken in or written, and every answer is incomplete",
        since.as_secs()
    )
}

/// Whom charters took out, the last first.
fn removed(directory: &Directory) -> Vec<Removed> {
    let mut rows: Vec<Removed> = directory
        .former()
        .map(|(org, former)| Removed {
            org: former.name.clone(),
            fingerprint: fingerprint(&org.0),
            charter: former.charter,
            time: Time(former.time),
        })
        .collect();
    rows.sort_by(|a, b| b.charter.cmp(&a.charter).then_with(|| a.org.cmp(&b.org)));
    rows
}

/// What is to be thought of the clock, as answers tell it.
fn clock_status(look: &tocsin_protocol::Status) -> ClockStatus {
    let (state, by_ms) = match look.clock {
        Reading::Trusted => ("trusted", 0),
        Reading::Ahead { by_ms } => ("ahead", by_ms),
        Reading::Behind { by_ms } => ("behind", by_ms),
        Reading::Unknown { by_ms } => ("unknown", by_ms),
    };
    ClockStatus { state: state.to_owned(), by_ms, time: Time(look.passed), text: look.clock.text() }
}

/// A gap as answers tell it.
pub(super) fn told_gap(gap: Gap, name: impl Fn(OrgId) -> String) -> ToldGap {
    let told =
        |org: Option<String>, reason: &str, text: String| ToldGap { org, reason: reason.to_owned(), text };
    match gap {
        Gap::Stale(at) => {
            told(None, "stale", format!("the node does not know how it is since {}", clock::show_time(at)))
        }
        Gap::Clock(reading) => told(None, "clock", reading.to_string()),
        Gap::Missing(org, count) => {
            let org = name(org);
            let text = format!("missing {count} of {org}");
            told(Some(org), "missing", text)
        }
        Gap::NotGiven(org, count) => {
            let org = name(org);
            let text = format!("{org} announces {count} records that it does not give");
            told(Some(org), "not-given", text)
        }
        Gap::Silent(org, since) => {
            let org = name(org);
            let text = match since {
                0 => format!("{org} not heard yet"),
                since => format!("{org} silent since {}", clock::show_time(since)),
            };
            told(Some(org), "silent", text)
        }
    }
}

/// In words: what is missing, and as of when nothing is.
fn summary(health: &Health, gaps: &[Gap], name: &dyn Fn(tocsin_record::OrgId) -> String) -> String {
    let mut parts: Vec<String> = gaps.iter().map(|gap| told_gap(*gap, name).text).collect();
    if parts.is_empty() {
        parts.push(format!("missing nothing as of {}", clock::show_time(health.as_of())));
    }
    for (org, count) in &health.withheld {
        parts.push(format!("{count} of {} not given to this node", name(*org)));
    }
    parts.extend(health.not_counted.iter().map(|org| format!("{} not counted", name(*org))));
    parts.join(", ")
}
