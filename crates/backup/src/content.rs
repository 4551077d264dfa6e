//! What is in the file: a head, the small files of the home, the store piece by piece, and an end that counts them.

use std::io::{self, Read, Write};

use bincode::{Decode, Encode};
use tocsin_record::codec::{self, CodecError};
use tocsin_record::{MeshId, NodeKey};
use zeroize::Zeroizing;

/// Longest file of a home that is taken, in bytes: its documents.
pub const FILE_MAX: usize = 64 << 20;
/// Longest piece of a store, in bytes: its longest value and its key, with room.
pub const STORE_PART_MAX: usize = (16 << 20) + (4 << 10);
/// Longest part, in bytes.
const PART_MAX: usize = FILE_MAX + (64 << 10);
/// Most files of a home: keys, documents, and a profile for each of many sources.
const FILES_MAX: u64 = 4096;
/// Longest name of a file, in bytes, with its folder.
const NAME_MAX: usize = 300;
/// What decoding a part may take in memory, in bytes.
const LIMIT: usize = 2 * PART_MAX;

/// Whose backup it is.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Head {
    /// The mesh; zero of a node that is in none yet.
    pub mesh: MeshId,
    /// The node.
    pub node: NodeKey,
    /// Name of its org.
    pub org: String,
    /// When it was begun, in ms, by the clock of its machine.
    pub time: u64,
}

/// How many parts there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct End {
    /// Files of the home.
    pub files: u64,
    /// Pieces of the store.
    pub pieces: u64,
}

/// One part of the content. Appended to, never reordered.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Part {
    /// The first.
    Head(Head),
    /// A file of the home.
    File {
        /// Its name, below the home.
        name: String,
        /// What is in it.
        bytes: Vec<u8>,
    },
    /// A piece of the store, whose form is the store's.
    Store(Vec<u8>),
    /// The last.
    End(End),
}

/// Why the content is not that of a backup.
#[derive(Debug, thiserror::Error)]
pub enum PartsError {
    /// The system, or the encryption.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// A part does not parse.
    #[error("a part of it {0}")]
    Codec(#[from] CodecError),
    /// A part is too long, out of place, or missing.
    #[error("its {0} is not as the form has it: it was not written by `tocsin backup`")]
    Form(&'static str),
}

/// Writes parts.
pub struct PartsOut<W> {
    to: W,
    end: End,
}

impl<W: Write> PartsOut<W> {
    /// Begins with the head.
    ///
    /// # Errors
    /// The system's.
    pub fn new(to: W, head: Head) -> Result<Self, PartsError> {
        let mut parts = Self { to, end: End::default() };
        parts.write(&Part::Head(head))?;
        Ok(parts)
    }

    /// Adds a file.
    ///
    /// # Errors
    /// The system's, or when it is too long.
    pub fn file(&mut self, name: String, bytes: Vec<u8>) -> Result<(), PartsError> {
        self.end.files += 1;
        self.write(&Part::File { name, bytes })
    }

    /// Adds a piece of the store.
    ///
    /// # Errors
    /// The system's, or when it is too long.
    pub fn piece(&mut self, bytes: Vec<u8>) -> Result<(), PartsError> {
        self.end.pieces += 1;
        self.write(&Part::Store(bytes))
    }

    /// Writes the end, and gives back what was written to.
    ///
    /// # Errors
    /// The system's.
    pub fn finish(mut self) -> Result<(W, End), PartsError> {
        self.write(&Part::End(self.end))?;
        Ok((self.to, self.end))
    }

    fn write(&mut self, part: &Part) -> Result<(), PartsError> {
        check(part, &self.end)?;
        let bytes = Zeroizing::new(codec::encode(part));
        let length = u32::try_from(bytes.len()).map_err(|_| PartsError::Form("part"))?;
        self.to.write_all(&length.to_be_bytes())?;
        self.to.write_all(&bytes)?;
        Ok(())
    }
}

/// Reads parts, each held against the bounds, and all against the end.
pub struct Parts<R> {
    from: R,
    read: End,
    head: bool,
    ended: bool,
}

impl<R: Read> Parts<R> {
    /// Of what a file opens to.
    pub fn new(from: R) -> Self {
        Self { from, read: End::default(), head: false, ended: false }
    }

    /// The next part; `None` behind the end, which is the end of all there is, and counts what came.
    ///
    /// # Errors
    /// [`PartsError`].
    pub fn next_part(&mut self) -> Result<Option<Part>, PartsError> {
        let mut length = [0; 4];
        if self.ended {
            let more = self.from.read(&mut length)?;
            return if more == 0 { Ok(None) } else { Err(PartsError::Form("end")) };
        }
        self.from.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > PART_MAX {
            return Err(PartsError::Form("part"));
        }
        let mut bytes = Zeroizing::new(Vec::new());
        (&mut self.from).take(length as u64).read_to_end(&mut bytes)?;
        if bytes.len() != length {
            return Err(PartsError::Form("part"));
        }
        let part: Part = codec::decode::<_, LIMIT>(&bytes)?;
        match (&part, self.head) {
            (Part::Head(_), false) => self.head = true,
            (Part::File { .. }, true) => self.read.files += 1,
            (Part::Store(_), true) => self.read.pieces += 1,
            (Part::End(end), true) if *end == self.read => self.ended = true,
            _ => return Err(PartsError::Form("order")),
        }
        check(&part, &self.read)?;
        Ok(Some(part))
    }
}

fn check(part: &Part, so_far: &End) -> Result<(), PartsError> {
    let form = |ok: bool, what| if ok { Ok(()) } else { Err(PartsError::Form(what)) };
    match part {
        Part::Head(head) => form(head.org.len() <= NAME_MAX, "head"),
        Part::File { name, bytes } => {
            form(name.len() <= NAME_MAX && bytes.len() <= FILE_MAX, "file")?;
            form(so_far.files <= FILES_MAX, "number of files")
        }
        Part::Store(bytes) => form(bytes.len() <= STORE_PART_MAX, "piece of the store"),
        Part::End(_) => Ok(()),
    }
}
