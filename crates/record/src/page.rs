//! The one form of a run in frames and on disk: column by column, without what the chain rebuilds.
//!
//! Mesh, author, circle and epoch come from the log that the run is filed under; seq, prev and the hash of a body
//! that is present are rebuilt, and so checked, while reading. What a page says in two ways is refused: equal
//! neighbouring shapes or parts, integers not in their shortest form, bytes left over.
//!
//! ```text
//! page    = seq, prev, shapes, times, ends, lengths, parts, absent hashes, signature, bodies
//! packed  = full length (4, big-endian), zstd of a page
//! ```

use std::ops::ControlFlow;

use bincode::{BorrowDecode, Encode};
use bytes::Bytes;

use crate::codec::{self, CodecError, InflateError};
use crate::header::{Class, Header, HeaderError, VERSION, body_hash};
use crate::id::{BodyHash, RecordId};
use crate::keys::Signature;
use crate::log::LogKey;
use crate::run::{Entry, Part, RECORDS_MAX, Run};

/// Longest page before compression, in bytes, whatever bodies leave it: see [`longest`].
pub const PAGE_MAX: usize = 8 << 20;
/// What the hash of a body takes that left its page.
const HASH_LEN: usize = 32;
/// What a record takes in the column of parts if its neighbours are there otherwise.
const PART_LEN: usize = 2;
/// The lengths of the columns that change when a body leaves.
const PREFIXES: usize = 16;
/// What a record takes in all other columns, without its extension.
const COLUMNS: usize = 64;
/// What decoding the columns of a page may take in memory, in bytes.
const LIMIT: usize = 4 * PAGE_MAX;

#[derive(Encode, BorrowDecode)]
struct Form<'a> {
    seq: u64,
    prev: RecordId,
    shapes: Vec<Shape<'a>>,
    /// The first in ms, then the difference to the one before: a falling time cannot be written.
    times: Vec<u64>,
    /// 0 for never, else expires - time + 1.
    ends: Vec<u64>,
    lengths: Vec<u32>,
    parts: Vec<(u32, u8)>,
    /// Of the bodies that are not here.
    hashes: Vec<BodyHash>,
    signature: Signature,
    bodies: &'a [u8],
}

/// What neighbouring records mostly share, with how many share it.
#[derive(Encode, BorrowDecode)]
struct Shape<'a> {
    count: u32,
    version: u8,
    suite: u8,
    class: Class,
    kind: u16,
    tlp: u8,
    flags: u16,
    roster: u32,
    extension: &'a [u8],
}

impl<'a> Shape<'a> {
    fn of(header: &'a Header) -> Self {
        Self {
            count: 0,
            version: VERSION,
            suite: header.suite,
            class: header.class,
            kind: header.kind,
            tlp: header.tlp,
            flags: header.flags,
            roster: header.roster,
            extension: &header.extension,
        }
    }

    fn same(&self, other: &Self) -> bool {
        let key = |s: &Self| (s.version, s.suite, s.class, s.kind, s.tlp, s.flags, s.roster);
        key(self) == key(other) && self.extension == other.extension
    }
}

// What stands in the column of parts for each record; on the wire, so appended to only.
const HERE: u8 = 0;
const ASK: u8 = 1;
const WITHHELD: u8 = 2;
const NOT_HELD: u8 = 3;
/// And above: gone, with the reason.
const GONE: u8 = 16;

fn part_code(part: &Part) -> u8 {
    match part {
        Part::Here(_) => HERE,
        Part::Ask => ASK,
        Part::Withheld => WITHHELD,
        Part::NotHeld => NOT_HELD,
        Part::Gone(reason) => GONE.saturating_add(*reason),
    }
}

