//! From the network to the core: frames are decoded, hashed and checked here, beside the core's thread, and in order.
//!
//! Two threads: one for events and live frames, one for bulk frames, so that a page of a megabyte never stands
//! before an alarm, nor a full queue of pages. What is full upstream slows these threads; frames that wait for them
//! hold the credit of their links, and links without credit are not read, which slows the peers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, mpsc as threads};

use bytes::Bytes;
use tocsin_net::{self as net, Credit, Inbound, Net};
use tocsin_protocol::message::LOBBY_DOCUMENT_MAX;
use tocsin_protocol::{Input, Room, Session};
use tocsin_record::MeshId;
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use crate::core::{Core, Item};
use crate::links::{LinkState, Links};
use crate::supervise::Supervisor;

/// What is known of each link beside the core.
struct Sessions {
    mesh: MeshId,
    /// Those that sent nothing yet.
    lobby: BTreeSet<u64>,
    by_link: BTreeMap<u64, Session>,
}

struct Frame {
    link: u64,
    bytes: Bytes,
    credit: Credit,
}

/// A frame of the bulk lane, and what its peer may have here.
type BulkFrame = (Room, Frame);

/// Starts the threads. They end when the network or the core does.
///
/// # Errors
/// When the system gives no thread.
pub fn start(
    supervisor: &Supervisor,
    mesh: MeshId,
    mut inbound: mpsc::Receiver<Inbound>,
    core: Core,
    net: Net,
    links: Arc<Links>,
) -> std::io::Result<()> {
    // Without a bound of its own, so that the live thread never waits here: each frame in it holds its link's credit,
    // which bounds their bytes and, as an empty frame costs some too, their number.
    let (bulk, bulk_frames) = threads::channel::<BulkFrame>();
    let (bulk_core, bulk_net) = (core.clone(), net.clone());
    supervisor.thread("tocsin-bulk", "decoder of pages", move || {
        while let Ok((room, frame)) = bulk_frames.recv() {
            // What is on this lane names its logs in full, or by numbers of this side.
            let mut session = Session::new(mesh, room);
            let heard = hear(&mut session, frame, &bulk_net, &bulk_core);
            if let Some(item) = heard
                && !bulk_core.send_bulk_blocking(item)
            {
                break;
            }
        }
        Ok(())
    })?;
    supervisor.thread("tocsin-live", "decoder of frames", move || {
        let mut sessions = Sessions { mesh, lobby: BTreeSet::new(), by_link: BTreeMap::new() };
        while let Some(event) = inbound.blocking_recv() {
            if !one(&mut sessions, event, &core, &net, &links, &bulk) {
                break;
            }
        }
        Ok(())
    })?;
    Ok(())
}

/// Handles one event. False when the core has ended.
fn one(
    sessions: &mut Sessions,
    event: Inbound,
    core: &Core,
    net: &Net,
    links: &Links,
    bulk: &threads::Sender<BulkFrame>,
) -> bool {
    match event {
        Inbound::Listening(address) => {
            info!(%address, "listening");
            links.listening(address.to_string());
            true
        }
        Inbound::NotListening { reason } => {
            warn!(reason, "no longer listening");
            true
        }
        Inbound::Up { link, peer, remote, direction } => {
            debug!(link, %remote, ?direction, "a link is up");
            sessions.lobby.insert(link);
            let room = Room::default();
            sessions.by_link.insert(link, Session::new(sessions.mesh, room.clone()));
            links.up(link, LinkState { peer, remote: remote.to_string(), direction, rtt: None, node: None });
            core.send_blocking(Item::Input(Input::LinkUp { link, peer, room }))
        }
        Inbound::Frame { link, lane, bytes, credit } => {
            let frame = Frame { link, bytes, credit };
            let Some(session) = sessions.by_link.get_mut(&link) else { return true };
            if lane == net::Lane::Bulk {
                return bulk.send((session.room().clone(), frame)).is_ok();
            }
            if sessions.lobby.remove(&link) {
                // After the first frame documents may follow, which are longer.
                net.set_limit(link, u32::try_from(LOBBY_DOCUMENT_MAX).unwrap_or(u32::MAX));
            }
            match hear(session, frame, net, core) {
                Some(item) => core.send_blocking(item),
                None => {
                    sessions.by_link.remove(&link);
                    true
                }
            }
        }
        Inbound::Drained { link, .. } => core.send_blocking(Item::Input(Input::Drained { link })),
        Inbound::Rtt { link, rtt } => {
            links.measured(link, rtt);
            let ms = u64::try_from(rtt.as_millis()).unwrap_or(u64::MAX).max(1);
            core.send_blocking(Item::Input(Input::Rtt { link, ms }))
        }
        Inbound::Down { link, reason } => {
            sessions.lobby.remove(&link);
            sessions.by_link.remove(&link);
            debug!(link, %reason, "a link is down");
            links.down(link, reason.to_string());
            core.send_blocking(Item::Input(Input::LinkDown { link }))
        }
        Inbound::DialFailed { peer, fault } => {
            debug!(%fault, "a dial failed");
            links.failed(peer, fault.to_string());
            true
        }
    }
}

