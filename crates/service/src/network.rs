//! How the way in stands: what strangers do to it, for `status`.

use tocsin_api::types::{Handshakes, Network, OfLate};
use tocsin_net::{Counts, Pressure};

use super::Node;

impl Node {
    pub(super) fn network(&self, pressure: &Pressure) -> Network {
        let late = pressure.of_late();
        let refused = self.engine.net.refused();
        let (worst_host, of_worst_host) = late.worst_host.unzip();
        Network {
            tcp: handshakes(&pressure.tcp),
            quic: handshakes(&pressure.quic),
            turned_away: refused.lobby + refused.disallowed + refused.per_peer + refused.links,
            of_late: OfLate {
                in_vain: late.in_vain,
                proven: late.proven,
                worst_host,
                of_worst_host: of_worst_host.unwrap_or(0),
                no_descriptor: late.no_descriptor,
                listener_errors: late.listener_errors,
            },
        }
    }
}

fn handshakes(counts: &Counts) -> Handshakes {
    let Counts { under_way, begun, proven, failed, timed_out, gave_way, refused, asked_to_prove } = *counts;
    Handshakes { under_way, begun, proven, failed, timed_out, gave_way, refused, asked_to_prove }
}

/// What an operator should see to. `down` partners' nodes are not linked.
pub(super) fn alarms(pressure: &Pressure, down: usize) -> Vec<String> {
    let late = pressure.of_late();
    if !late.is_news() {
        return Vec::new();
    }
    let mut alarms = Vec::new();
    if late.no_descriptor > 0 {
        alarms.push(format!(
            "no file descriptor was free for {} connections in the last two minutes: raise the limit of this process \
             (`LimitNOFILE` of systemd, `ulimit -n` of a shell){}",
            late.no_descriptor,
            because(down)
        ));
    }
    if late.listener_errors > 0 {
        alarms.push(format!(
            "listening failed {} times in the last two minutes and goes on, the last time so: {}{}",
            late.listener_errors,
            pressure.last_error.as_deref().unwrap_or("unknown"),
            because(down)
        ));
    }
    if late.in_vain > 0 {
        let worst = late.worst_host.map_or_else(
            || ", from addresses that are not proven".to_owned(),
            |(host, count)| {
                format!("; the busiest host is {host} ({count} of them), which a firewall can keep out")
            },
        );
        alarms.push(format!(
            "{} handshakes that others began came to nothing in the last two minutes{worst}{}",
            late.in_vain,
            because(down)
        ));
    }
    alarms
}

fn because(down: usize) -> String {
    match down {
        0 => String::new(),
        1 => "; one partner's node is not linked, which may be why".to_owned(),
        _ => format!("; {down} partners' nodes are not linked, which may be why"),
    }
}
