//! Backups: they come back as they went, under their passphrase alone, and no changed, cut or longer file does.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};

use tocsin_backup::{End, Head, OpenError, Opened, Part, Parts, PartsError, PartsOut, Sealing};
use tocsin_record::{MeshId, NodeKey, id};

const CHUNK: usize = 64 << 10;
const HEAD: usize = 16 + 32;
const SALT: [u8; 32] = [7; 32];

fn sealed(content: &[u8]) -> Vec<u8> {
    let mut sealing = Sealing::new(Vec::new(), "correct horse", SALT).unwrap();
    // In pieces that fit no chunk.
    content.chunks(10_007).for_each(|piece| sealing.write_all(piece).unwrap());
    sealing.finish().unwrap()
}

fn open(file: &[u8], passphrase: &str) -> Result<Vec<u8>, String> {
    let mut opened = Opened::new(file, passphrase).map_err(|error| error.to_string())?;
    let mut content = Vec::new();
    opened.read_to_end(&mut content).map_err(|error| error.to_string())?;
    Ok(content)
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

/// Backups are kept for years: a change here breaks every one that exists.
#[test]
fn golden() {
    let digest = |bytes: &[u8]| id::hash(id::BODY, &[bytes]).map(|byte| format!("{byte:02x}")).concat();
    assert_eq!(
        digest(&sealed(&content(CHUNK + 9))),
        "33d0f76f407ece02bbe745f1647cc2f914f6aa716d583e9362238a95d54de521"
    );
    assert_eq!(digest(&written()), "dddc07124bc400dbecb8e6b820b86a103ba8dcb3ac86cd900e07e676b9e47a0a");
}

/// Each opening costs half a second, so lengths are those at which chunks end.
#[test]
fn what_was_written_comes_back() {
    for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK] {
        let file = sealed(&content(length));
        let chunks = length.div_ceil(CHUNK).max(1);
        assert_eq!(file.len(), HEAD + length + 16 * chunks, "{length}");
        assert_eq!(open(&file, "correct horse"), Ok(content(length)), "{length}");
    }
}

#[test]
fn another_passphrase_opens_nothing() {
    let file = sealed(&content(100));
    for wrong in ["", "correct horse ", "Correct horse"] {
        assert!(open(&file, wrong).unwrap_err().contains("passphrase is wrong"));
    }
    assert!(matches!(Opened::new(&b"%PDF"[..], ""), Err(OpenError::Magic)));
    assert!(matches!(Opened::new(&b""[..], ""), Err(OpenError::Magic)));
    assert!(matches!(Opened::new(&b"tocsin backup 2\n"[..], ""), Err(OpenError::Newer)));
    assert!(matches!(Opened::new(&b"tocsin backup 1\nshort"[..], ""), Err(OpenError::Passphrase)));
}

#[test]
fn no_changed_file_comes_back() {
    let file = sealed(&content(3 * CHUNK + 5));
    let chunk = CHUNK + 16;
    let places = [0, 20, HEAD, HEAD + 1, HEAD + chunk - 1, HEAD + chunk, HEAD + 2 * chunk, file.len() - 1];
    for at in places {
        let mut changed = file.clone();
        changed[at] ^= 1;
        assert!(open(&changed, "correct horse").is_err(), "byte {at}");
    }
    // Cut within chunks and between them, longer, and with chunks in another order or taken out.
    for length in [HEAD, HEAD + 5, HEAD + 16, HEAD + chunk, HEAD + 3 * chunk, file.len() - 1] {
        assert!(open(&file[..length], "correct horse").is_err(), "{length} bytes");
    }
    assert!(open(&[&file[..], b"x"].concat(), "correct horse").is_err());
    let part = |number: usize| &file[HEAD + number * chunk..HEAD + (number + 1) * chunk];
    let swapped = [&file[..HEAD], part(1), part(0), &file[HEAD + 2 * chunk..]].concat();
    let without = [&file[..HEAD], part(0), &file[HEAD + 2 * chunk..]].concat();
    let twice = [&file[..HEAD], part(0), part(0), &file[HEAD + chunk..]].concat();
    for other in [swapped, without, twice] {
        assert!(open(&other, "correct horse").is_err());
    }
    let error = open(&file[..HEAD + 2 * chunk], "correct horse").unwrap_err();
    assert!(error.contains("changed or cut"), "{error}");
}

fn head() -> Head {
    Head { mesh: MeshId([1; 32]), node: NodeKey([2; 32]), org: "cert-aa".to_owned(), time: 5 }
}

fn written() -> Vec<u8> {
    let mut parts = PartsOut::new(Vec::new(), head()).unwrap();
    parts.file("config.toml".to_owned(), b"x".to_vec()).unwrap();
    parts.piece(vec![1, 2, 3]).unwrap();
    parts.piece(vec![4]).unwrap();
    let (bytes, end) = parts.finish().unwrap();
    assert_eq!(end, End { files: 1, pieces: 2 });
    bytes
}

fn read(bytes: &[u8]) -> Result<Vec<Part>, PartsError> {
    let mut parts = Parts::new(bytes);
    let mut all = Vec::new();
    while let Some(part) = parts.next_part()? {
        all.push(part);
    }
    Ok(all)
}

#[test]
fn parts_come_back_in_their_order_and_all_of_them() {
    let bytes = written();
    let all = read(&bytes).unwrap();
    assert_eq!(all[0], Part::Head(head()));
    assert_eq!(all[4], Part::End(End { files: 1, pieces: 2 }));
    for length in 0..bytes.len() {
        assert!(read(&bytes[..length]).is_err(), "{length} bytes");
    }
    assert!(read(&[&bytes[..], &[0]].concat()).is_err());
    // One taken out, the head late, a length beyond all bounds.
    let first = 4 + u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
    assert!(read(&bytes[first..]).is_err());
    let second = first + 4 + u32::from_be_bytes(bytes[first..first + 4].try_into().unwrap()) as usize;
    assert!(read(&[&bytes[..first], &bytes[second..]].concat()).is_err());
    assert!(read(&[&bytes[..first], &bytes[..]].concat()).is_err());
    assert!(read(&[0xff; 40]).is_err());
}