/// A frame that does not read is the peer's fault, and ends its link.
fn hear(session: &mut Session, frame: Frame, net: &Net, core: &Core) -> Option<Item> {
    let Frame { link, bytes, credit } = frame;
    match session.hear(&bytes) {
        Ok(incoming) => Some(Item::Frame { link, frame: incoming, credit }),
        Err(error) => {
            warn!(link, %error, "a frame was refused, and its link is ended");
            let reason = format!("your frame was refused: {error}");
            // Before the link is down, after which nobody is charged.
            core.send_blocking(Item::Input(Input::Unreadable {
                link,
                bytes: bytes.len(),
                reason: reason.clone(),
            }));
            net.close(link, reason);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tocsin_protocol::message::{self, Message};
    use zeroize::Zeroizing;

    use super::*;
    use tocsin_net::{Config, Lane, SendError};

    /// The core does not take a single page, and the peer sends more of them than all queues on the way have room for.
    #[tokio::test(flavor = "multi_thread")]
    async fn live_frames_and_link_events_pass_bulk_that_stands_still() {
        let mesh = MeshId([7; 32]);
        let (core, mut inboxes) = Core::new(4);
        let (inbound, inbound_out) = mpsc::channel(16);
        let mut config = Config::new(Zeroizing::new([2; 32]));
        config.listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
        let (net, _task) = net::start(config, inbound).unwrap();
        let links = Arc::new(Links::default());
        start(&Supervisor::new(), mesh, inbound_out, core, net.clone(), Arc::clone(&links)).unwrap();
        while links.listens().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }

        let (inbound, mut far) = mpsc::channel(1024);
        let (far_net, _task) = net::start(Config::new(Zeroizing::new([1; 32])), inbound).unwrap();
        far_net.dial(net.local(), links.listens()).unwrap();
        let at_far = loop {
            match far.recv().await.unwrap() {
                Inbound::Up { link, .. } => break link,
                other => assert!(matches!(other, Inbound::Rtt { .. }), "{other:?}"),
            }
        };
        let mut next = async || {
            let item = tokio::time::timeout(Duration::from_secs(20), inboxes.live().recv()).await;
            item.expect("something came in time").expect("the threads run")
        };
        let Item::Input(Input::LinkUp { link, .. }) = next().await else { panic!("the link is up first") };
        net.admit(link);
        let page = message::encode(&vec![Message::Credit(1)]);
        let mut sent = 0;
        while sent < 2_000 {
            match far_net.try_send(at_far, Lane::Bulk, page.clone()) {
                Ok(()) => sent += 1,
                Err(SendError::Full) => tokio::time::sleep(Duration::from_millis(1)).await,
                Err(error) => panic!("{error}"),
            }
        }
        while far_net.queued(at_far, Lane::Bulk).frames > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Time for what was written to be read and to fill every queue that it can fill.
        tokio::time::sleep(Duration::from_millis(300)).await;
        far_net.try_send(at_far, Lane::Live, message::encode(&vec![Message::Credit(77)])).unwrap();
        loop {
            match next().await {
                Item::Frame { frame, .. } => {
                    assert!(matches!(frame.messages[..], [Message::Credit(77)]), "{:?}", frame.messages);
                    break;
                }
                Item::Input(Input::Rtt { .. } | Input::Drained { .. }) => {}
                _ => panic!("an alarm, or what belongs to the link"),
            }
        }
        far_net.stop();
        loop {
            if let Item::Input(Input::LinkDown { link: down }) = next().await {
                assert_eq!(down, link);
                break;
            }
        }
    }
}
