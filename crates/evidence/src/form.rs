//! The file: written, and read within its bounds. What it says is another matter: see [`crate::check`].

use bincode::{Decode, Encode};
use tocsin_clock as clock;
use tocsin_record::body::Body;
use tocsin_record::codec::{self, CodecError};
use tocsin_record::document::Signed;
use tocsin_record::header::BODY_MAX;
use tocsin_record::id::{self, Tag};
use tocsin_record::marking::{Countries, Marking};
use tocsin_record::page::{self, PageError};
use tocsin_record::{Bytes, Entry, LogKey, Part, Plain, Run};
use tocsin_seal::open_by;

/// Longest file, in bytes: a page, what it opens to, and all documents that a node keeps, with room.
pub const FILE_MAX: usize = 32 << 20;
/// How each file begins.
const MAGIC: &[u8] = b"tocsin evidence 1\n";
/// The same without the version.
const MAGIC_OF_ALL: &[u8] = b"tocsin evidence ";
/// Longest label, in bytes: purposes and countries of the longest marking.
const LABEL_MAX: usize = 32 << 10;
const DIGEST: Tag = id::EVIDENCE;
const DIGEST_LEN: usize = 32;
/// What decoding the frame may take in memory, in bytes.
const LIMIT: usize = 4 * FILE_MAX;

/// One record, with all that shows who signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The record first, with its body; behind it only headers, up to one that is signed.
    pub run: Run,
    /// What a sealed body says.
    pub opened: Option<Opened>,
    /// All versions of the mesh's charter, from the first.
    pub charters: Vec<Signed>,
    /// What the org of the author's node said of its keys.
    pub certificates: Vec<Signed>,
    /// All versions of the revocations, where the last names the author's node.
    pub revocations: Vec<Signed>,
    /// The versions of the circle's roster from the first up to the one that the record names, if the circle has one.
    pub rosters: Vec<Signed>,
    /// How it may be handled, as the file's head says it.
    label: String,
}

/// What a sealed body says, and how that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// By the word of who made the file.
    Told(Plain),
    /// By the key of its day, which opens what the same author sealed to the circle on that day as well.
    Key([u8; 32]),
}

