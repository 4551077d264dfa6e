//! Runs: headers of one log, each following the one before, that end in their author's signature.
//!
//! A valid signature over any header of a log vouches for it and for all before it. That is the only definition
//! of validity, however a record arrived, and [`Run::verify`] is the only way to a [`Verified`], but for the author itself,
//! who need not ask whether it signed what it signs ([`Verified::sign`]).

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;

use crate::header::{self, BODY_MAX, Class, EXTENSION_MAX, Header, HeaderError};
use crate::id::{BodyHash, RecordId};
use crate::keys::{self, Secret, Signature, VerifyError};
use crate::log::{LogKey, Tip};
use crate::planted;

/// An author signs at least every so many records.
pub const SIGN_EVERY: usize = 64;
/// Most records in one run: bounds what one page takes in memory.
pub const RECORDS_MAX: usize = 8192;

/// What a run says of one record's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The body, exactly as hashed.
    Here(Bytes),
    /// Too large to push: ask for it.
    Ask,
    /// The sender's policy keeps it from the receiver.
    Withheld,
    /// The sender has no body of it, or took none.
    NotHeld,
    /// Erased, with a reason code of [`crate::body::retraction::REASONS`].
    Gone(u8),
}

/// What the body of a sealed record opened to.
#[derive(Clone, PartialEq, Eq)]
pub struct Plain {
    /// Its kind, which the header hides.
    pub kind: u16,
    /// Its bytes, as they were before they were sealed.
    pub bytes: Bytes,
}

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Plain(kind {}, {} bytes)", self.kind, self.bytes.len())
    }
}

/// One record of a run: its header, the id made from it, and what is here of its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The header.
    pub header: Header,
    /// The hash of the header as it was signed.
    pub id: RecordId,
    /// The body, or why it is not here. A body that is here has the length and hash that the header names.
    pub body: Part,
    /// What a sealed body opened to, once somebody opened it. It says nothing about what is passed on: that is the body as it
    /// was sealed.
    pub plain: Option<Plain>,
}

/// Consecutive records of one log with the signature over the last. Not yet verified, but chained: every id was
/// computed here, every `prev` is the id before, seqs rise by one and times do not fall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub(crate) log: LogKey,
    pub(crate) entries: Vec<Entry>,
    pub(crate) signature: Signature,
}

/// A run whose signature was checked, or made here with the author's key: it is what its author said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified(Run);

/// What an author wants to say, before it has a place in a log.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Body kind; the class follows from it.
    pub kind: u16,
    /// As [`Header::tlp`].
    pub tlp: u8,
    /// As [`Header::flags`].
    pub flags: u16,
    /// Now, in ms. A time before the log's last is raised to it.
    pub time: u64,
    /// When it ends in ms, 0 for never.
    pub expires: u64,
    /// The roster version known.
    pub roster: u32,
    /// Signed and kept; at most 256 bytes.
    pub extension: Vec<u8>,
    /// The encoded body; at most 1 MiB.
    pub body: Bytes,
}

/// Why a draft cannot become a record.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DraftError {
    /// The body is over 1 MiB.
    #[error("the body has {0} bytes, at most {BODY_MAX} fit in a record: split the report")]
    Body(usize),
    /// The kind is not one that this node writes.
    #[error("records of kind {0} are not written by this node")]
    Kind(u16),
    /// It ends before it would be written.
    #[error("it is to be kept until {expires}, which is before its time, {time} (both in ms since 1970)")]
    Over {
        /// When, in ms.
        expires: u64,
        /// The time of its record: now, or that of the last one of its log, which is later.
        time: u64,
    },
    /// Another field is out of bounds.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// There is nothing to sign, or more than one run holds.
    #[error("a run has 1 to {SIGN_EVERY} records when it is signed, this one {0}")]
    Count(usize),
    /// It cannot be sealed.
    #[error("the body cannot be sealed: {0}")]
    Seal(String),
    /// The key is another's than that of the log's author.
    #[error("the key that signs is not that of the log's author")]
    Author,
}

/// What seals the bodies of drafts: see [`Run::sign_with`].
pub type Seal<'a> = &'a mut dyn FnMut(&mut Header, &Bytes) -> Result<Option<Bytes>, DraftError>;

impl Run {
    /// The log that all records stand in.
    #[must_use]
    pub fn log(&self) -> &LogKey {
        &self.log
    }

