//! What strangers do to this node, in figures: for `status`, and for one line of the log a minute.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::host::Host;

/// How long a span of time is of which [`Pressure`] tells: `of late` is between one and two of them.
pub(super) const SPAN: Duration = Duration::from_secs(60);
/// Hosts counted in one span. Which host is the worst is a guess beyond that.
const HOSTS: usize = 1024;
/// Handshakes that come to nothing in a span and are no news: scanners come by everywhere.
const EVERYDAY: u64 = 20;

/// By which transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    Tcp,
    Quic,
}

/// What became of handshakes that others began over one transport, since the start unless it is said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Under way now.
    pub under_way: u64,
    /// Begun.
    pub begun: u64,
    /// Came to an end with a proven key.
    pub proven: u64,
    /// Failed, or the far end went away.
    pub failed: u64,
    /// Were not over in time.
    pub timed_out: u64,
    /// Gave way to newer ones.
    pub gave_way: u64,
    /// Were refused, as their host begins too many.
    pub refused: u64,
    /// Were asked to prove their address first (QUIC's Retry).
    pub asked_to_prove: u64,
}

impl Counts {
    /// Those that came to nothing.
    #[must_use]
    pub fn in_vain(&self) -> u64 {
        self.failed + self.timed_out + self.gave_way + self.refused + self.asked_to_prove
    }
}

/// What strangers do to this node, and what it lacks to let others in.
#[derive(Clone, Debug, Default)]
pub struct Pressure {
    /// Over TCP.
    pub tcp: Counts,
    /// Over QUIC.
    pub quic: Counts,
    /// Times that this process had no descriptor left for a connection, or only those that it keeps back.
    pub no_descriptor: u64,
    /// Other errors of listeners.
    pub listener_errors: u64,
    /// What the last one of either was.
    pub last_error: Option<String>,
    now: Span,
    before: Span,
    since: Option<Instant>,
    told: Option<Instant>,
}

/// One span of time.
#[derive(Clone, Debug, Default)]
struct Span {
    in_vain: u64,
    proven: u64,
    no_descriptor: u64,
    listener_errors: u64,
    hosts: HashMap<Host, u64>,
}

/// What happened in the last minute or two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfLate {
    /// Handshakes of others that came to nothing.
    pub in_vain: u64,
    /// Handshakes of others that went well.
    pub proven: u64,
    /// Connections for which there was no descriptor.
    pub no_descriptor: u64,
    /// Other errors of listeners.
    pub listener_errors: u64,
    /// What the last error was, of whichever time.
    pub last_error: Option<String>,
    /// The host with most handshakes that came to nothing, and how many; an IPv6 host is a /64.
    pub worst_host: Option<(String, u64)>,
}

impl OfLate {
    /// Whether an operator should know.
    #[must_use]
    pub fn is_news(&self) -> bool {
        self.in_vain > EVERYDAY || self.no_descriptor > 0 || self.listener_errors > 0
    }
}

impl Pressure {
    pub(super) fn of_mut(&mut self, via: Via) -> &mut Counts {
        match via {
            Via::Tcp => &mut self.tcp,
            Via::Quic => &mut self.quic,
        }
    }

    pub(super) fn count(&mut self, via: Via, host: Option<Host>, count: impl FnOnce(&mut Counts)) {
        let counts = self.of_mut(via);
        let before = *counts;
        count(counts);
        let in_vain = counts.in_vain() - before.in_vain();
        self.now.proven += counts.proven - before.proven;
        self.now.in_vain += in_vain;
        if let Some(host) = host.filter(|_| in_vain > 0)
            && (self.now.hosts.len() < HOSTS || self.now.hosts.contains_key(&host))
        {
            *self.now.hosts.entry(host).or_default() += in_vain;
        }
    }

    /// There was no descriptor for a connection.
    pub(super) fn lack(&mut self, what: String) {
        self.no_descriptor += 1;
        self.now.no_descriptor += 1;
        self.last_error = Some(what);
    }

    /// A listener had an error.
    pub(super) fn fault(&mut self, what: String) {
        self.listener_errors += 1;
        self.now.listener_errors += 1;
        self.last_error = Some(what);
    }

    /// Begins a new span when the last one is over, and tells what is news, once in a span.
    pub(super) fn news(&mut self, now: Instant) -> Option<OfLate> {
        let is_over = |at: Option<Instant>| at.is_none_or(|at| now.saturating_duration_since(at) >= SPAN);
        if is_over(self.since) {
            self.since = Some(now);
            self.before = std::mem::take(&mut self.now);
        }
        let news = Some(self.of_late()).filter(|news| is_over(self.told) && news.is_news());
        if news.is_some() {
            self.told = Some(now);
        }
        news
    }

    /// What happened in the last minute or two.
    #[must_use]
    pub fn of_late(&self) -> OfLate {
        let (now, before) = (&self.now, &self.before);
        let total = |host: &Host| [now, before].iter().filter_map(|span| span.hosts.get(host)).sum::<u64>();
        let hosts = now.hosts.keys().chain(before.hosts.keys());
        let worst = hosts.map(|host| (total(host), *host)).max();
        OfLate {
            in_vain: now.in_vain + before.in_vain,
            proven: now.proven + before.proven,
            no_descriptor: now.no_descriptor + before.no_descriptor,
            listener_errors: now.listener_errors + before.listener_errors,
            last_error: self.last_error.clone(),
            worst_host: worst.map(|(count, host)| (host.to_string(), count)),
        }
    }
}
