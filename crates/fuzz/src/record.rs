//! Records, pages, documents, files of evidence and backups: what a peer or a person sends and a disk gives back.

use tocsin_backup::{Part as Saved, Parts, PartsOut};
use tocsin_bundle::{Bundle, open as open_bundle};
use tocsin_evidence::Evidence;
use tocsin_record::body::{Body, BodyError};
use tocsin_record::document::{
    Certificate, Charter, Document, Form, Revocations, Roster, Signed, decode_all, encode_all,
};
use tocsin_record::header::{BODY_MAX, FIXED_LEN, body_hash};
use tocsin_record::id::MeshId;
use tocsin_record::marking::Marking;
use tocsin_record::run::body_fits;
use tocsin_record::{Bytes, Header, Part, codec, id, page as pages};

use crate::seeds;

/// Where a header says how long its extension is.
const EXTENSION_AT: usize = 172;

/// A header, as long as it says that it is, and what is behind it.
pub(crate) fn parted(data: &[u8]) -> (&[u8], &[u8]) {
    let extension = data
        .get(EXTENSION_AT..EXTENSION_AT + 2)
        .map_or(0, |length| usize::from(u16::from_be_bytes([length[0], length[1]])));
    data.split_at_checked(FIXED_LEN + extension).unwrap_or((data, &[]))
}

/// A header and, behind it, its body.
pub fn record(data: &[u8]) {
    let (head, bytes) = parted(data);
    let Ok(header) = Header::decode(head) else {
        return;
    };
    assert_eq!(header.encode(), head, "a header re-encodes to what was read");
    assert_eq!(header.check(), Ok(()), "what was read keeps the bounds");
    assert_eq!(body_fits(header.body_len, &header.body_hash, bytes), {
        bytes.len() == header.body_len as usize && body_hash(bytes) == header.body_hash
    });
    if bytes.len() > BODY_MAX {
        return;
    }
    match Body::read(&header, bytes) {
        Ok(body) => read_back(&header, bytes, &body),
        Err(error) => told(&error),
    }
}

fn read_back(header: &Header, bytes: &[u8], body: &Body) {
    if *body == Body::Newer {
        assert!(body.is_newer());
        return;
    }
    assert_eq!(body.encode(), bytes, "a body re-encodes to what was read");
    assert_eq!(body.kind(), Some(header.kind));
    if let Some(marking) = body.marking() {
        assert_eq!(header.tlp, marking.tlp.code());
        assert_eq!(header.flags, marking.flags().word());
        keeps_its_order(marking);
    }
    if let Body::Report(report) = body {
        for indicator in &report.indicators {
            shown(&indicator.what.to_string());
            let _ = indicator.what.parents();
        }
        for original in &report.originals {
            let _ = original.unpack();
        }
    }
}

/// Combining a marking with itself or with another never loosens it.
fn keeps_its_order(marking: &Marking) {
    assert!(!marking.is_looser_than(marking), "no marking is looser than itself: {marking:?}");
    let mut other = Marking::new(tocsin_record::marking::Tlp::Amber);
    other.exercise = marking.exercise;
    if let Ok(both) = marking.stricter(&other) {
        assert!(!both.is_looser_than(marking), "{both:?} is looser than {marking:?}");
        assert!(!both.is_looser_than(&other), "{both:?} is looser than {other:?}");
    }
}

/// An error is one line for people, and carries nothing that moves their cursor.
fn told(error: &BodyError) {
    shown(&error.to_string());
}

fn shown(text: &str) {
    assert!(!text.chars().any(char::is_control), "{text:?} would reach a terminal");
}

/// A page, compressed or not. Only what the author of the seeds signed may verify.
pub fn page(data: &[u8]) {
    if let Ok(page) = pages::unpack(data) {
        assert!(page.len() <= pages::PAGE_MAX);
        one_page(&page);
    }
    one_page(&Bytes::copy_from_slice(data));
}

fn one_page(page: &Bytes) {
    let Ok(run) = pages::decode(seeds::log(), page) else {
        return;
    };
    assert_eq!(pages::encode(&run), **page, "a page re-encodes to what was read");
    let mut before: Option<&Header> = None;
    for entry in run.entries() {
        let header = &entry.header;
        assert_eq!(header.log(), *run.log());
        assert_eq!(header.id(), entry.id);
        assert_eq!(header.check(), Ok(()));
        if let Some(before) = before {
            assert_eq!(header.seq, before.seq + 1);
            assert_eq!(header.prev, before.id());
            assert!(header.time >= before.time);
        }
        if let Part::Here(body) = &entry.body {
            assert!(body_fits(header.body_len, &header.body_hash, body));
            let _ = Body::read(header, body);
        }
        before = Some(header);
    }
    let tip = run.tip();
    if let Ok(verified) = run.verify() {
        assert!(seeds::is_signed(tip.id), "a page verified that nobody signed");
        let half = tip.seq / 2;
        if let Some(rest) = verified.after(half) {
            assert_eq!(rest.tip(), tip);
        }
    }
}