    /// The records in order; never empty.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// For a sender that leaves bodies out: each body part, to be replaced.
    pub fn bodies_mut(&mut self) -> impl Iterator<Item = (&Header, &mut Part)> {
        self.entries.iter_mut().map(|entry| (&entry.header, &mut entry.body))
    }

    /// The signature over the last record's id.
    #[must_use]
    pub fn signature(&self) -> Signature {
        self.signature
    }

    /// Number of the first record.
    #[must_use]
    pub fn first_seq(&self) -> u64 {
        self.entries[0].header.seq
    }

    /// The tip that this run ends in.
    #[must_use]
    pub fn tip(&self) -> Tip {
        let last = &self.entries[self.entries.len() - 1];
        last.header.tip(last.id)
    }

    /// The id of the record before the first.
    #[must_use]
    pub fn prev(&self) -> RecordId {
        self.entries[0].header.prev
    }

    /// Bytes of all bodies that are here.
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        self.entries.iter().map(|entry| if let Part::Here(body) = &entry.body { body.len() } else { 0 }).sum()
    }

    /// Leaves out the records up to and with `seq`, if any remain: the signature vouches for the rest as well.
    #[must_use]
    pub fn after(mut self, seq: u64) -> Option<Self> {
        let known = usize::try_from((seq + 1).saturating_sub(self.first_seq())).ok()?;
        if known >= self.entries.len() {
            return None;
        }
        self.entries.drain(..known);
        Some(self)
    }

    /// Joins a run that follows this one directly; its signature vouches for both.
    ///
    /// # Errors
    /// Gives both back when they are not of one log, do not follow, or would be too many.
    pub fn join(mut self, next: Self) -> Result<Self, Box<(Self, Self)>> {
        let tip = self.tip();
        let follows = self.log == next.log && next.first_seq() == tip.seq + 1 && next.prev() == tip.id;
        if !follows || self.entries.len() + next.entries.len() > RECORDS_MAX {
            return Err(Box::new((self, next)));
        }
        self.entries.extend(next.entries);
        self.signature = next.signature;
        Ok(self)
    }

    /// Checks the author's signature over the last record, strictly.
    ///
    /// # Errors
    /// When the author is no usable key or the signature is not theirs over this chain: the fault of the peer that
    /// sent the run.
    pub fn verify(self) -> Result<Verified, VerifyError> {
        if planted::is(planted::Bug::SkipVerify) {
            return Ok(Verified(self));
        }
        keys::verify(&self.log.author.0, &self.tip().id.0, &self.signature)?;
        Ok(Verified(self))
    }

    /// Writes drafts behind `tip` and signs the last: the author's side. Admission verifies it like any other.
    ///
    /// # Errors
    /// [`DraftError`]; nothing was signed then.
    pub fn sign(secret: &Secret, log: LogKey, tip: Tip, drafts: Vec<Draft>) -> Result<Self, DraftError> {
        Self::sign_with(secret, log, tip, drafts, &mut |_, _| Ok(None))
    }

    /// As [`Self::sign`], with bodies that are sealed as `seal` has it. It sees each header that a draft would have unsealed,
    /// and the draft's body: what it returns is the sealed body, for which it changed the header, or `None` for one that
    /// stays as it is.
    ///
    /// # Errors
    /// [`DraftError`]; nothing was signed then.
    pub fn sign_with(
        secret: &Secret,
        log: LogKey,
        tip: Tip,
        drafts: Vec<Draft>,
        seal: Seal<'_>,
    ) -> Result<Self, DraftError> {
        if drafts.is_empty() || drafts.len() > SIGN_EVERY {
            return Err(DraftError::Count(drafts.len()));
        }
        let mut entries = Vec::with_capacity(drafts.len());
        let mut tip = tip;
        let mut buffer = Vec::new();
        for draft in drafts {
            let entry = draft.into_entry(log, tip, &mut buffer, seal)?;
            tip = entry.header.tip(entry.id);
            entries.push(entry);
        }
        Ok(Self { log, entries, signature: secret.sign(&tip.id.0) })
    }
}

impl Verified {
    /// As [`Run::sign`], by the author of the log: its own signature over what it wrote this moment needs no check.
    ///
    /// # Errors
    /// [`DraftError`]; also when the key is not that of the log's author. Nothing was signed then.
    pub fn sign(secret: &Secret, log: LogKey, tip: Tip, drafts: Vec<Draft>) -> Result<Self, DraftError> {
        Self::sign_with(secret, log, tip, drafts, &mut |_, _| Ok(None))
    }

