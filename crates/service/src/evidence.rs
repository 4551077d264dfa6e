//! `evidence`: one record as a file that shows to anybody who signed it.

use tocsin_evidence::{Evidence, Opened};
use tocsin_protocol::judge::body_view;
use tocsin_record::{Part, Plain, Run, page};
use tocsin_store::{Bodies, BodyState, StoreError, Stored};

use super::visibility::Visibility;
use super::{Caller, Node, NodeError};

impl Node {
    /// The file of a record that stands here with its body: to whom the record is shown it is given, and nobody else. With
    /// `with_key` that of a sealed record holds the key that opens it. Reads the disk.
    ///
    /// # Errors
    /// When there is no such record, its body is not here, the policy keeps it, or its circle is not this org's to show.
    pub fn evidence(&self, caller: &Caller, word: &str, with_key: bool) -> Result<Vec<u8>, NodeError> {
        caller.check()?;
        let directory = self.engine.directory();
        let stored = self.record(self.find(word)?)?;
        let header = &stored.entry.header;
        if !stored.entry.is_content() {
            return Err(NodeError::Request(
                "evidence is of what an agency says: a report, a sighting or a note".to_owned(),
            ));
        }
        if let BodyState::Gone(_) = stored.stamped.outcome.body {
            return Err(NodeError::NotFound(
                "the record's body was erased, as it ended or was taken back: of what it said nothing is left to show"
                    .to_owned(),
            ));
        }
        let Some(body) = self.body(&stored) else {
            return Err(NodeError::NotFound(
                "the record's body is not here, or cannot be read here: `tocsin why` tells the reason"
                    .to_owned(),
            ));
        };
        let view = body_view(&body);
        let mut visibility = Visibility::new(self, &directory, caller);
        if let Some(rule) = visibility.keeps(&stored, &view) {
            return Err(NodeError::Denied { rule, help: visibility.help(&stored, &view) });
        }
        if !directory.membership(header.circle).had(self.engine.org(), header.roster) {
            return Err(NodeError::Request(format!(
                "who is in {} is not for this org to show: it was not in the circle by version {} of its roster, which the \
                 record names",
                self.circle_name(header.circle),
                header.roster
            )));
        }
        if stored.disputed {
            return Err(NodeError::Request(
                "its author's node signed two different things in this place of its log, of which this is one: it is disputed,                  and not handed on as evidence"
                    .to_owned(),
            ));
        }
        let proof = directory.proof(header.author, header.circle, header.roster);
        let mut evidence = Evidence::new(self.run_of(&stored)?, self.opened(&stored, with_key)?)
            .map_err(|error| NodeError::Request(error.to_string()))?;
        evidence.charters = proof.charters;
        evidence.certificates = proof.certificate.into_iter().collect();
        evidence.revocations = proof.revocations;
        evidence.rosters = proof.rosters;
        let file = evidence.encode().map_err(|error| NodeError::Request(error.to_string()))?;
        caller.note_deed("evidence", &[stored.entry.id]);
        Ok(file)
    }

    /// The record with its body and the headers behind it, up to one that is signed.
    fn run_of(&self, stored: &Stored) -> Result<Run, NodeError> {
        let reader = &self.engine.reader;
        let (place, id) = (stored.place, stored.entry.id);
        let missing =
            || NodeError::NotFound(format!("record {id} was replaced while it was read: ask again"));
        let runs = reader.runs(place.log, place.seq, 1, &mut Bodies::None)?;
        let packed = &runs.first().ok_or_else(missing)?.packed;
        let damaged = |source| StoreError::Page { log: place.log.0, seq: place.seq, source };
        let raw = page::unpack(packed).map_err(damaged)?;
        let mut run = page::decode(stored.entry.header.log(), &raw).map_err(damaged)?;
        if run.entries()[0].id != id {
            return Err(missing());
        }
        if let (Some((_, part)), Some(body)) = (run.bodies_mut().next(), stored.entry.body()) {
            *part = Part::Here(body.clone());
        }
        Ok(run)
    }

    fn opened(&self, stored: &Stored, with_key: bool) -> Result<Option<Opened>, NodeError> {
        let header = &stored.entry.header;
        let Some(plain) = &stored.entry.plain else {
            return Ok(None);
        };
        if !with_key {
            return Ok(Some(Opened::Told(Plain::clone(plain))));
        }
        let key = self.engine.reader.body_key(header);
        let key = key
            .ok_or_else(|| NodeError::NotFound("the key of the record is not here: ask again".to_owned()))?;
        Ok(Some(Opened::Key(*key)))
    }
}
