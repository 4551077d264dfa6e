//! The file's encryption: chunks under a key that comes of a passphrase.

use std::io::{self, Read, Write};

use aes_gcm::{AeadInOut as _, Aes256Gcm, KeyInit as _, Nonce, Tag};
use scrypt::Params;
use zeroize::Zeroizing;

/// How each file begins.
const MAGIC: &[u8; 16] = b"tocsin backup 1\n";
/// The same without the version.
const MAGIC_OF_ALL: &[u8] = b"tocsin backup ";
/// Length of the salt, in bytes.
pub const SALT_LEN: usize = 32;
const HEAD_LEN: usize = MAGIC.len() + SALT_LEN;
/// Longest chunk before it is sealed, in bytes.
const CHUNK: usize = 64 << 10;
const TAG: usize = 16;
/// N = 2^17, r = 8, p = 1: 128 MiB and half a second for each guess, what RFC 7914's authors and OWASP recommend for files. They
/// are the form's own and not read from the file, which so can ask nobody for more.
const COST: Params = Params::RECOMMENDED;

/// Why a file does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Something else.
    #[error("it is no backup of tocsin: it does not begin with `tocsin backup 1`")]
    Magic,
    /// A later version of the form.
    #[error("it was written in a later form than this program reads: use a newer `tocsin`")]
    Newer,
    /// The first chunk does not open.
    #[error("it does not open: the passphrase is wrong, or the file was changed or cut")]
    Passphrase,
    /// A later chunk does not open.
    #[error("it was changed or cut behind its first {0} bytes: use another copy of it")]
    Changed(u64),
    /// The system.
    #[error("it cannot be read: {0}")]
    Read(#[source] io::Error),
}

fn key(passphrase: &str, head: &[u8; HEAD_LEN]) -> Aes256Gcm {
    let mut key = Zeroizing::new([0; 32]);
    scrypt::scrypt(passphrase.as_bytes(), &head[MAGIC.len()..], &COST, key.as_mut())
        .expect("32 bytes are a length that scrypt gives");
    Aes256Gcm::new(&(*key).into())
}

/// The nonce of a chunk.
fn nonce(number: u64, is_last: bool) -> Nonce<aes_gcm::aead::consts::U12> {
    let mut nonce = [0; 12];
    nonce[3..11].copy_from_slice(&number.to_be_bytes());
    nonce[11] = u8::from(is_last);
    Nonce::from(nonce)
}

/// Seals what is written to it. Nothing of it opens before [`Self::finish`].
pub struct Sealing<W> {
    to: W,
    head: [u8; HEAD_LEN],
    cipher: Aes256Gcm,
    number: u64,
    chunk: Zeroizing<Vec<u8>>,
}

impl<W: Write> Sealing<W> {
    /// Begins a file. `salt` is fresh and random: no two files have one.
    ///
    /// # Errors
    /// The system's.
    pub fn new(mut to: W, passphrase: &str, salt: [u8; SALT_LEN]) -> io::Result<Self> {
        let mut head = [0; HEAD_LEN];
        head[..MAGIC.len()].copy_from_slice(MAGIC);
        head[MAGIC.len()..].copy_from_slice(&salt);
        to.write_all(&head)?;
        let cipher = key(passphrase, &head);
        Ok(Self { to, head, cipher, number: 0, chunk: Zeroizing::new(Vec::with_capacity(CHUNK)) })
    }

    fn seal(&mut self, is_last: bool) -> io::Result<()> {
        let nonce = nonce(self.number, is_last);
        let tag = self
            .cipher
            .encrypt_inout_detached(&nonce, &self.head, self.chunk.as_mut_slice().into())
            .expect("a chunk is far below the cipher's limit of 64 GiB");
        self.to.write_all(&self.chunk)?;
        self.to.write_all(&tag)?;
        self.chunk.clear();
        self.number += 1;
        Ok(())
    }

