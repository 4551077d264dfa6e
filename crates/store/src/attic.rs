//! What somebody reads who kept a copy of every value that was ever on a disk, and holds the key file as it is now: a
//! log-structured database keeps old values long after, so this is what erasure has to stand against (I4).
//! For proofs over the faulty disks.

use std::collections::BTreeMap;

use bytes::Bytes;
use tocsin_record::{LogKey, Part, page};

use crate::faulty::{FaultyKv, FaultySlots};
use crate::keys::{Keys, Kind};
use crate::kv::Fault;
use crate::outcome::{LogNo, RecordRef};
use crate::vault::Form;
use crate::{pages, vault};

/// Every sealed value that was seen on a disk, under its key.
#[derive(Clone, Debug, Default)]
pub struct Attic(BTreeMap<Vec<u8>, Vec<Bytes>>);

impl Attic {
    /// Takes a copy of what is on the disk now.
    pub fn gather(&mut self, disk: &FaultyKv) {
        for (key, value) in disk.dump() {
            let sealed = [Kind::Body, Kind::Page].iter().any(|kind| key.get(32) == Some(&(*kind as u8)));
            if sealed && vault::parse(&value).is_ok() {
                let values = self.0.entry(key).or_default();
                if !values.contains(&value) {
                    values.push(value);
                }
            }
        }
    }

    /// All bodies that still open, each value with the key of the slot that it names. `log` says which log has a number
    /// in this store; values of others are left out.
    ///
    /// # Errors
    /// If the key file does not read.
    pub fn bodies(
        &self,
        slots: &FaultySlots,
        log: impl Fn(LogNo) -> Option<LogKey>,
    ) -> Result<Vec<(RecordRef, Bytes)>, Fault> {
        let mut found = Vec::new();
        for (key, values) in &self.0 {
            let Some((no, seq)) = Keys::parse_at(key) else { continue };
            let Some(log) = log(no) else { continue };
            for value in values {
                let sealed = vault::parse(value)?;
                let Some(plain) = vault::unseal(slots, key, &sealed)?.map(Bytes::from) else {
                    continue;
                };
                let page = match sealed.head.form {
                    Form::Body => {
                        found.push((RecordRef { log: no, seq }, plain));
                        continue;
                    }
                    Form::TailRaw => Some(plain),
                    Form::TailPacked => page::unpack(&plain).ok(),
                    Form::Page => {
                        pages::apart(&plain).ok().and_then(|(_, packed)| page::unpack(&packed).ok())
                    }
                };
                let Some(run) = page.and_then(|page| page::decode(log, &page).ok()) else { continue };
                for entry in run.entries() {
                    if let Part::Here(body) = &entry.body {
                        found.push((RecordRef { log: no, seq: entry.header.seq }, body.clone()));
                    }
                }
            }
        }
        Ok(found)
    }
}