/// Why bytes are not a page. Always the fault of whoever sent or stored it.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The compressed form is damaged or too long.
    #[error("page {0}")]
    Inflate(#[from] InflateError),
    /// The columns do not parse.
    #[error("page {0}")]
    Codec(#[from] CodecError),
    /// A column is too short, too long, or says one thing twice.
    #[error("page column `{0}` does not fit")]
    Column(&'static str),
    /// A header is out of bounds.
    #[error("record {seq} of the page: {source}")]
    Header {
        /// Number of the record in its log.
        seq: u64,
        /// What is wrong.
        source: HeaderError,
    },
}

/// Writes a run as a page.
#[must_use]
pub fn encode(run: &Run) -> Vec<u8> {
    let mut shapes: Vec<Shape<'_>> = Vec::new();
    let mut parts: Vec<(u32, u8)> = Vec::new();
    let (mut times, mut ends, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
    let mut hashes = Vec::new();
    let mut bodies = Vec::with_capacity(run.body_bytes());
    let mut before = 0;
    for entry in &run.entries {
        let header = &entry.header;
        let shape = Shape::of(header);
        match shapes.last_mut() {
            Some(last) if last.same(&shape) => last.count += 1,
            _ => shapes.push(Shape { count: 1, ..shape }),
        }
        let code = part_code(&entry.body);
        match parts.last_mut() {
            Some((count, last)) if *last == code => *count += 1,
            _ => parts.push((1, code)),
        }
        times.push(header.time - before);
        before = header.time;
        ends.push(if header.expires == 0 { 0 } else { header.expires - header.time + 1 });
        lengths.push(header.body_len);
        match &entry.body {
            Part::Here(body) => bodies.extend_from_slice(body),
            _ => hashes.push(header.body_hash),
        }
    }
    codec::encode(&Form {
        seq: run.first_seq(),
        prev: run.prev(),
        shapes,
        times,
        ends,
        lengths,
        parts,
        hashes,
        signature: run.signature,
        bodies: &bodies,
    })
}

/// Reads a page of `log`, rebuilding and hashing every header. Bodies are slices of `page`, not copies.
///
/// # Errors
/// [`PageError`] for anything but the one form of a run.
pub fn decode(log: LogKey, page: &Bytes) -> Result<Run, PageError> {
    let form: Form<'_> = codec::decode::<_, LIMIT>(bounded(page)?)?;
    form.check(page.len())?;
    let mut prev = form.prev;
    let mut entries = Vec::with_capacity(form.times.len());
    let mut buffer = Vec::new();
    for entry in form.records(log, page) {
        let Entry { mut header, body, .. } = entry?;
        header.prev = prev;
        if let Part::Here(body) = &body {
            header.body_hash = body_hash(body);
        }
        check(&header)?;
        let id = header.id_with(&mut buffer);
        prev = id;
        entries.push(Entry { header, id, body, plain: None });
    }
    Ok(Run { log, entries, signature: form.signature })
}

/// Shows the records of a page that was checked before, with their `ids`, one after the other and with nothing hashed,
/// until one breaks off: the hashes of bodies that are here are left zero. For questions that do not read them.
///
/// # Errors
/// [`PageError`], if it is no page of that many records all the same.
pub fn outline(
    log: LogKey,
    page: &Bytes,
    ids: &[[u8; 32]],
    mut visit: impl FnMut(&Entry) -> ControlFlow<()>,
) -> Result<(), PageError> {
    // Bodies are counted apart from those of others who look at this page now: a count that two processors change makes
    // each wait for the other.
    let page = &Bytes::from_owner(page.clone());
    let form: Form<'_> = codec::decode_again::<_, LIMIT>(bounded(page)?)?;
    form.check(page.len())?;
    fits(ids.len() == form.times.len(), "ids")?;
    let mut prev = form.prev;
    for (entry, id) in form.records(log, page).zip(ids) {
        let mut entry = entry?;
        entry.header.prev = prev;
        check(&entry.header)?;
        entry.id = RecordId(*id);
        prev = entry.id;
        if visit(&entry).is_break() {
            break;
        }
    }
    Ok(())
}

fn bounded(page: &Bytes) -> Result<&[u8], InflateError> {
    if page.len() > PAGE_MAX {
        return Err(InflateError::TooLong { stated: page.len(), most: PAGE_MAX });
    }
    Ok(page)
}

fn fits(ok: bool, column: &'static str) -> Result<(), PageError> {
    if ok { Ok(()) } else { Err(PageError::Column(column)) }
}

fn check(header: &Header) -> Result<(), PageError> {
    header.check().map_err(|source| PageError::Header { seq: header.seq, source })
}

impl Form<'_> {
    /// Whether the columns are of one length, and each says what it says once. `length` is the whole page's.
    fn check(&self, length: usize) -> Result<(), PageError> {
        let count = self.times.len();
        fits((1..=RECORDS_MAX).contains(&count), "times")?;
        fits(self.ends.len() == count, "ends")?;
        fits(self.lengths.len() == count, "lengths")?;
        fits(self.seq >= 1 && self.seq <= u64::MAX / 2, "seq")?;
        fits(!self.shapes.windows(2).any(|pair| pair[0].same(&pair[1])), "shapes")?;
        fits(!self.parts.windows(2).any(|pair| pair[0].1 == pair[1].1), "parts")?;
        fits(self.shapes.iter().all(|shape| shape.count > 0 && shape.version == VERSION), "shapes")?;
        fits(
            self.parts.iter().all(|&(count, code)| count > 0 && (code <= NOT_HELD || code >= GONE)),
            "parts",
        )?;
        fits(self.shapes.iter().map(|shape| u64::from(shape.count)).sum::<u64>() == count as u64, "shapes")?;
        fits(self.parts.iter().map(|part| u64::from(part.0)).sum::<u64>() == count as u64, "parts")?;
        let absent = self.codes().filter(|code| *code != HERE).count();
        fits(self.hashes.len() == absent, "hashes")?;
        let here = self.lengths.iter().zip(self.codes()).filter(|(_, code)| *code == HERE);
        fits(here.map(|(length, _)| u64::from(*length)).sum::<u64>() == self.bodies.len() as u64, "bodies")?;
        let most = self.longest(length);
        if most > PAGE_MAX {
            return Err(InflateError::TooLong { stated: most, most: PAGE_MAX }.into());
        }
        Ok(())
    }

    /// How long this page, of `length` now, can become while bodies leave it. It does not grow when one does, so that
    /// nobody who takes bodies out makes a page that others refuse.
    fn longest(&self, length: usize) -> usize {
        let changing = codec::size(&self.parts) + codec::size(&self.hashes) + codec::size(&self.bodies);
        let parts = self.lengths.iter().zip(self.codes()).map(|(length, code)| {
            let body = if code == HERE { *length as usize } else { 0 };
            body.max(HASH_LEN) + PART_LEN
        });
        length.saturating_sub(changing) + parts.sum::<usize>() + PREFIXES
    }

    /// The part code of every record.
    fn codes(&self) -> impl Iterator<Item = u8> {
        self.parts.iter().flat_map(|&(count, code)| (0..count).map(move |_| code))
    }

    /// The records of a page whose columns fit. Ids, every `prev`, and the hashes of bodies that are here are zero.
    fn records<'p>(
        &'p self,
        log: LogKey,
        page: &'p Bytes,
    ) -> impl Iterator<Item = Result<Entry, PageError>> + 'p {
        let shapes = self.shapes.iter().flat_map(|shape| (0..shape.count).map(move |_| shape));
        let columns = self.times.iter().zip(&self.ends).zip(&self.lengths);
        let mut hashes = self.hashes.iter();
        let mut body_at = page.len() - self.bodies.len();
        let mut time = 0u64;
        let records = (self.seq..).zip(shapes).zip(self.codes()).zip(columns);
        records.map(move |(((seq, shape), code), ((later, &end), &length))| {
            time = time.checked_add(*later).ok_or(PageError::Column("times"))?;
            let expires = match end {
                0 => 0,
                end => time.checked_add(end - 1).ok_or(PageError::Column("ends"))?,
            };
            let (body, body_hash) = if code == HERE {
                let from = body_at;
                body_at += length as usize;
                (Part::Here(page.slice(from..body_at)), BodyHash::ZERO)
            } else {
                let part = match code {
                    ASK => Part::Ask,
                    WITHHELD => Part::Withheld,
                    NOT_HELD => Part::NotHeld,
                    code => Part::Gone(code.saturating_sub(GONE)),
                };
                (part, *hashes.next().ok_or(PageError::Column("hashes"))?)
            };
            let header = Header {
                suite: shape.suite,
                class: shape.class,
                kind: shape.kind,
                tlp: shape.tlp,
                flags: shape.flags,
                mesh: log.mesh,
                author: log.author,
                circle: log.circle,
                epoch: log.epoch,
                seq,
                prev: RecordId::ZERO,
                time,
                expires,
                roster: shape.roster,
                extension: shape.extension.to_vec(),
                body_len: length,
                body_hash,
            };
            Ok(Entry { header, id: RecordId::ZERO, body, plain: None })
        })
    }
}