/// Signed documents, as an invitation or a frame brings them.
pub fn document(data: &[u8]) {
    let Ok(all) = decode_all(data) else {
        return;
    };
    assert_eq!(encode_all(&all), data, "documents re-encode to what was read");
    for signed in &all {
        match signed.form {
            Form::Charter => opened::<Charter>(signed, Charter::open(signed).is_ok()),
            Form::Roster => opened::<Roster>(signed, Roster::open(MeshId([1; 32]), signed).is_ok()),
            Form::Certificate => opened::<Certificate>(signed, Certificate::open(signed).is_ok()),
            Form::Revocations => opened::<Revocations>(signed, false),
        }
    }
    follow(&all);
}

fn opened<D: Document>(signed: &Signed, open: bool) {
    match signed.read::<D>() {
        Ok(document) => {
            assert_eq!(codec::encode(&document), signed.bytes, "a document re-encodes to what was read")
        }
        Err(error) => {
            assert!(!open, "what does not read was opened");
            shown(&error.to_string());
        }
    }
}

/// Every document that follows the one before it steps by one.
fn follow(all: &[Signed]) {
    for pair in all.windows(2) {
        let Ok(first) = pair[0].read::<Charter>() else {
            continue;
        };
        if let Ok(next) = first.follow(&pair[0], &pair[1]) {
            assert_eq!(next.version, first.version + 1);
            assert_eq!(next.prev, pair[0].hash());
        }
        let _ = Revocations::open(MeshId([1; 32]), &first, None, &pair[1]);
    }
}

/// What a backup opens to: parts one behind the other. Its encryption costs half a second by design and is not fed here.
pub fn backup(data: &[u8]) {
    let mut parts = Parts::new(data);
    let mut again = None;
    loop {
        match parts.next_part() {
            Ok(Some(Saved::Head(head))) => again = PartsOut::new(Vec::new(), head).ok(),
            Ok(Some(Saved::File { name, bytes })) => {
                assert!(again.as_mut().is_some_and(|out| out.file(name, bytes).is_ok()))
            }
            Ok(Some(Saved::Store(piece))) => {
                assert!(again.as_mut().is_some_and(|out| out.piece(piece).is_ok()))
            }
            Ok(Some(Saved::End(_))) => {}
            Ok(None) => {
                let bytes = again.and_then(|out| out.finish().ok()).map(|(bytes, _)| bytes);
                assert_eq!(bytes.as_deref(), Some(data), "parts are written again as they were read");
                return;
            }
            Err(error) => return shown(&error.to_string()),
        }
    }
}

/// A file that is carried by hand: as it is, and what it opens to, behind its encryption.
pub fn bundle(data: &[u8]) {
    let (node, key) = seeds::bundle_reader();
    match open_bundle(data, seeds::log().mesh, &node, &key) {
        Ok(_) => assert!(seeds::bundles().iter().any(|seed| seed == data), "it opens, and nobody sealed it"),
        Err(error) => shown(&error.to_string()),
    }
    match Bundle::decode(data) {
        Ok(read) => {
            assert_eq!(read.encode(), data, "it re-encodes to what was read");
            // Who made it may be anybody: a certificate that does not hold is told of.
            if let Err(error) = read.cover.maker() {
                shown(&error.to_string());
            }
        }
        Err(error) => shown(&error.to_string()),
    }
}

/// A file of evidence. Whatever somebody wrote there, only what the author of the seeds signed holds.
pub fn evidence(data: &[u8]) {
    // Most of what is changed is stopped by the digest, behind which the rest would never be reached.
    let mut digested = data.to_vec();
    if let Some(end) = data.len().checked_sub(32) {
        let digest = id::hash(id::EVIDENCE, &[&data[..end]]);
        digested[end..].copy_from_slice(&digest);
    }
    for file in [data, &digested] {
        let read = match Evidence::decode(file) {
            Ok(read) => read,
            Err(error) => {
                shown(&error.to_string());
                continue;
            }
        };
        let found = read.check(None);
        found.faults.iter().for_each(|fault| shown(&fault.to_string()));
        assert!(!found.holds() || seeds::is_signed(read.run.tip().id), "it holds, and nobody signed it");
        if found.holds() {
            assert_eq!(read.encode().ok().as_deref(), Some(file), "evidence re-encodes to what was read");
        }
    }
}
