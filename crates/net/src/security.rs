//! What a TCP connection is encrypted with: TLS 1.3, or Noise with a node that is too old for it.
//!
//! TLS comes first because its key exchange, X25519MLKEM768, also keeps what is recorded today from whoever has a
//! quantum computer later; Noise's does not. Both prove the transport key of the far end. QUIC has the same TLS inside.

use std::io;

use futures::future::{BoxFuture, Either, FutureExt as _};
use futures::{AsyncRead, AsyncWrite};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use libp2p::identity::Keypair;
use libp2p::{PeerId, noise, tls};

use super::StartError;

/// Name of libp2p's TLS 1.3 handshake (specs/tls/tls.md).
const TLS: &str = "/tls/1.0.0";
/// Name of libp2p's Noise XX handshake (specs/noise/README.md).
const NOISE: &str = "/noise";

/// The handshake of a TCP connection.
#[derive(Clone)]
pub(super) struct Security {
    tls: Option<tls::Config>,
    noise: noise::Config,
}

/// An encrypted connection.
type Encrypted<C> = Either<tls::TlsStream<C>, noise::Output<C>>;

/// A handshake that came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum SecurityError {
    #[error("TLS failed")]
    Tls(#[from] tls::UpgradeError),
    #[error("Noise failed")]
    Noise(#[from] noise::Error),
    #[error("neither TLS nor Noise was chosen")]
    Neither(#[from] io::Error),
}

impl Security {
    /// TLS, else Noise.
    pub(super) fn new(keypair: &Keypair) -> Result<Self, StartError> {
        let tls = tls::Config::new(keypair).map_err(|error| StartError::Key(error.to_string()))?;
        Ok(Self { tls: Some(tls), noise: noise::Config::new(keypair)? })
    }

    /// As nodes were before they spoke TLS over TCP.
    #[cfg(test)]
    pub(super) fn noise_only(keypair: &Keypair) -> Result<Self, StartError> {
        Ok(Self { tls: None, noise: noise::Config::new(keypair)? })
    }
}

impl UpgradeInfo for Security {
    type Info = &'static str;
    type InfoIter = std::vec::IntoIter<&'static str>;

    fn protocol_info(&self) -> Self::InfoIter {
        match self.tls {
            Some(_) => vec![TLS, NOISE],
            None => vec![NOISE],
        }
        .into_iter()
    }
}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> InboundConnectionUpgrade<C> for Security {
    type Output = (PeerId, Encrypted<C>);
    type Error = SecurityError;
    type Future = BoxFuture<'static, Result<Self::Output, Self::Error>>;

    fn upgrade_inbound(self, socket: C, chosen: &'static str) -> Self::Future {
        async move {
            match (chosen, self.tls) {
                (TLS, Some(tls)) => {
                    let (peer, stream) = tls.upgrade_inbound(socket, TLS).await?;
                    Ok((peer, Either::Left(stream)))
                }
                (NOISE, _) => {
                    let (peer, stream) = self.noise.upgrade_inbound(socket, NOISE).await?;
                    Ok((peer, Either::Right(stream)))
                }
                _ => Err(io::Error::from(io::ErrorKind::Unsupported).into()),
            }
        }
        .boxed()
    }
}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> OutboundConnectionUpgrade<C> for Security {
    type Output = (PeerId, Encrypted<C>);
    type Error = SecurityError;
    type Future = BoxFuture<'static, Result<Self::Output, Self::Error>>;

    fn upgrade_outbound(self, socket: C, chosen: &'static str) -> Self::Future {
        async move {
            match (chosen, self.tls) {
                (TLS, Some(tls)) => {
                    let (peer, stream) = tls.upgrade_outbound(socket, TLS).await?;
                    Ok((peer, Either::Left(stream)))
                }
                (NOISE, _) => {
                    let (peer, stream) = self.noise.upgrade_outbound(socket, NOISE).await?;
                    Ok((peer, Either::Right(stream)))
                }
                _ => Err(io::Error::from(io::ErrorKind::Unsupported).into()),
            }
        }
        .boxed()
    }
}
