//! A QUIC connection and its streams, as libp2p asks for them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::future::{BoxFuture, FutureExt as _};
use futures::{AsyncRead, AsyncWrite};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};

type Opening = BoxFuture<'static, Result<(quinn::SendStream, quinn::RecvStream), quinn::ConnectionError>>;

/// A connection.
pub(super) struct Muxer {
    connection: quinn::Connection,
    inbound: Option<Opening>,
    outbound: Option<Opening>,
    closing: Option<BoxFuture<'static, quinn::ConnectionError>>,
}

impl Muxer {
    pub(super) fn new(connection: quinn::Connection) -> Self {
        Self { connection, inbound: None, outbound: None, closing: None }
    }
}

/// Drives one opening, and forgets it when it is done.
fn opened(
    opening: &mut Option<Opening>,
    begin: impl FnOnce() -> Opening,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Stream>> {
    let done = ready!(opening.get_or_insert_with(begin).poll_unpin(cx));
    *opening = None;
    Poll::Ready(match done {
        Ok((send, receive)) => Ok(Stream { send, receive, closed: false }),
        Err(error) => Err(io::Error::other(error)),
    })
}

impl StreamMuxer for Muxer {
    type Substream = Stream;
    type Error = io::Error;

    fn poll_inbound(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        let Self { connection, inbound, .. } = self.get_mut();
        let begin = || {
            let connection = connection.clone();
            async move { connection.accept_bi().await }.boxed()
        };
        opened(inbound, begin, cx)
    }

    fn poll_outbound(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        let Self { connection, outbound, .. } = self.get_mut();
        let begin = || {
            let connection = connection.clone();
            async move { connection.open_bi().await }.boxed()
        };
        opened(outbound, begin, cx)
    }

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        // Addresses do not change: migration is off.
        Poll::Pending
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { connection, closing, .. } = self.get_mut();
        let closed = closing.get_or_insert_with(|| {
            connection.close(0u32.into(), &[]);
            let connection = connection.clone();
            async move { connection.closed().await }.boxed()
        });
        Poll::Ready(match ready!(closed.poll_unpin(cx)) {
            quinn::ConnectionError::LocallyClosed => Ok(()),
            error => Err(io::Error::other(error)),
        })
    }
}

/// Both ways of one stream.
pub(super) struct Stream {
    send: quinn::SendStream,
    receive: quinn::RecvStream,
    closed: bool,
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        AsyncRead::poll_read(Pin::new(&mut self.receive), cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.send), cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.send), cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.closed {
            // quinn calls a second end an error; here it is none.
            return Poll::Ready(Ok(()));
        }
        ready!(AsyncWrite::poll_close(Pin::new(&mut self.send), cx))?;
        self.closed = true;
        Poll::Ready(Ok(()))
    }
}
