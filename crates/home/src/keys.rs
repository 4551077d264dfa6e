//! Keys of a home: the node's own as seeds in files of mode 0600, and the org's root as encrypted PKCS#8 (RFC 5958)
//! in a folder of its own, which an operator moves to a safe and brings only to sign.

use std::path::Path;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, spki::der::pem::LineEnding};
use tocsin_record::keys::Secret;
use zeroize::Zeroizing;

use super::files::{self, FileError};

/// Longest key file, in bytes.
const KEY_MAX: u64 = 4096;
/// Shortest passphrase that is taken, in bytes.
pub const PASSPHRASE_MIN: usize = 8;

/// A key could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The machine has no randomness to give.
    #[error("the system gave no randomness: {0}")]
    Random(getrandom::Error),
    /// Not the form that this program writes.
    #[error("{0} is no key file of tocsin: restore it from your backup")]
    Form(String),
    /// Wrong passphrase, or a damaged file.
    #[error("{0} does not open: the passphrase is wrong, or the file is damaged")]
    Open(String),
    /// The root key is encrypted and no passphrase was given.
    #[error("{0} is encrypted: give --passphrase-file FILE, or run on a terminal to be asked")]
    Locked(String),
    /// Encoding failed.
    #[error("the key could not be written in PKCS#8 form")]
    Write,
}

/// 32 fresh random bytes.
///
/// # Errors
/// When the system gives none.
pub fn fresh_seed() -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut()).map_err(KeyError::Random)?;
    Ok(seed)
}

/// Writes a node key's seed; refuses to replace one.
///
/// # Errors
/// [`KeyError`].
pub(crate) fn write_seed(path: &Path, purpose: &str, seed: &[u8; 32]) -> Result<(), KeyError> {
    let mut text = Zeroizing::new(format!("tocsin {purpose} key 1\n"));
    // Room at once: a text that grows leaves copies of its beginning in freed memory.
    text.reserve_exact(2 * seed.len() + 1);
    HEXLOWER.encode_append(seed, &mut text);
    text.push('\n');
    Ok(files::write_new(path, text.as_bytes())?)
}

/// Reads what [`write_seed`] wrote.
///
/// # Errors
/// [`KeyError`]; also when it is a key for another purpose.
pub(crate) fn read_seed(path: &Path, purpose: &str) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let bytes = files::read_secret(path, KEY_MAX)?;
    let form = || KeyError::Form(path.display().to_string());
    let text = std::str::from_utf8(&bytes).map_err(|_| form())?;
    let digits = text
        .strip_prefix(&format!("tocsin {purpose} key 1\n"))
        .map(str::trim_end)
        .filter(|digits| digits.len() == 64)
        .ok_or_else(form)?;
    let mut seed = Zeroizing::new([0; 32]);
    HEXLOWER_PERMISSIVE.decode_mut(digits.as_bytes(), seed.as_mut()).map_err(|_| form())?;
    Ok(seed)
}

/// Writes the root key as PKCS#8 PEM, encrypted (scrypt, AES-256) if there is a passphrase.
///
/// # Errors
/// [`KeyError`].
pub(crate) fn write_root(path: &Path, seed: &[u8; 32], passphrase: Option<&str>) -> Result<(), KeyError> {
    let key = SigningKey::from_bytes(seed);
    let pem = match passphrase {
        Some(passphrase) => key.to_pkcs8_encrypted_pem(passphrase, LineEnding::LF),
        None => key.to_pkcs8_pem(LineEnding::LF),
    }
    .map_err(|_| KeyError::Write)?;
    Ok(files::write_new(path, pem.as_bytes())?)
}

/// Whether the root key's file is encrypted.
///
/// # Errors
/// When the file cannot be read.
pub fn is_encrypted(path: &Path) -> Result<bool, KeyError> {
    let pem = files::read_secret(path, KEY_MAX)?;
    Ok(pem.starts_with(b"-----BEGIN ENCRYPTED PRIVATE KEY-----"))
}

/// Reads the root key.
///
/// # Errors
/// [`KeyError::Locked`] when it needs a passphrase and none is given, [`KeyError::Open`] when it is another.
pub fn read_root(path: &Path, passphrase: Option<&str>) -> Result<Secret, KeyError> {
    let shown = || path.display().to_string();
    let pem = files::read_secret(path, KEY_MAX)?;
    let text = std::str::from_utf8(&pem).map_err(|_| KeyError::Form(shown()))?;
    let key = if text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----") {
        let passphrase = passphrase.ok_or_else(|| KeyError::Locked(shown()))?;
        SigningKey::from_pkcs8_encrypted_pem(text, passphrase).map_err(|_| KeyError::Open(shown()))?
    } else {
        SigningKey::from_pkcs8_pem(text).map_err(|_| KeyError::Form(shown()))?
    };
    Ok(Secret::from_seed(&Zeroizing::new(key.to_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.key");
        let seed = fresh_seed().unwrap();
        write_seed(&path, "record", &seed).unwrap();
        assert_eq!(read_seed(&path, "record").unwrap(), seed);
        assert!(matches!(read_seed(&path, "transport"), Err(KeyError::Form(_))));
        assert!(write_seed(&path, "record", &seed).is_err(), "a key is never replaced");

        // Digits in capitals are the same; a sign is no digit.
        let text = std::fs::read_to_string(&path).unwrap();
        let (head, digits) = text.split_at(text.len() - 65);
        files::write(&path, [head, &digits.to_uppercase()].concat().as_bytes()).unwrap();
        assert_eq!(read_seed(&path, "record").unwrap(), seed);
        files::write(&path, [head, "+a", &digits[2..]].concat().as_bytes()).unwrap();
        assert!(matches!(read_seed(&path, "record"), Err(KeyError::Form(_))));
    }

    #[test]
    fn the_root_opens_with_its_passphrase_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("org.root.pem");
        write_root(&path, &[7; 32], Some("correct horse")).unwrap();
        assert!(is_encrypted(&path).unwrap());
        let public = Secret::from_seed(&[7; 32]).public();
        assert_eq!(read_root(&path, Some("correct horse")).unwrap().public(), public);
        assert!(matches!(read_root(&path, Some("wrong")), Err(KeyError::Open(_))));
        assert!(matches!(read_root(&path, None), Err(KeyError::Locked(_))));

        let plain = folder.path().join("plain.pem");
        write_root(&plain, &[7; 32], None).unwrap();
        assert_eq!(read_root(&plain, None).unwrap().public(), public);
    }
}
