//! The loop that owns the swarm: dials, connections that become links, and the stop.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use libp2p::identity::Keypair;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, Swarm};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::behaviour::Behaviour;
use super::descriptors;
use super::dial::{self, DialFault};
use super::handler::{Lanes, Opened};
use super::lanes::{self, Start, Times};
use super::link::{Link, Shared};
use super::pressure::OfLate;
use super::security::Security;
use super::transport;
use super::{Config, Direction, Ended, Inbound, PeerKey, StartError};

/// Links live by their streams, not by how often they speak.
const IDLE: Duration = Duration::from_secs(86_400);
/// Two dials that cross within this time are both young; the lower key's stands then.
const CROSSED: Duration = Duration::from_secs(5);
/// How often overdue connections are looked for.
const TICK: Duration = Duration::from_secs(1);
/// How long links have for their farewell when the network stops.
const STOP_WITHIN: Duration = Duration::from_secs(2);
/// Events that may wait for room in the inbox before listeners' news are dropped.
const MAX_WAITING: usize = 1024;

/// What the handle and the links ask of the loop.
pub(super) enum Command {
    Dial {
        peer: PeerKey,
        addresses: Vec<String>,
    },
    /// Where members are reached.
    Hosts(Vec<String>),
    /// The link of this connection is over.
    Hang(ConnectionId),
}

/// Listens and spawns the loop. Returns this node's key and the task.
pub(super) fn start(
    config: Config,
    shared: Arc<Shared>,
    inbound: mpsc::Sender<Inbound>,
    commands: mpsc::Sender<Command>,
    receiver: mpsc::Receiver<Command>,
) -> Result<(PeerKey, JoinHandle<()>), StartError> {
    let mut seed = config.transport_key.clone();
    let keypair =
        Keypair::ed25519_from_bytes(seed.as_mut_slice()).map_err(|e| StartError::Key(e.to_string()))?;
    let key = keypair.public().try_into_ed25519().map_err(|e| StartError::Key(e.to_string()))?;
    let settings = libp2p::swarm::Config::with_tokio_executor()
        .with_idle_connection_timeout(IDLE)
        .with_max_negotiating_inbound_streams(transport::MAX_STREAMS)
        .with_smart_dial();
    let behaviour = Behaviour::new(&config, shared.clone());
    let security = Security::new(&keypair)?;
    #[cfg(test)]
    let security = if config.noise_only { Security::noise_only(&keypair)? } else { security };
    let mut swarm = Swarm::new(
        transport::new(&keypair, security, config.silence, &shared.handshakes)?,
        behaviour,
        keypair.public().to_peer_id(),
        settings,
    );
    for address in &config.listen {
        let refused = |reason: String| StartError::Listen { address: address.clone(), reason };
        transport::probe(address).map_err(|error| refused(error.to_string()))?;
        swarm.listen_on(address.clone()).map_err(|error| refused(dial::chain(&error)))?;
    }
    let local = key.to_bytes();
    let state = Loop {
        local,
        times: Times::from(&config),
        config,
        swarm,
        shared,
        inbound,
        commands,
        resolving: JoinSet::new(),
        naming: JoinSet::new(),
        dials: HashMap::new(),
        links: JoinSet::new(),
        next_link: 1,
        waiting: VecDeque::new(),
    };
    Ok((local, tokio::spawn(state.run(receiver))))
}

struct Loop {
    local: PeerKey,
    config: Config,
    times: Times,
    swarm: Swarm<Behaviour>,
    shared: Arc<Shared>,
    inbound: mpsc::Sender<Inbound>,
    /// For the links' tasks.
    commands: mpsc::Sender<Command>,
    resolving: JoinSet<(PeerKey, Result<Vec<Multiaddr>, DialFault>)>,
    /// Finds the hosts of members.
    naming: JoinSet<()>,
    /// Dials under way.
    dials: HashMap<ConnectionId, PeerKey>,
    links: JoinSet<()>,
    next_link: u64,
    /// Events for the owner that found the inbox full.
    waiting: VecDeque<Inbound>,
}