/// At most what a run takes as a page, whatever bodies leave it. Over [`PAGE_MAX`] nobody reads it: whoever joins runs or
/// puts bodies into one keeps it below.
#[must_use]
pub fn longest(run: &Run) -> usize {
    let each = run.entries.iter().map(|entry| {
        let body = entry.body().map_or(0, Bytes::len);
        body.max(HASH_LEN) + PART_LEN + COLUMNS + entry.header.extension.len()
    });
    each.sum::<usize>() + size_of::<Signature>() + COLUMNS + PREFIXES
}

/// Compresses a page, with its length first.
#[must_use]
pub fn pack(page: &[u8]) -> Vec<u8> {
    let full = u32::try_from(page.len()).expect("a page is far below 4 GiB");
    let mut out = full.to_be_bytes().to_vec();
    out.extend_from_slice(&codec::deflate(page));
    out
}

/// Undoes [`pack`], stopping at [`PAGE_MAX`].
///
/// # Errors
/// When the stated length is too long or not what the data holds.
pub fn unpack(packed: &[u8]) -> Result<Bytes, PageError> {
    let (full, compressed) = packed.split_first_chunk::<4>().ok_or(PageError::Column("length"))?;
    let full = u32::from_be_bytes(*full) as usize;
    Ok(codec::inflate(compressed, full, PAGE_MAX)?.into())
}
