//! `watch`: what happens, as it happens, for one person and what that person asks for.

use std::sync::Arc;

use tocsin_api::types::{Event, PartnerNode};
use tocsin_protocol::Event as CoreEvent;
use tocsin_protocol::judge::body_view;
use tocsin_record::NodeKey;
use tokio::sync::{OwnedSemaphorePermit, broadcast};

use super::visibility::Visibility;
use super::{Caller, Node, NodeError};

/// One watcher's place in the stream of events.
pub struct Watching {
    node: Arc<Node>,
    caller: Caller,
    events: broadcast::Receiver<CoreEvent>,
    _permit: OwnedSemaphorePermit,
}

impl Node {
    /// Begins to follow what happens, for who asks.
    ///
    /// # Errors
    /// When the purpose is none, or too many watch already.
    pub fn watch(self: &Arc<Self>, caller: Caller) -> Result<Watching, NodeError> {
        caller.check()?;
        let permit = Arc::clone(&self.watchers).try_acquire_owned().map_err(|_| {
            NodeError::Request(
                "too many watch already: raise limits.watchers in the configuration".to_owned(),
            )
        })?;
        let events = self.engine.core.watch();
        Ok(Watching { node: Arc::clone(self), caller, events, _permit: permit })
    }
}

impl Watching {
    /// The next that is somebody's business; `None` where the node ends, or what tells of it panicked.
    pub async fn next(mut self) -> Option<(Event, Self)> {
        loop {
            let event = match self.events.recv().await {
                Ok(event) => {
                    // It reads the store, which may hang with the disk.
                    let told = tokio::task::spawn_blocking(move || (self.told(event), self)).await;
                    let event;
                    (event, self) = told.ok()?;
                    event
                }
                Err(broadcast::error::RecvError::Lagged(events)) => Some(Event::Missed { events }),
                Err(broadcast::error::RecvError::Closed) => return None,
            };
            if let Some(event) = event {
                return Some((event, self));
            }
        }
    }

    /// An event of the core as this watcher has it; `None` for what is nobody's business. It is judged like any answer: by the
    /// policy and the person that are in force when it comes.
    fn told(&self, event: CoreEvent) -> Option<Event> {
        let node = &self.node;
        let directory = node.engine.directory();
        let peer = |key: NodeKey| PartnerNode {
            org: directory.org_of(key).map(|org| node.org_name(&directory, org)).unwrap_or_default(),
            node: node.node_name(&directory, key),
            ..PartnerNode::default()
        };
        match event {
            CoreEvent::Judged { place, .. } => {
                let stored = node.engine.reader.record(place).ok()??;
                let body = node.body(&stored);
                let caller = Caller { principal: (*node.person()).clone(), ..self.caller.clone() };
                let mut visibility = Visibility::new(node, &directory, &caller);
                if let Some(view) = body.as_ref().map(body_view)
                    && let Some(rule) = visibility.keeps(&stored, &view)
                {
                    return Some(Event::Kept { rule, help: visibility.help(&stored, &view) });
                }
                caller.note("watch", &[stored.entry.id]);
                Some(Event::Record(Box::new(node.list_entry(&directory, &stored, body.as_ref()))))
            }
            CoreEvent::PeerIn { node, .. } => Some(Event::Up(PartnerNode { connected: true, ..peer(node) })),
            CoreEvent::PeerOut { node } => Some(Event::Down(peer(node))),
            CoreEvent::Forked { author, circle, seq } => Some(Event::Alarm {
                message: format!(
                    "{} said two different things at number {seq} of circle {}",
                    peer(author).org,
                    node.circle_name(circle)
                ),
            }),
            CoreEvent::NotGiven { node: key, records } => Some(Event::Alarm {
                message: format!("{} announces {records} records that it does not give", peer(key).org),
            }),
            CoreEvent::Clock { reading } if reading.is_trusted() => {
                Some(Event::Over { message: reading.to_string() })
            }
            CoreEvent::Clock { reading } => Some(Event::Alarm { message: reading.text() }),
            // That a record was decided about is told by its judgement.
            CoreEvent::Documents { .. } | CoreEvent::Erased { .. } | CoreEvent::DecidedByDefault { .. } => {
                None
            }
        }
    }
}