impl Loop {
    async fn run(mut self, mut receiver: mpsc::Receiver<Command>) {
        let mut tick = tokio::time::interval(TICK);
        let (shared, inbound) = (self.shared.clone(), self.inbound.clone());
        let stopping = shared.stopping();
        tokio::pin!(stopping);
        loop {
            tokio::select! {
                () = &mut stopping => break,
                event = self.swarm.select_next_some() => self.on_swarm(event),
                Some(command) = receiver.recv(), if self.waiting.len() < MAX_WAITING => self.on_command(command),
                Some(Ok((peer, resolved))) = self.resolving.join_next() => self.on_resolved(peer, resolved),
                Some(_) = self.links.join_next() => {}
                room = inbound.reserve(), if !self.waiting.is_empty() => match room {
                    Ok(room) => if let Some(event) = self.waiting.pop_front() {
                        room.send(event);
                    },
                    // The owner is gone.
                    Err(_) => break,
                },
                _ = tick.tick() => {
                    for id in self.swarm.behaviour().overdue() {
                        self.swarm.close_connection(id);
                    }
                    if let Some(news) = self.shared.handshakes.news(Instant::now()) {
                        warn_of(&news);
                    }
                }
            }
        }
        // Nobody new is let in; what is linked says farewell.
        for link in self.shared.links.all() {
            link.close(Ended::Stopped);
        }
        let farewell = async {
            while !self.links.is_empty() {
                tokio::select! {
                    Some(_) = self.links.join_next() => {}
                    event = self.swarm.select_next_some() => self.on_closing(event),
                    Some(command) = receiver.recv() => if let Command::Hang(id) = command {
                        self.swarm.close_connection(id);
                    },
                }
            }
        };
        if tokio::time::timeout(STOP_WITHIN, farewell).await.is_err() {
            tracing::debug!("some links did not end in time");
        }
    }

    /// Tells the owner, now or when its inbox has room.
    fn tell(&mut self, event: Inbound) {
        if self.waiting.len() < MAX_WAITING || matches!(event, Inbound::DialFailed { .. }) {
            self.waiting.push_back(event);
        }
    }

