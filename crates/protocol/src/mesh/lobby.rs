//! The lobby: mesh, certificate, charter and revocations are settled before anything else is read.
//!
//! ```text
//! both:  Lobby (mesh, certificate, versions)        <= 8 KiB
//! ahead: Documents that the other lacks, in order   <= 1 MiB each, 16 at a time
//! then:  in, or out; 10 s, 64 at once
//! ```

use std::sync::Arc;

use tocsin_record::OrgId;
use tocsin_record::codec;
use tocsin_record::document::{Certificate, DOCUMENT_MAX, Signed};
use tocsin_store::{Kv, Slots, StoreError};

use crate::io::{Effect, Event, LinkId, Output};
use crate::links::link::{Link, Peer, Stage};
use crate::mesh::Mesh;
use crate::message::documents::DOCUMENTS_MAX;
use crate::message::lobby::{OLDEST_PROTOCOL, PROTOCOL};
use crate::message::{Documents, Lobby, Message};

/// How long a link may stay in the lobby, in ms.
const PATIENCE_MS: u64 = 10_000;

impl<K: Kv, S: Slots> Mesh<K, S> {
    pub(crate) fn enter_lobby(&mut self, id: LinkId) {
        let lobby = Lobby {
            protocol: PROTOCOL,
            mesh: self.directory.mesh(),
            certificate: self.admission.identity.certificate.clone(),
            charter: self.directory.charter_behind(),
            revocations: self.directory.revocations_behind(),
            extension: Vec::new(),
        };
        self.tell(id, Message::Lobby(lobby));
    }

    pub(crate) fn heard_in_lobby(
        &mut self,
        id: LinkId,
        message: Message,
        out: &mut Output,
    ) -> Result<(), StoreError> {
        match message {
            Message::Lobby(lobby) => {
                let again = |link: &Link| matches!(&link.stage, Stage::Lobby(w) if w.peer.is_some());
                if self.links.get(id).is_some_and(again) {
                    self.close(id, "it introduced itself twice", out);
                    return Ok(());
                }
                self.heard_lobby(id, &lobby, out)
            }
            Message::Documents(documents) => {
                if !self.is_waiting(id) || documents.0.len() > DOCUMENTS_MAX {
                    self.close(id, "it sent documents that were not asked for", out);
                    return Ok(());
                }
                let (new, error) = self.take_documents(&documents.0, Some(id), false, out)?;
                if new == 0 {
                    let reason = error.unwrap_or_else(|| "it sent no document that is new".into());
                    self.close(id, format!("in the lobby: {reason}"), out);
                    return Ok(());
                }
                // What it has changed may have made its org known.
                self.tell_lacking(id);
                self.try_enter(id, out)
            }
            _ => {
                self.close(id, "it spoke before it was in", out);
                Ok(())
            }
        }
    }

    fn heard_lobby(&mut self, id: LinkId, lobby: &Lobby, out: &mut Output) -> Result<(), StoreError> {
        let checked = self.check_lobby_frame(id, lobby);
        let peer = match checked {
            Ok(peer) => peer,
            Err(reason) => {
                self.close(id, reason, out);
                return Ok(());
            }
        };
        if let Some(link) = self.links.get_mut(id)
            && let Stage::Lobby(waiting) = &mut link.stage
        {
            link.protocol = lobby.protocol.min(PROTOCOL);
            waiting.peer = Some((peer, lobby.certificate.clone()));
            waiting.charter = lobby.charter.version;
            waiting.revocations = lobby.revocations.version;
        }
        self.tell_lacking(id);
        self.try_enter(id, out)
    }

    /// Sends charters and revocations that a peer lacks, once, and only to the node of an org that is in the charter: who is
    /// in the mesh, and whom to call there, is nobody else's business.
    fn tell_lacking(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(id) else { return };
        let Stage::Lobby(waiting) = &mut link.stage else { return };
        let known = waiting.peer.as_ref().is_some_and(|(peer, _)| self.directory.org(peer.org).is_some());
        if !known || std::mem::replace(&mut waiting.told, true) {
            return;
        }
        let (charter, revocations) = (waiting.charter, waiting.revocations);
        let lacking = self.directory.after(charter, revocations);
        self.send_documents(id, &lacking);
    }

    /// Whether the peer has documents that it is about to send.
    fn is_waiting(&self, id: LinkId) -> bool {
        let mine = (self.directory.charter_behind(), self.directory.revocations_behind());
        self.links.get(id).is_some_and(|link| match &link.stage {
            Stage::Lobby(waiting) => waiting.charter > mine.0.version || waiting.revocations > mine.1.version,
            Stage::In(_) => false,
        })
    }

