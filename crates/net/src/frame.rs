//! How frames stand in a stream: a head of four bytes, then the bytes.
//!
//! The head's first byte is the kind (0 frame, 1 ping, 2 pong), the other three the length,
//! big-endian. So a frame costs four bytes, and is at most 16 MiB - 1. A ping carries eight bytes
//! that its pong repeats; both go by the live lane only and are never shown to the owner.

use bytes::Bytes;
use futures::io::{AsyncRead, AsyncReadExt as _};

use super::link::Ended;

/// Length of the head.
pub(super) const HEAD: usize = 4;
/// The longest frame.
pub(super) const LONGEST: u32 = 0x00ff_ffff;
/// What a ping and its pong carry.
pub(super) type Nonce = [u8; 8];

/// First step of reading a frame. A stated length is not believed: memory grows with what arrives.
const STEP: usize = 64 * 1024;

/// A head that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// A frame of so many bytes follows.
    Frame(u32),
    /// A nonce follows, to be sent back.
    Ping,
    /// A nonce follows that this end sent.
    Pong,
}

impl Head {
    /// The bytes of the head.
    pub(super) fn encode(self) -> [u8; HEAD] {
        let (kind, length): (u32, u32) = match self {
            Self::Frame(length) => (0, length),
            Self::Ping => (1, size_of::<Nonce>() as u32),
            Self::Pong => (2, size_of::<Nonce>() as u32),
        };
        debug_assert!(length <= LONGEST);
        ((kind << 24) | (length & LONGEST)).to_be_bytes()
    }

    /// Reads a head. Anything that this version does not send is the peer's fault.
    pub(super) fn decode(bytes: [u8; HEAD]) -> Result<Self, Ended> {
        let word = u32::from_be_bytes(bytes);
        match (word >> 24, word & LONGEST) {
            (0, length) => Ok(Self::Frame(length)),
            (1, 8) => Ok(Self::Ping),
            (2, 8) => Ok(Self::Pong),
            (kind, length) => Err(Ended::Malformed(format!("a head of kind {kind} and length {length}"))),
        }
    }
}

/// Reads the bytes of a frame; calls `progress` as they come.
pub(super) async fn body<R>(stream: &mut R, length: usize, progress: impl Fn()) -> std::io::Result<Bytes>
where
    R: AsyncRead + Unpin,
{
    let mut body = Vec::new();
    while body.len() < length {
        let from = body.len();
        let step = (length - from).min(from.max(STEP));
        body.reserve_exact(step);
        body.resize(from + step, 0);
        stream.read_exact(&mut body[from..]).await?;
        progress();
    }
    Ok(Bytes::from(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_pinned() {
        assert_eq!(Head::Frame(0x0001_0203).encode(), [0, 1, 2, 3]);
        assert_eq!(Head::Ping.encode(), [1, 0, 0, 8]);
        assert_eq!(Head::Pong.encode(), [2, 0, 0, 8]);
        for head in [Head::Frame(0), Head::Frame(LONGEST), Head::Ping, Head::Pong] {
            assert_eq!(Head::decode(head.encode()).unwrap(), head);
        }
    }

    #[test]
    fn foreign_heads_are_the_peers_fault() {
        for bytes in [[3, 0, 0, 8], [1, 0, 0, 7], [2, 0, 1, 8], [0xff; 4]] {
            assert!(matches!(Head::decode(bytes), Err(Ended::Malformed(_))), "{bytes:?}");
        }
    }

    #[test]
    fn a_body_is_read_whole_or_not_at_all() {
        let data: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
        let read = futures::executor::block_on(body(&mut &data[..], data.len(), || ())).unwrap();
        assert_eq!(read, data);
        assert!(futures::executor::block_on(body(&mut &data[..], data.len() + 1, || ())).is_err());
    }
}