    /// As [`Run::sign_with`], by the author of the log.
    ///
    /// # Errors
    /// As [`Self::sign`].
    pub fn sign_with(
        secret: &Secret,
        log: LogKey,
        tip: Tip,
        drafts: Vec<Draft>,
        seal: Seal<'_>,
    ) -> Result<Self, DraftError> {
        if secret.public() != log.author.0 {
            return Err(DraftError::Author);
        }
        Run::sign_with(secret, log, tip, drafts, seal).map(Self)
    }

    /// Opens what is sealed, each record in order: nothing of what was verified changes by it.
    ///
    /// # Errors
    /// The first of `open`.
    pub fn open<E>(&mut self, mut open: impl FnMut(&Entry) -> Result<Option<Plain>, E>) -> Result<(), E> {
        for entry in &mut self.0.entries {
            entry.plain = open(entry)?;
        }
        Ok(())
    }

    /// The run, when what follows needs no proof that it was verified.
    #[must_use]
    pub fn into_run(self) -> Run {
        self.0
    }

    /// As [`Run::after`]: the signature still vouches for what remains.
    #[must_use]
    pub fn after(self, seq: u64) -> Option<Self> {
        self.0.after(seq).map(Self)
    }

    /// As [`Run::bodies_mut`]: which bodies are kept is the receiver's decision, the headers are untouched.
    pub fn bodies_mut(&mut self) -> impl Iterator<Item = (&Header, &mut Part)> {
        self.0.bodies_mut()
    }
}

impl Deref for Verified {
    type Target = Run;

    fn deref(&self) -> &Run {
        &self.0
    }
}

impl Draft {
    fn into_entry(
        self,
        log: LogKey,
        tip: Tip,
        buffer: &mut Vec<u8>,
        seal: Seal<'_>,
    ) -> Result<Entry, DraftError> {
        if self.body.len() > BODY_MAX {
            return Err(DraftError::Body(self.body.len()));
        }
        if self.extension.len() > EXTENSION_MAX {
            return Err(HeaderError::Field("extension").into());
        }
        // A log's times never fall. What ended before its record would be written is not put off: its body says when it ends.
        let time = self.time.max(tip.time);
        if self.expires != 0 && self.expires < time {
            return Err(DraftError::Over { expires: self.expires, time });
        }
        let mut header = Header {
            suite: 0,
            class: crate::body::class_of(self.kind).ok_or(DraftError::Kind(self.kind))?,
            kind: self.kind,
            tlp: self.tlp,
            flags: self.flags,
            mesh: log.mesh,
            author: log.author,
            circle: log.circle,
            epoch: log.epoch,
            seq: tip.seq + 1,
            prev: tip.id,
            time,
            expires: self.expires,
            roster: self.roster,
            extension: self.extension,
            body_len: u32::try_from(self.body.len()).expect("checked: at most 1 MiB"),
            body_hash: header::body_hash(&self.body),
        };
        header.check()?;
        let sealed = seal(&mut header, &self.body)?;
        let plain = sealed.is_some().then(|| Plain { kind: self.kind, bytes: self.body.clone() });
        let id = header.id_with(buffer);
        Ok(Entry { header, id, body: Part::Here(sealed.unwrap_or(self.body)), plain })
    }
}

impl Entry {
    /// The body, if it is here.
    #[must_use]
    pub fn body(&self) -> Option<&Bytes> {
        if let Part::Here(body) = &self.body { Some(body) } else { None }
    }

    /// What is read of the body: as it stands in the record, or what it opened to. `None` where it is not here, or sealed and
    /// not opened.
    #[must_use]
    pub fn readable(&self) -> Option<(u16, &Bytes)> {
        match (&self.plain, &self.body) {
            (Some(plain), Part::Here(_)) => Some((plain.kind, &plain.bytes)),
            (None, Part::Here(body)) if self.header.suite == 0 => Some((self.header.kind, body)),
            _ => None,
        }
    }

    /// Whether the record is decided by policy, rather than always passed to members.
    #[must_use]
    pub fn is_content(&self) -> bool {
        self.header.class == Class::Content
    }
}

/// Whether bytes are the body that a header names.
#[must_use]
pub fn body_fits(len: u32, hash: &BodyHash, body: &[u8]) -> bool {
    body.len() == len as usize && header::body_hash(body) == *hash
}
