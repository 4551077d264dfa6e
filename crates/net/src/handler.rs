//! Opens the two lanes of a connection: the dialler opens both, the listener takes both, and any
//! other stream is a breach. What is opened is handed on at once; this holds no stream for long.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::swarm::handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{ConnectionHandler, ConnectionHandlerEvent, Stream, StreamProtocol, SubstreamProtocol};

use super::{Direction, Ended, Lane};

const LIVE: StreamProtocol = StreamProtocol::new("/tocsin/mesh/1/live");
const BULK: StreamProtocol = StreamProtocol::new("/tocsin/mesh/1/bulk");

/// Both streams of a connection.
#[derive(Debug)]
pub(super) struct Lanes {
    pub(super) live: Stream,
    pub(super) bulk: Stream,
}

/// What became of a connection's streams.
#[derive(Debug)]
pub(super) enum Opened {
    /// Both lanes are there.
    Lanes(Box<Lanes>),
    /// They will not come, or the peer opened what it should not.
    Failed(Ended),
}

/// Negotiates the streams of one connection.
pub(super) struct Handler {
    /// Lanes still to be asked for; empty at the listener.
    to_open: Vec<Lane>,
    direction: Direction,
    live: Option<Stream>,
    bulk: Option<Stream>,
    /// At most the lanes and one failure.
    events: VecDeque<Opened>,
    over: bool,
    /// Both lanes were handed on.
    complete: bool,
}

impl Handler {
    pub(super) fn new(direction: Direction) -> Self {
        let to_open = match direction {
            Direction::Inbound => Vec::new(),
            Direction::Outbound => vec![Lane::Bulk, Lane::Live],
        };
        Self {
            to_open,
            direction,
            live: None,
            bulk: None,
            events: VecDeque::new(),
            over: false,
            complete: false,
        }
    }

    fn fail(&mut self, reason: Ended) {
        if !self.over {
            self.over = true;
            self.events.push_back(Opened::Failed(reason));
        }
    }

    fn take(&mut self, stream: Stream, lane: Lane) {
        let place = match lane {
            Lane::Live => &mut self.live,
            Lane::Bulk => &mut self.bulk,
        };
        if self.complete || place.is_some() {
            self.fail(Ended::Malformed(format!("a second {lane:?} stream")));
            return;
        }
        *place = Some(stream);
        match (self.live.take(), self.bulk.take()) {
            (Some(live), Some(bulk)) => {
                self.complete = true;
                self.events.push_back(Opened::Lanes(Box::new(Lanes { live, bulk })));
            }
            (live, bulk) => (self.live, self.bulk) = (live, bulk),
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Opened;
    type InboundProtocol = Negotiate;
    type OutboundProtocol = Negotiate;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Negotiate> {
        SubstreamProtocol::new(Negotiate::Either, ())
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Negotiate, (), Opened>> {
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(event));
        }
        match self.to_open.pop() {
            Some(lane) => Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(Negotiate::One(lane), ()),
            }),
            // Streams come as connection events, after which this is polled again.
            None => Poll::Pending,
        }
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Negotiate, Negotiate>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (stream, lane),
                ..
            }) => match self.direction {
                Direction::Inbound => self.take(stream, lane),
                Direction::Outbound => {
                    self.fail(Ended::Malformed("the listening side opened a stream".to_owned()));
                }
            },
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: (stream, lane),
                ..
            }) => self.take(stream, lane),
            ConnectionEvent::DialUpgradeError(failed) => {
                let reason = format!("it did not open {}: {}", super::PROTOCOL, failed.error);
                self.fail(Ended::Lost(reason));
            }
            _ => {}
        }
    }
}

/// The choice of lane by protocol name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Negotiate {
    One(Lane),
    Either,
}

impl UpgradeInfo for Negotiate {
    type Info = StreamProtocol;
    type InfoIter = std::vec::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        match self {
            Self::One(Lane::Live) => vec![LIVE],
            Self::One(Lane::Bulk) => vec![BULK],
            Self::Either => vec![LIVE, BULK],
        }
        .into_iter()
    }
}

fn named(stream: Stream, name: &StreamProtocol) -> Ready<Result<(Stream, Lane), Infallible>> {
    let lane = if *name == BULK { Lane::Bulk } else { Lane::Live };
    ready(Ok((stream, lane)))
}

impl InboundUpgrade<Stream> for Negotiate {
    type Output = (Stream, Lane);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, name: StreamProtocol) -> Self::Future {
        named(stream, &name)
    }
}

impl OutboundUpgrade<Stream> for Negotiate {
    type Output = (Stream, Lane);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, name: StreamProtocol) -> Self::Future {
        named(stream, &name)
    }
}
