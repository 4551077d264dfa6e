//! Frames: the first thing that a stranger's bytes meet.

use tocsin_protocol::message::{self, FRAME_MAX, MESSAGES_MAX, Message};
use tocsin_record::MeshId;

use crate::seeds;

/// A frame of a link. Pages in it verify only if the author of the seeds signed them.
pub fn frame(data: &[u8]) {
    match message::decode(MeshId([1; 32]), data) {
        Ok(incoming) => {
            assert_eq!(incoming.bytes, data.len());
            assert!(data.len() <= FRAME_MAX && incoming.messages.len() <= MESSAGES_MAX);
            assert_eq!(message::encode(&incoming.messages), data, "a frame re-encodes to what was read");
            assert_eq!(incoming.messages.iter().map(Message::runs).sum::<usize>(), incoming.runs.len());
            for run in incoming.runs.iter().flatten() {
                assert!(seeds::is_signed(run.tip().id), "a page verified that nobody signed");
            }
        }
        Err(error) => {
            let text = error.to_string();
            assert!(!text.chars().any(char::is_control), "{text:?} would reach a terminal");
        }
    }
}