    /// Seals the last chunk and gives back what was written to.
    ///
    /// # Errors
    /// The system's.
    pub fn finish(mut self) -> io::Result<W> {
        self.seal(true)?;
        self.to.flush()?;
        Ok(self.to)
    }
}

impl<W: Write> Write for Sealing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full chunk waits: it may be the last, which is sealed as such.
        if self.chunk.len() == CHUNK {
            self.seal(false)?;
        }
        let taken = bytes.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    /// What waits for its chunk to be full is not sealed by this.
    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// What a file opens to, read chunk by chunk.
pub struct Opened<R> {
    from: R,
    head: [u8; HEAD_LEN],
    cipher: Aes256Gcm,
    number: u64,
    /// Read and not opened: the next chunk, so that the last is known to be it.
    next: Vec<u8>,
    chunk: Zeroizing<Vec<u8>>,
    at: usize,
    is_last: bool,
}

impl<R: Read> Opened<R> {
    /// Opens a file.
    ///
    /// # Errors
    /// [`OpenError`]. With this passphrase the file is what was written, up to what is read.
    pub fn new(mut from: R, passphrase: &str) -> Result<Self, OpenError> {
        let mut head = Vec::new();
        (&mut from).take(HEAD_LEN as u64).read_to_end(&mut head).map_err(OpenError::Read)?;
        if !head.starts_with(MAGIC) {
            let version = head.strip_prefix(MAGIC_OF_ALL).and_then(<[u8]>::first);
            return Err(if version.is_some_and(u8::is_ascii_digit) {
                OpenError::Newer
            } else {
                OpenError::Magic
            });
        }
        let head: [u8; HEAD_LEN] = head.try_into().map_err(|_| OpenError::Passphrase)?;
        let cipher = key(passphrase, &head);
        let mut opened = Self {
            from,
            head,
            cipher,
            number: 0,
            next: Vec::new(),
            chunk: Zeroizing::default(),
            at: 0,
            is_last: false,
        };
        opened.next = opened.read_chunk()?;
        opened.open_next()?;
        Ok(opened)
    }

    fn read_chunk(&mut self) -> Result<Vec<u8>, OpenError> {
        let mut chunk = Vec::with_capacity(CHUNK + TAG);
        let most = (CHUNK + TAG) as u64;
        (&mut self.from).take(most).read_to_end(&mut chunk).map_err(OpenError::Read)?;
        Ok(chunk)
    }

    fn open_next(&mut self) -> Result<(), OpenError> {
        let behind = if self.next.len() == CHUNK + TAG { self.read_chunk()? } else { Vec::new() };
        self.is_last = behind.is_empty();
        let mut chunk = Zeroizing::new(std::mem::replace(&mut self.next, behind));
        let changed = match self.number {
            0 => OpenError::Passphrase,
            number => OpenError::Changed((HEAD_LEN + TAG) as u64 + number * (CHUNK + TAG) as u64),
        };
        let Some((_, tag)) = chunk.split_last_chunk::<TAG>() else { return Err(changed) };
        let tag = Tag::from(*tag);
        let length = chunk.len() - TAG;
        chunk.truncate(length);
        let nonce = nonce(self.number, self.is_last);
        let opens = self.cipher.decrypt_inout_detached(&nonce, &self.head, chunk.as_mut_slice().into(), &tag);
        if opens.is_err() {
            return Err(changed);
        }
        (self.chunk, self.at) = (chunk, 0);
        self.number += 1;
        Ok(())
    }
}

impl<R: Read> Read for Opened<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() && !self.is_last {
            self.open_next().map_err(|error| match error {
                OpenError::Read(error) => error,
                other => io::Error::new(io::ErrorKind::InvalidData, other),
            })?;
        }
        let taken = into.len().min(self.chunk.len() - self.at);
        into[..taken].copy_from_slice(&self.chunk[self.at..self.at + taken]);
        self.at += taken;
        Ok(taken)
    }
}