    fn check_lobby_frame(&self, id: LinkId, lobby: &Lobby) -> Result<Peer, String> {
        if lobby.protocol < OLDEST_PROTOCOL {
            return Err(format!(
                "it speaks protocol {}, this node {OLDEST_PROTOCOL} to {PROTOCOL}: its software is too old",
                lobby.protocol
            ));
        }
        if lobby.mesh != self.directory.mesh() {
            return Err("it is in another mesh".into());
        }
        let certificate = Certificate::open(&lobby.certificate).map_err(|error| error.to_string())?;
        let key = self.links.get(id).map(|link| link.key);
        if key != Some(certificate.transport_key()) {
            return Err("its certificate names another transport key than the link has".into());
        }
        if certificate.node_key() == self.admission.node {
            return Err("it is this node itself: two machines run from one home".into());
        }
        let fork = lobby.charter.version == self.directory.charter_behind().version
            && lobby.charter.hash != self.directory.charter_behind().hash;
        if fork {
            return Err(format!(
                "it holds another charter of version {}: the stewards signed two",
                lobby.charter.version
            ));
        }
        Ok(Peer { node: certificate.node_key(), org: certificate.org })
    }

    /// In, if nothing is missing and the peer is certified by an org of the charter.
    fn try_enter(&mut self, id: LinkId, out: &mut Output) -> Result<(), StoreError> {
        if self.is_waiting(id) {
            return Ok(());
        }
        let Some(link) = self.links.get(id) else {
            return Ok(());
        };
        let Stage::Lobby(waiting) = &link.stage else {
            return Ok(());
        };
        let Some((peer, certificate)) = waiting.peer.clone() else {
            return Ok(());
        };
        // Only now, with the charter that the peer knows, can its certificate be placed.
        self.take_documents(&[certificate], Some(id), false, out)?;
        if self.directory.org_of(peer.node) != Some(peer.org) {
            self.close(id, "its org is not in the charter, or its certificate was revoked", out);
            return Ok(());
        }
        if !self.links.budgets.entered(id, peer, self.now.mono) {
            self.close(id, "its node or org made this node do more than its share, and is let in later", out);
            return Ok(());
        }
        let patience = self.now.mono + 1000;
        if let Some(link) = self.links.get_mut(id) {
            link.enter(peer);
            link.hello_due = true;
            link.holes_due = true;
            link.next_hello = patience;
        }
        self.share_rooms();
        out.push(Effect::Admitted { link: id, node: peer.node });
        out.push(Effect::Event(Event::PeerIn { node: peer.node, org: peer.org }));
        self.say_hello(id);
        self.tell_all_heads(id);
        self.tell_all_proposals(id);
        Ok(())
    }

    /// Documents in order, in messages that a peer in the lobby takes: each under its bound, or of one document. What there is
    /// no room for goes with a later comparison.
    pub(crate) fn send_documents<'a>(&mut self, id: LinkId, documents: impl IntoIterator<Item = &'a Signed>) {
        let mut some: Vec<Signed> = Vec::new();
        let mut bytes = 0;
        for signed in documents {
            if self.links.get(id).is_none_or(Link::is_full) {
                return;
            }
            let len = codec::size(signed);
            if !some.is_empty() && (some.len() == DOCUMENTS_MAX || bytes + len > DOCUMENT_MAX) {
                self.tell(id, Message::Documents(Documents(std::mem::take(&mut some))));
                bytes = 0;
            }
            bytes += len;
            some.push(signed.clone());
        }
        if !some.is_empty() {
            self.tell(id, Message::Documents(Documents(some)));
        }
    }

    /// New documents go to every link but the one they came by, a roster to those that may know of its circle.
    pub(crate) fn tell_documents(&mut self, new: &[Signed], from: Option<LinkId>) {
        let directory = Arc::clone(&self.directory);
        let audiences: Vec<_> = new.iter().map(|signed| (signed, directory.audience(signed))).collect();
        let others: Vec<(LinkId, OrgId)> =
            self.links.peers().filter(|(id, _)| Some(*id) != from).map(|(id, peer)| (id, peer.org)).collect();
        for (id, org) in others {
            let told = audiences.iter().filter(|(_, audience)| audience.has(org));
            let told = told.flat_map(|(signed, audience)| audience.history(org).chain([*signed]));
            self.send_documents(id, told);
        }
    }

    pub(crate) fn heard_documents(
        &mut self,
        id: LinkId,
        documents: &Documents,
        out: &mut Output,
    ) -> Result<(), StoreError> {
        if documents.0.len() > DOCUMENTS_MAX {
            self.close(id, "it sent too many documents at once", out);
            return Ok(());
        }
        self.take_documents(&documents.0, Some(id), false, out)?;
        Ok(())
    }

    pub(crate) fn check_lobby(&mut self, out: &mut Output) {
        let late =
            |stage: &Stage, mono: u64| matches!(stage, Stage::Lobby(w) if w.since + PATIENCE_MS < mono);
        let mono = self.now.mono;
        let ended: Vec<LinkId> =
            self.links.iter().filter(|(_, link)| late(&link.stage, mono)).map(|(id, _)| id).collect();
        for id in ended {
            self.close(id, "it did not get through the lobby in 10 s", out);
        }
    }
}
