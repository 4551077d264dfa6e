//! From the network to the core: frames are decoded, hashed and checked here, beside the core's thread, and in order.
//!
//! Two threads: one for events and live frames, one for bulk frames, so that a page of a megabyte never stands
//! before an alarm. What is full upstream slows these threads, they slow the links' inboxes, and those the peers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use tocsin_protocol::Input;
use tocsin_protocol::message::{self, LOBBY_DOCUMENT_MAX};
use tocsin_record::MeshId;
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use crate::core::{Core, Item};
use crate::net::{self, Credit, Inbound, Net};
use crate::peers::{LinkState, Peers};

/// Bulk frames between the two threads; their bytes are bounded by the links' credits.
const BULK_FRAMES: usize = 256;

struct Frame {
    link: u64,
    bytes: Bytes,
    credit: Credit,
}

/// Starts the threads. They end when the network does.
///
/// # Errors
/// When the system gives no thread.
pub fn start(
    mesh: MeshId,
    mut inbound: mpsc::Receiver<Inbound>,
    core: Core,
    net: Net,
    peers: Arc<Peers>,
) -> std::io::Result<()> {
    let (bulk, mut bulk_frames) = mpsc::channel::<Frame>(BULK_FRAMES);
    let (bulk_core, bulk_net) = (core.clone(), net.clone());
    thread::Builder::new().name("tocsin-bulk".to_owned()).spawn(move || {
        while let Some(frame) = bulk_frames.blocking_recv() {
            if let Some(item) = decode(mesh, frame, &bulk_net)
                && !bulk_core.send_bulk_blocking(item)
            {
                return;
            }
        }
    })?;
    thread::Builder::new().name("tocsin-live".to_owned()).spawn(move || {
        let mut lobby = BTreeSet::new();
        while let Some(event) = inbound.blocking_recv() {
            if !one(mesh, event, &core, &net, &peers, &bulk, &mut lobby) {
                return;
            }
        }
    })?;
    Ok(())
}

/// Handles one event. False when the core has ended.
fn one(
    mesh: MeshId,
    event: Inbound,
    core: &Core,
    net: &Net,
    peers: &Peers,
    bulk: &mpsc::Sender<Frame>,
    lobby: &mut BTreeSet<u64>,
) -> bool {
    match event {
        Inbound::Listening(address) => {
            info!(%address, "listening");
            peers.listening(address.to_string());
            true
        }
        Inbound::NotListening { reason } => {
            warn!(reason, "no longer listening");
            true
        }
        Inbound::Up { link, peer, remote, direction } => {
            debug!(link, %remote, ?direction, "a link is up");
            lobby.insert(link);
            peers.up(link, LinkState { peer, remote: remote.to_string(), direction, rtt: None, node: None });
            core.send_blocking(Item::Input(Input::LinkUp { link, peer }))
        }
        Inbound::Frame { link, lane, bytes, credit } => {
            let frame = Frame { link, bytes, credit };
            if lane == net::Lane::Bulk {
                return bulk.blocking_send(frame).is_ok();
            }
            if lobby.remove(&link) {
                // After the first frame documents may follow, which are longer.
                net.set_limit(link, u32::try_from(LOBBY_DOCUMENT_MAX).unwrap_or(u32::MAX));
            }
            decode(mesh, frame, net).is_none_or(|item| core.send_blocking(item))
        }
        Inbound::Drained { link, .. } => core.send_blocking(Item::Input(Input::Drained { link })),
        Inbound::Rtt { link, rtt } => {
            peers.measured(link, rtt);
            let ms = u64::try_from(rtt.as_millis()).unwrap_or(u64::MAX).max(1);
            core.send_blocking(Item::Input(Input::Rtt { link, ms }))
        }
        Inbound::Down { link, reason } => {
            lobby.remove(&link);
            debug!(link, %reason, "a link is down");
            peers.down(link, reason.to_string());
            core.send_blocking(Item::Input(Input::LinkDown { link }))
        }
        Inbound::DialFailed { peer, fault } => {
            debug!(%fault, "a dial failed");
            peers.failed(peer, fault.to_string());
            true
        }
    }
}

/// A frame that does not decode is the peer's fault, and ends its link.
fn decode(mesh: MeshId, frame: Frame, net: &Net) -> Option<Item> {
    match message::decode(mesh, &frame.bytes) {
        Ok(incoming) => Some(Item::Frame { link: frame.link, frame: incoming, credit: frame.credit }),
        Err(error) => {
            warn!(link = frame.link, %error, "a frame was refused, and its link is ended");
            net.close(frame.link, format!("your frame was refused: {error}"));
            None
        }
    }
}