/// Why bytes are no such file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Something else.
    #[error("it is no evidence of tocsin: it does not begin with `tocsin evidence 1`")]
    Magic,
    /// A later version of the form.
    #[error("it was written in a later form than this program reads: use a newer `tocsin`")]
    Newer,
    /// Over the bound.
    #[error("it has {0} bytes, and evidence at most {FILE_MAX}")]
    Long(usize),
    /// Cut, longer, or changed.
    #[error("it was cut or changed since it was made: {0}. Have it sent again")]
    Damaged(&'static str),
    /// The frame.
    #[error("its frame {0}")]
    Codec(#[from] CodecError),
    /// The page.
    #[error("its record: {0}")]
    Page(#[from] PageError),
    /// A bound or order of the form is not kept.
    #[error("its {0} is not as the form has it")]
    Form(&'static str),
}

#[derive(Encode, Decode)]
struct Frame {
    log: LogKey,
    page: Vec<u8>,
    opened: Option<OpenedForm>,
    charters: Vec<Signed>,
    certificates: Vec<Signed>,
    revocations: Vec<Signed>,
    rosters: Vec<Signed>,
    /// What later versions add; empty in this one.
    extension: Vec<u8>,
}

#[derive(Encode, Decode)]
enum OpenedForm {
    Told { kind: u16, bytes: Vec<u8> },
    Key([u8; 32]),
}

impl Evidence {
    /// Of a run that begins with the record. Bodies of the records behind it are left out.
    ///
    /// # Errors
    /// [`FileError::Form`], if the record's body is not in it.
    pub fn new(mut run: Run, opened: Option<Opened>) -> Result<Self, FileError> {
        for (_, part) in run.bodies_mut().skip(1) {
            *part = Part::NotHeld;
        }
        let mut evidence = Self {
            run,
            opened,
            charters: Vec::new(),
            certificates: Vec::new(),
            revocations: Vec::new(),
            rosters: Vec::new(),
            label: String::new(),
        };
        evidence.check_form()?;
        evidence.label = label(evidence.body().as_ref().and_then(Body::marking));
        Ok(evidence)
    }

    /// The record.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        &self.run.entries()[0]
    }

    /// How the file's head says that it may be handled.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// What the record says, if it can be read. Whether that was signed is another matter.
    #[must_use]
    pub fn body(&self) -> Option<Body> {
        let entry = self.entry();
        let header = &entry.header;
        match &self.opened {
            None => Body::of(entry)?.ok(),
            Some(Opened::Told(plain)) => Body::read_as(header, plain.kind, &plain.bytes).ok(),
            Some(Opened::Key(key)) => {
                let plain = open_by(key, header, entry.body()?).ok()?;
                Body::read_as(header, plain.kind, &plain.bytes).ok()
            }
        }
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// [`FileError::Long`].
    pub fn encode(&self) -> Result<Vec<u8>, FileError> {
        let opened = self.opened.as_ref().map(|opened| match opened {
            Opened::Told(plain) => OpenedForm::Told { kind: plain.kind, bytes: plain.bytes.to_vec() },
            Opened::Key(key) => OpenedForm::Key(*key),
        });
        let frame = codec::encode(&Frame {
            log: *self.run.log(),
            page: page::encode(&self.run),
            opened,
            charters: self.charters.iter().map(only_valid).collect(),
            certificates: self.certificates.iter().map(only_valid).collect(),
            revocations: self.revocations.iter().map(only_valid).collect(),
            rosters: self.rosters.iter().map(only_valid).collect(),
            extension: Vec::new(),
        });
        let length = MAGIC.len() + self.label.len() + 1 + 4 + frame.len() + DIGEST_LEN;
        let frame_len = u32::try_from(frame.len()).map_err(|_| FileError::Long(length))?;
        if length > FILE_MAX {
            return Err(FileError::Long(length));
        }
        let mut file = Vec::with_capacity(length);
        file.extend_from_slice(MAGIC);
        file.extend_from_slice(self.label.as_bytes());
        file.push(b'\n');
        file.extend_from_slice(&frame_len.to_be_bytes());
        file.extend_from_slice(&frame);
        let digest = id::hash(DIGEST, &[&file]);
        file.extend_from_slice(&digest);
        Ok(file)
    }

    /// Reads a file. What it says is not checked by that: see [`Self::check`].
    ///
    /// # Errors
    /// [`FileError`].
    pub fn decode(file: &[u8]) -> Result<Self, FileError> {
        if file.len() > FILE_MAX {
            return Err(FileError::Long(file.len()));
        }
        let rest = file.strip_prefix(MAGIC).ok_or_else(|| {
            let version = file.strip_prefix(MAGIC_OF_ALL).and_then(<[u8]>::first);
            if version.is_some_and(u8::is_ascii_digit) { FileError::Newer } else { FileError::Magic }
        })?;
        let (before, digest) =
            file.split_last_chunk::<DIGEST_LEN>().ok_or(FileError::Damaged("it is too short"))?;
        if id::hash(DIGEST, &[before]) != *digest {
            return Err(FileError::Damaged("its last 32 bytes are not the digest of the others"));
        }
        let end = rest.iter().take(LABEL_MAX + 1).position(|byte| *byte == b'\n');
        let (label, rest) = end.and_then(|end| rest.split_at_checked(end)).ok_or(FileError::Form("label"))?;
        let label = std::str::from_utf8(label).map_err(|_| FileError::Form("label"))?;
        if label.chars().any(char::is_control) {
            return Err(FileError::Form("label"));
        }
        let frame = rest[1..].split_last_chunk::<DIGEST_LEN>().ok_or(FileError::Form("length"))?.0;
        let (length, frame) = frame.split_first_chunk::<4>().ok_or(FileError::Form("length"))?;
        if u32::from_be_bytes(*length) as usize != frame.len() {
            return Err(FileError::Form("length"));
        }
        let frame: Frame = codec::decode::<_, LIMIT>(frame)?;
        if !frame.extension.is_empty() {
            return Err(FileError::Newer);
        }
        let opened = frame.opened.map(|opened| match opened {
            OpenedForm::Told { kind, bytes } => Opened::Told(Plain { kind, bytes: bytes.into() }),
            OpenedForm::Key(key) => Opened::Key(key),
        });
        let evidence = Self {
            run: page::decode(frame.log, &Bytes::from(frame.page))?,
            opened,
            charters: frame.charters,
            certificates: frame.certificates,
            revocations: frame.revocations,
            rosters: frame.rosters,
            label: label.to_owned(),
        };
        evidence.check_form()?;
        Ok(evidence)
    }

    fn check_form(&self) -> Result<(), FileError> {
        let form = |ok: bool, what| if ok { Ok(()) } else { Err(FileError::Form(what)) };
        let entry = self.entry();
        form(entry.body().is_some(), "body")?;
        form(self.run.entries()[1..].iter().all(|entry| entry.body == Part::NotHeld), "headers")?;
        form((entry.header.suite == 0) == self.opened.is_none(), "opened body")?;
        match &self.opened {
            Some(Opened::Told(plain)) => form(plain.bytes.len() <= BODY_MAX, "opened body"),
            _ => Ok(()),
        }
    }
}

/// A document with the signatures that hold: who checks the file requires that of each.
fn only_valid(signed: &Signed) -> Signed {
    let mut signed = signed.clone();
    let holding: Vec<_> = signed.valid_signatures().collect();
    signed.signatures = holding;
    signed
}

/// How something may be handled, in a line for people.
#[must_use]
pub fn label(marking: Option<&Marking>) -> String {
    let Some(marking) = marking else {
        return "not marked: for its own org alone".to_owned();
    };
    let mut words = vec![marking.tlp.label().to_owned()];
    words.extend(marking.exercise.then(|| "EXERCISE".to_owned()));
    words.extend(marking.pap.map(|pap| pap.label().to_owned()));
    words.push(format!("personal data {}", marking.personal.name()));
    if !marking.purposes.is_empty() {
        let names = marking.purposes.iter().map(|code| code.purpose_name().unwrap_or("newer"));
        words.push(format!("for {}", names.collect::<Vec<_>>().join(", ")));
    }
    words.extend(marking.retain_until.map(|until| format!("kept until {}", clock::rfc3339(until))));
    let (what, list) = match &marking.countries {
        Countries::Any => ("", &[][..]),
        Countries::Only(list) => ("only for", list.as_slice()),
        Countries::Except(list) => ("not for", list.as_slice()),
    };
    if !list.is_empty() || !what.is_empty() {
        let letters = list.iter().map(|code| String::from_utf8_lossy(&code.letters()).into_owned());
        words.push(format!("{what} {}", letters.collect::<Vec<_>>().join(", ")));
    }
    words.extend(marking.police.map(|police| format!("police codes {police}")));
    if marking.is_newer() {
        words.push("and what a newer version says".to_owned());
    }
    words.join("; ")
}