    fn dial_failed(&mut self, peer: PeerKey, fault: DialFault) {
        self.tell(Inbound::DialFailed { peer, fault });
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Hang(id) => {
                self.swarm.close_connection(id);
            }
            Command::Hosts(addresses) => {
                let handshakes = self.shared.handshakes.clone();
                // The newest list counts; one that is still being resolved is given up.
                self.naming = JoinSet::new();
                self.naming.spawn(async move { handshakes.name(dial::hosts(addresses).await) });
            }
            Command::Dial { peer, .. } if self.link_of(&peer).is_some() => {
                self.dial_failed(peer, DialFault::AlreadyLinked);
            }
            Command::Dial { peer, .. }
                if self.resolving.len() + self.dials.len() >= self.config.max_pending_out =>
            {
                self.dial_failed(peer, DialFault::Busy);
            }
            Command::Dial { peer, addresses } => {
                self.resolving.spawn(async move { (peer, dial::resolve(peer, addresses).await) });
            }
        }
    }

    fn on_resolved(&mut self, peer: PeerKey, resolved: Result<Vec<Multiaddr>, DialFault>) {
        let dialled = resolved.and_then(|addresses| {
            let id = dial::peer_id(&peer)
                .ok_or_else(|| DialFault::NoAddress("the peer's key is not an Ed25519 key".to_owned()))?;
            // A port of its own: with the listener's port, dials that cross fail on both sides.
            let opts = DialOpts::peer_id(id)
                .condition(PeerCondition::NotDialing)
                .addresses(addresses)
                .allocate_new_port()
                .build();
            let connection = opts.connection_id();
            self.swarm.dial(opts).map_err(|error| dial::fault(&error))?;
            Ok(connection)
        });
        match dialled {
            Ok(connection) => {
                self.dials.insert(connection, peer);
            }
            Err(fault) => self.dial_failed(peer, fault),
        }
    }

    fn on_swarm(&mut self, event: SwarmEvent<(ConnectionId, Opened)>) {
        match event {
            SwarmEvent::Behaviour((id, Opened::Lanes(lanes))) => self.open(id, *lanes),
            SwarmEvent::Behaviour((id, Opened::Failed(reason))) => self.fail(id, reason),
            SwarmEvent::ConnectionEstablished { connection_id, .. } => {
                self.dials.remove(&connection_id);
            }
            SwarmEvent::ConnectionClosed { connection_id, cause, .. } => {
                let reason = cause.map_or(Ended::ByPeer, |cause| Ended::Lost(dial::chain(&cause)));
                self.closed(connection_id, reason);
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                if let Some(peer) = self.dials.remove(&connection_id) {
                    self.dial_failed(peer, dial::fault(&error));
                }
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                tracing::debug!(from = %send_back_addr, error = %dial::Chain(&error), "an inbound connection failed");
            }
            SwarmEvent::NewListenAddr { address, .. } => self.tell(Inbound::Listening(address)),
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                self.tell(Inbound::NotListening { reason: format!("{address} is gone") });
            }
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                let why = reason.err().map_or_else(|| "closed".to_owned(), |error| dial::chain(&error));
                let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                self.tell(Inbound::NotListening { reason: format!("{}: {why}", addresses.join(", ")) });
            }
            SwarmEvent::ListenerError { error, .. } => descriptors::note(&self.shared.handshakes, &error),
            _ => {}
        }
    }

    /// While stopping only ends are of interest.
    fn on_closing(&mut self, event: SwarmEvent<(ConnectionId, Opened)>) {
        match event {
            SwarmEvent::ConnectionClosed { connection_id, .. } => self.closed(connection_id, Ended::Stopped),
            SwarmEvent::ConnectionEstablished { connection_id, .. } => {
                self.swarm.close_connection(connection_id);
            }
            _ => {}
        }
    }

    /// The peer's link that is not ending.
    fn link_of(&self, peer: &PeerKey) -> Option<Arc<Link>> {
        let connections = self.swarm.behaviour().connections.values();
        connections.filter(|c| c.peer == *peer).filter_map(|c| c.link.clone()).find(|link| !link.is_closing())
    }

    /// A connection has both lanes: it becomes the peer's link, unless another one stands.
    fn open(&mut self, id: ConnectionId, lanes: Lanes) {
        let Some(connection) = self.swarm.behaviour().connections.get(&id) else {
            // It closed meanwhile.
            return;
        };
        let (peer, direction, remote) = (connection.peer, connection.direction, connection.remote.clone());
        let rival = self.link_of(&peer);
        if let Some(rival) = &rival {
            if !self.takes_over(direction, rival) {
                self.swarm.close_connection(id);
                return;
            }
            rival.close(Ended::Replaced);
        }
        let link = Arc::new(Link::new(self.next_link, peer, id, direction, &self.config));
        self.next_link += 1;
        self.shared.links.insert(link.clone());
        if let Some(connection) = self.swarm.behaviour_mut().connections.get_mut(&id) {
            connection.link = Some(link.clone());
        }
        let start = Start {
            link,
            lanes,
            remote,
            times: self.times,
            inbound: self.inbound.clone(),
            commands: self.commands.clone(),
            after: rival.map(|rival| rival.gone.subscribe()),
        };
        let shared = self.shared.clone();
        self.links.spawn(async move { lanes::run(start, &shared.links).await });
    }

    /// Whether a new connection takes the place of a link: the newest does, as the far end would not
    /// have dialled again if it still had the old one. Only if both ends dialled at about the same time
    /// must both keep the same one: then that of the lower key stands.
    fn takes_over(&self, direction: Direction, rival: &Link) -> bool {
        if direction == rival.direction || rival.since.elapsed() > CROSSED {
            return true;
        }
        match direction {
            Direction::Outbound => self.local < rival.peer,
            Direction::Inbound => rival.peer < self.local,
        }
    }

    /// A connection's streams failed.
    fn fail(&mut self, id: ConnectionId, reason: Ended) {
        if let Some(connection) = self.swarm.behaviour().connections.get(&id) {
            match &connection.link {
                Some(link) => link.close(reason),
                None => self.abandon(id, &reason),
            }
        }
    }

    /// Gives up a connection that did not become a link.
    fn abandon(&mut self, id: ConnectionId, reason: &Ended) {
        self.swarm.close_connection(id);
        self.closed(id, reason.clone());
    }

    /// A connection is gone.
    fn closed(&mut self, id: ConnectionId, reason: Ended) {
        let Some(connection) = self.swarm.behaviour_mut().connections.remove(&id) else {
            return;
        };
        match connection.link {
            Some(link) => link.close(reason),
            // A crossed dial that gave way is no failure: there is a link.
            None if connection.direction == Direction::Outbound
                && self.link_of(&connection.peer).is_none() =>
            {
                let text =
                    format!("{reason}, before the link was open (it may be full, or not know this node)");
                self.dial_failed(connection.peer, DialFault::Unreachable(text));
            }
            None => {}
        }
    }
}

/// The one place where the log learns of strangers: what each of them does would fill it.
fn warn_of(news: &OfLate) {
    if news.no_descriptor > 0 {
        tracing::warn!(
            connections = news.no_descriptor,
            "no file descriptor was free for connections in the last minutes: raise the limit of this process \
             (`LimitNOFILE` of systemd, `ulimit -n` of a shell)"
        );
    }
    if news.listener_errors > 0 {
        tracing::warn!(
            errors = news.listener_errors,
            last = news.last_error,
            "listeners had errors and go on"
        );
    }
    if news.in_vain > 0 {
        let (worst, of_it) = news.worst_host.as_ref().map_or(("none", 0), |(host, count)| (host, *count));
        tracing::warn!(
            failed = news.in_vain,
            good = news.proven,
            worst,
            of_it,
            "handshakes that others began came to nothing in the last minutes; members' addresses have places of their own"
        );
    }
}
