//! A certificate: an org's root says which keys are one of its nodes'.

use std::collections::BTreeSet;

use bincode::{Decode, Encode};

use super::{Document, DocumentError, Form, Signed};
use crate::document::charter::is_name;
use crate::id::{LogId, NodeKey, OrgId, RecordId};
use crate::keys::Public;

/// What a certified key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub enum Purpose {
    /// Signs records. The key names the node.
    Record = 1,
    /// Opens links; its libp2p peer id is the node's address.
    Transport = 2,
    /// Opens what was sealed to the node.
    Sealing = 3,
    /// Signs rosters.
    Steward = 4,
}

/// Keys of one node. The highest version of a node's certificate stands.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Certificate {
    /// The org that certifies.
    pub org: OrgId,
    /// Name of the node within the org.
    pub node: String,
    /// From 1; a higher one replaces a lower one.
    pub version: u32,
    /// When it was written, in ms.
    pub time: u64,
    /// Exactly one record and one transport key in force, and what else the node has.
    pub keys: Vec<CertifiedKey>,
    /// Which branch of a forked log of this node stands.
    pub branches: Vec<Branch>,
    /// What newer nodes add.
    pub extension: Vec<u8>,
}

/// A key with what it may be used for, and when.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CertifiedKey {
    /// A number of [`Purpose`]; unknown ones are kept and not used.
    pub purpose: u16,
    /// 0: Ed25519; 1: X-Wing for sealing; 2: kept free for approved algorithms.
    pub suite: u8,
    /// The public key, at most 4 KiB.
    pub bytes: Vec<u8>,
    /// From when, in ms.
    pub from: u64,
    /// Until when, in ms, 0 for ever.
    pub until: u64,
}

/// After a fork: which branch stands, and from which epoch on the author counts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Branch {
    /// The forked log.
    pub log: LogId,
    /// Place of the fork.
    pub seq: u64,
    /// The record that stands there.
    pub id: RecordId,
    /// The first epoch that counts again.
    pub epoch: u64,
}

impl Document for Certificate {
    const FORM: Form = Form::Certificate;

    fn check(&self) -> Result<(), &'static str> {
        let ok = |ok: bool, field| if ok { Ok(()) } else { Err(field) };
        ok(self.version >= 1, "version")?;
        ok(is_name(&self.node), "node name")?;
        ok(self.keys.len() <= 64, "keys")?;
        ok(self.keys.iter().all(|key| key.bytes.len() <= 4096), "key bytes")?;
        ok(self.branches.len() <= 4096, "branches")?;
        let usable = |purpose| {
            self.keys_for(purpose)
                .all(|key| key.try_into().is_ok_and(|bytes: [u8; 32]| Public::new(&bytes).is_ok()))
        };
        ok(self.keys_for(Purpose::Record).count() == 1 && usable(Purpose::Record), "record key")?;
        ok(self.keys_for(Purpose::Transport).count() == 1 && usable(Purpose::Transport), "transport key")?;
        ok(usable(Purpose::Steward), "steward key")
    }
}

impl Certificate {
    fn keys_for(&self, purpose: Purpose) -> impl Iterator<Item = &[u8]> {
        // Signing and transport keys are Ed25519; a key of another suite is one that this node cannot use.
        let suite = move |key: &CertifiedKey| purpose == Purpose::Sealing || key.suite == 0;
        self.keys
            .iter()
            .filter(move |key| key.purpose == purpose as u16 && suite(key))
            .map(|key| key.bytes.as_slice())
    }

    fn key(&self, purpose: Purpose) -> [u8; 32] {
        self.keys_for(purpose).next().and_then(|key| key.try_into().ok()).unwrap_or_default()
    }

    /// The node's record key, which names it.
    #[must_use]
    pub fn node_key(&self) -> NodeKey {
        NodeKey(self.key(Purpose::Record))
    }

    /// The node's transport key.
    #[must_use]
    pub fn transport_key(&self) -> [u8; 32] {
        self.key(Purpose::Transport)
    }

    /// The keys that are sealed to for the node, each with its suite.
    pub fn sealing_keys(&self) -> impl Iterator<Item = (u8, &[u8])> {
        let sealing = self.keys.iter().filter(|key| key.purpose == Purpose::Sealing as u16);
        sealing.map(|key| (key.suite, key.bytes.as_slice()))
    }

    /// The keys with which the node may sign rosters.
    pub fn steward_keys(&self) -> impl Iterator<Item = [u8; 32]> {
        self.keys_for(Purpose::Steward).filter_map(|key| key.try_into().ok())
    }

    /// Reads a certificate and checks that its org's root signed it, and with every key that signs or opens links the key
    /// itself: without that an org could certify another's keys as its own, and so shut their owner out.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub fn open(signed: &Signed) -> Result<Self, DocumentError> {
        let certificate: Self = signed.read()?;
        let mut signers: BTreeSet<[u8; 32]> = certificate.steward_keys().collect();
        signers.extend([certificate.org.0, certificate.node_key().0, certificate.transport_key()]);
        signed.require(&signers, signers.len())?;
        Ok(certificate)
    }
}
