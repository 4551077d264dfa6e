//! Reads frames as they pass, so that oracles can say what was told to whom. Only the wire forms are shared with the
//! protocol; nothing is judged here.

use std::collections::BTreeMap;

use bytes::Bytes;
use tocsin_protocol::message::{BodyStatus, LogName, Message};
use tocsin_record::{DocHash, LogKey, MeshId, Part, RecordId, Run, codec, page};

/// What reading one frame may take in memory.
const LIMIT: usize = 64 << 20;

/// One thing that a frame told.
#[derive(Debug)]
pub enum Said {
    /// A log was named: its circle and author are known to the other now.
    Log(LogKey),
    /// A document was told, or its hash.
    Document(DocHash),
    /// A record was told, its header at least.
    Record(RecordId),
    /// A body was given.
    Body {
        /// The log of its record.
        log: LogKey,
        /// The record's place in the log, from 1.
        seq: u64,
        /// Its record's id, where the frame shows the header as well.
        id: Option<RecordId>,
        /// The body.
        bytes: Bytes,
    },
    /// A body is asked for, or asked about.
    Asks {
        /// Its log.
        log: LogKey,
        /// Its number.
        seq: u64,
    },
    /// Somebody says that a log is held up to a height.
    Height {
        /// By its record key, if it is not the sender.
        by: Option<tocsin_record::NodeKey>,
        /// The log.
        log: LogKey,
        /// So far.
        height: u64,
    },
}

/// The numbers that one end of a link gave to logs.
type Names = BTreeMap<u32, LogName>;

/// Reads the frames of all links.
#[derive(Debug)]
pub struct Peek {
    mesh: MeshId,
    names: BTreeMap<(u64, usize), Names>,
}

impl Peek {
    /// Begins with a mesh's first link.
    #[must_use]
    pub fn new(mesh: MeshId) -> Self {
        Self { mesh, names: BTreeMap::new() }
    }

    /// The messages of a frame; `None` if it is none.
    #[must_use]
    pub fn messages(frame: &[u8]) -> Option<Vec<Message>> {
        codec::decode::<Vec<Message>, LIMIT>(frame).ok()
    }

    /// The names that an end gave so far.
    #[must_use]
    pub fn names_of(&self, link: u64, end: usize) -> Vec<(u32, LogName)> {
        self.names.get(&(link, end)).into_iter().flatten().map(|(no, name)| (*no, *name)).collect()
    }

    /// A link ended.
    pub fn forget(&mut self, link: u64) {
        self.names.remove(&(link, 0));
        self.names.remove(&(link, 1));
    }

    /// What a frame of one end (0 or 1) of a link tells the other. Frames that are none tell nothing.
    pub fn read(&mut self, link: u64, end: usize, messages: &[Message]) -> Vec<Said> {
        let mut said = Vec::new();
        for message in messages {
            self.read_one((link, end), message, &mut said);
        }
        said
    }

    fn named(&self, from: (u64, usize), no: u32) -> Option<LogKey> {
        self.names.get(&from)?.get(&no).map(|name| name.key(self.mesh))
    }

    fn read_one(&mut self, from: (u64, usize), message: &Message, said: &mut Vec<Said>) {
        let other = (from.0, 1 - from.1);
        match message {
            Message::Name(no, name) => {
                self.names.entry(from).or_default().entry(*no).or_insert(*name);
                said.push(Said::Log(name.key(self.mesh)));
            }
            Message::Entries(entries) => {
                for entry in &entries.0 {
                    let log = entry.log.key(self.mesh);
                    self.names.entry(from).or_default().entry(entry.no).or_insert(entry.log);
                    said.push(Said::Log(log));
                    said.push(Said::Height { by: None, log, height: entry.height });
                }
            }
            Message::Push(push) => {
                if let Some(log) = self.named(from, push.log) {
                    run(page::decode(log, &Bytes::copy_from_slice(&push.page)).ok(), said);
                }
            }
            Message::Fork(proof) => {
                for push in proof.iter() {
                    if let Some(log) = self.named(from, push.log) {
                        run(page::decode(log, &Bytes::copy_from_slice(&push.page)).ok(), said);
                    }
                }
            }
            Message::Page(sent) => {
                let log = sent.log.key(self.mesh);
                said.push(Said::Log(log));
                let page = page::unpack(&sent.packed).ok();
                run(page.and_then(|page| page::decode(log, &page).ok()), said);
            }
            Message::Bodies(bodies) => {
                for body in bodies {
                    if let BodyStatus::Here(bytes) = &body.status
                        && let Some(log) = self.named(other, body.what.log)
                    {
                        let bytes = Bytes::copy_from_slice(bytes);
                        said.push(Said::Body { log, seq: body.what.seq, id: None, bytes });
                    }
                }
            }
            Message::WantBodies(refs) | Message::Holes(refs) => {
                for what in refs {
                    // A number that the asker gave.
                    if let Some(log) = self.named(from, what.log) {
                        said.push(Said::Asks { log, seq: what.seq });
                    }
                }
            }
            Message::Documents(documents) => {
                said.extend(documents.0.iter().map(|signed| Said::Document(signed.hash())));
            }
            Message::DocumentList(list) => said.extend(list.0.iter().copied().map(Said::Document)),
            Message::Have(haves) => {
                for have in haves {
                    if let Some(log) = self.named(from, have.log) {
                        let height = have.from.saturating_add(u64::from(have.more));
                        said.push(Said::Height { by: None, log, height });
                    }
                }
            }
            Message::Receipts(receipts) => {
                for receipt in receipts {
                    let holder = self.named(from, receipt.holder).map(|log| log.author);
                    if let (Some(log), Some(by)) = (self.named(from, receipt.log), holder) {
                        said.push(Said::Height { by: Some(by), log, height: receipt.height });
                    }
                }
            }
            _ => {}
        }
    }
}

fn run(run: Option<Run>, said: &mut Vec<Said>) {
    let Some(run) = run else { return };
    for entry in run.entries() {
        said.push(Said::Record(entry.id));
        if let Part::Here(bytes) = &entry.body {
            let (log, seq, id) = (*run.log(), entry.header.seq, Some(entry.id));
            said.push(Said::Body { log, seq, id, bytes: bytes.clone() });
        }
    }
}
