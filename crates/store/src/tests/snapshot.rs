//! Snapshots: what stands at one moment, though the store goes on and erases it; and nothing of what was erased before.

use std::path::Path;

use tocsin_record::codec;

use super::disk::{RealStore, open};
use super::*;
use crate::keyfile::KeyFile;
use crate::slots::Slots as _;
use crate::snapshot::Piece;
use crate::{LogNo, RecordRef, Restoring, Snapshot, vault};

const ERASED: &str = "what is erased between the two";

fn pieces(mut snapshot: Snapshot) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| snapshot.next_piece().unwrap()).collect()
}

fn restored(dir: &Path, pieces: &[Vec<u8>]) -> RealStore {
    let mut restoring = Restoring::create(&dir.join("store"), MESH, &["alive"]).unwrap();
    pieces.iter().for_each(|piece| restoring.take(piece).unwrap());
    restoring.finish().unwrap();
    open(dir, 9).unwrap()
}

/// How many sealed values open, with any slot of a restored store's key file, to something with the text of a tail.
fn opening(pieces: &[Vec<u8>], dir: &Path) -> usize {
    let slots = KeyFile::open(&dir.join("store").join("keys")).unwrap();
    let mut found = 0;
    for piece in pieces {
        let Piece::Value { key, value } = codec::decode::<Piece, { 64 << 20 }>(piece).unwrap() else {
            continue;
        };
        // The text stands in a tail, where it is not packed.
        let Some(mut sealed) = vault::parse(&value).ok().filter(|sealed| sealed.head.form.is_tail()) else {
            continue;
        };
        for slot in 0..slots.count().unwrap() {
            sealed.head.slot = slot;
            let plain = vault::unseal(&slots, &key, &sealed).unwrap().unwrap_or_default();
            found += usize::from(plain.windows(ERASED.len()).any(|part| part == ERASED.as_bytes()));
        }
    }
    found
}

fn put(store: &mut RealStore, author: &Author, run: &Verified) {
    let log = store.open_log(&author.log, author.org).unwrap();
    store.append(log, run, None, &vec![accepted(5); run.entries().len()]).unwrap();
    store.commit().unwrap();
}

#[test]
fn what_stands_at_one_moment_and_nothing_of_what_was_erased_before() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), 1).unwrap();
    let mut author = Author::new(1);
    let long = author.long(640, "a page of many");
    put(&mut store, &author, &long);
    let erased = author.report(1, ERASED);
    let place = RecordRef { log: LogNo(0), seq: author.tip.seq };
    put(&mut store, &author, &erased);
    let late = author.report(2, "kept in the tail");
    put(&mut store, &author, &late);
    store.put_meta("alive", Bytes::from_static(b"a sign")).unwrap();
    store.put_meta("other", Bytes::from_static(b"kept")).unwrap();
    store.put_remark(place, b"why").unwrap();
    store.commit().unwrap();

    let before = store.reader().snapshot().unwrap();
    store.erase(place, 1).unwrap();
    store.commit().unwrap();
    let after = store.reader().snapshot().unwrap();
    // Both are read when the store is another already, and has given back the room of what it replaced.
    for number in 3..40 {
        let more = author.report(number, &"more ".repeat(10_000));
        put(&mut store, &author, &more);
        store.idle().unwrap();
    }
    let (before, after) = (pieces(before), pieces(after));
    for (all, is_there) in [(&before, true), (&after, false)] {
        let other = tempfile::tempdir().unwrap();
        let made = restored(other.path(), all);
        let reader = made.reader();
        assert_eq!(reader.log(LogNo(0)).unwrap().tip.seq, late.tip().seq);
        for run in [&long, &erased, &late] {
            for entry in run.entries() {
                let at = RecordRef { log: LogNo(0), seq: entry.header.seq };
                let found = reader.record(at).unwrap().unwrap().entry;
                let is_here = at != place || is_there;
                assert_eq!((found.id, found.body().is_some()), (entry.id, is_here), "{at:?}");
                assert!(!is_here || found.body() == entry.body());
            }
        }
        assert_eq!(reader.remark(place).unwrap().as_deref(), Some(&b"why"[..]));
        assert_eq!(reader.get_meta("alive").unwrap(), None);
        assert_eq!(reader.get_meta("other").unwrap().as_deref(), Some(&b"kept"[..]));
        // Also with what the earlier one has of it: its key is in the earlier one alone.
        assert_eq!(opening(&before, other.path()), usize::from(is_there));
    }
}

/// Pieces rest in backups: a change here breaks every one that exists.
#[test]
fn golden() {
    let value = Piece::Value { key: vec![1, 2], value: vec![3; 300] };
    assert_eq!(codec::encode(&value)[..8], [0, 2, 1, 2, 251, 44, 1, 3]);
    let slot = codec::encode(&Piece::Slot { number: 7, key: [9; 32] });
    assert_eq!((slot[..2].to_vec(), slot.len()), (vec![1, 7], 34));
}

#[test]
fn what_is_no_piece_of_this_store_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut restoring = Restoring::create(&dir.path().join("store"), MESH, &[]).unwrap();
    let other = [&[9; 32][..], &[1, 2]].concat();
    for piece in [
        Vec::new(),
        vec![7],
        vec![0xff; 40],
        codec::encode(&Piece::Value { key: other, value: vec![] }),
        codec::encode(&Piece::Value { key: [&MESH.0[..], &[1; 600]].concat(), value: vec![] }),
        codec::encode(&Piece::Value { key: vec![], value: vec![] }),
    ] {
        assert!(restoring.take(&piece).is_err(), "{piece:?}");
    }
}
