//! A file read by pieces: never more of it in memory than a few MiB.

use std::io::{self, Read, Seek, SeekFrom};

use crate::{FILE_MAX, ImportError, JSON_MAX};

/// Longest line that is read, in bytes, without its end: the longest value has 64 KiB, the rest is comment.
pub(crate) const LINE_MAX: usize = 1 << 20;
/// How much of what comes next is at hand at least, in bytes: the longest line, and what its quotes may span.
pub(crate) const AHEAD: usize = 2 * LINE_MAX;
/// How much is read at once, in bytes.
const PIECE: u64 = 1 << 20;

/// What a file holds, from a file or from bytes in a `Cursor`.
pub trait Content: Read + Seek {}

impl<F: Read + Seek> Content for F {}

/// What a file holds, and where in it the reader is.
pub(crate) struct Pieces<'f> {
    content: &'f mut dyn Content,
    /// What was read; what lies before `start` was passed.
    buffer: Vec<u8>,
    start: usize,
    ended: bool,
}

impl<'f> Pieces<'f> {
    /// At the beginning.
    pub(crate) fn of(content: &'f mut dyn Content) -> Result<Self, ImportError> {
        let length = content.seek(SeekFrom::End(0))?;
        if length > FILE_MAX {
            return Err(ImportError::TooLarge(length));
        }
        let mut pieces = Self { content, buffer: Vec::new(), start: 0, ended: false };
        pieces.rewind()?;
        Ok(pieces)
    }

    /// Back to the beginning, behind a byte order mark.
    pub(crate) fn rewind(&mut self) -> io::Result<()> {
        self.content.seek(SeekFrom::Start(0))?;
        self.buffer.clear();
        (self.start, self.ended) = (0, false);
        if self.ahead()?.starts_with(b"\xef\xbb\xbf") {
            self.pass(3);
        }
        Ok(())
    }

    /// What comes next: at least [`AHEAD`] bytes, or all that are left.
    pub(crate) fn ahead(&mut self) -> io::Result<&[u8]> {
        if !self.ended && self.buffer.len() - self.start < AHEAD {
            self.buffer.drain(..self.start);
            self.start = 0;
            while !self.ended && self.buffer.len() < AHEAD {
                // As many as a source says to have, and never more: `read_to_end` doubles its room.
                self.buffer.reserve_exact(PIECE as usize);
                let read = Read::take(&mut *self.content, PIECE).read_to_end(&mut self.buffer)?;
                self.ended = (read as u64) < PIECE;
            }
        }
        Ok(&self.buffer[self.start..])
    }

    /// Goes on behind so many of the bytes that come next.
    pub(crate) fn pass(&mut self, count: usize) {
        self.start = (self.start + count).min(self.buffer.len());
    }

    /// The next line without its end, which is LF, CRLF or a lone CR; `Some(None)` for one over [`LINE_MAX`].
    pub(crate) fn line(&mut self) -> io::Result<Option<Option<&[u8]>>> {
        let ahead = self.ahead()?;
        if ahead.is_empty() {
            return Ok(None);
        }
        let Some((text, whole)) = line_of(ahead) else {
            self.pass_line()?;
            return Ok(Some(None));
        };
        let from = self.start;
        self.pass(whole);
        Ok(Some(Some(&self.buffer[from..from + text])))
    }

    /// Goes on behind the end of the line.
    pub(crate) fn pass_line(&mut self) -> io::Result<()> {
        loop {
            let ahead = self.ahead()?;
            match ahead.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
                Some(at) => {
                    // The other half of the end may not be at hand yet.
                    self.pass(at);
                    let end = if self.ahead()?.starts_with(b"\r\n") { 2 } else { 1 };
                    self.pass(end);
                    return Ok(());
                }
                None if ahead.is_empty() => return Ok(()),
                None => {
                    let count = ahead.len();
                    self.pass(count);
                }
            }
        }
    }

    /// The rest in one piece, at most [`JSON_MAX`] bytes.
    pub(crate) fn whole(&mut self) -> Result<Vec<u8>, ImportError> {
        let mut bytes = std::mem::take(&mut self.buffer);
        bytes.drain(..self.start);
        self.start = 0;
        let room = (JSON_MAX + 1).saturating_sub(bytes.len()) as u64;
        Read::take(&mut *self.content, room).read_to_end(&mut bytes)?;
        self.ended = true;
        if bytes.len() > JSON_MAX {
            return Err(ImportError::TooLargeWhole);
        }
        Ok(bytes)
    }
}

/// The length of the first line, without its end and with it; `None` if it is over [`LINE_MAX`].
pub(crate) fn line_of(ahead: &[u8]) -> Option<(usize, usize)> {
    let near = &ahead[..ahead.len().min(LINE_MAX + 1)];
    match near.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
        Some(text) => Some((text, text + if ahead[text..].starts_with(b"\r\n") { 2 } else { 1 })),
        None => (near.len() <= LINE_MAX).then_some((near.len(), near.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    /// Gives a byte at a time, as a pipe may.
    struct Slow(Cursor<Vec<u8>>);

    impl Read for Slow {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let most = out.len().min(1 + self.0.position() as usize % 7);
            self.0.read(&mut out[..most])
        }
    }

    impl Seek for Slow {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }

    fn lines(bytes: &[u8]) -> Vec<Option<Vec<u8>>> {
        let mut content = Slow(Cursor::new(bytes.to_vec()));
        let mut pieces = Pieces::of(&mut content).unwrap();
        let mut lines = Vec::new();
        while let Some(line) = pieces.line().unwrap() {
            lines.push(line.map(<[u8]>::to_vec));
        }
        lines
    }

    #[test]
    fn all_line_ends_count_alike() {
        let found = lines(b"\xef\xbb\xbfa.example\r\nb.example\rc.example\n\nd.example");
        let lengths: Vec<_> = found.iter().map(|line| line.as_ref().unwrap().len()).collect();
        assert_eq!(lengths, [9, 9, 9, 0, 9]);
    }

    #[test]
    fn lines_are_whole_wherever_a_piece_ends() {
        // Line ends fall on every place around the ends of pieces and of what is at hand.
        for shift in 0..4 {
            let line = format!("{}\r\n", "x".repeat(1021 + shift));
            let bytes = line.repeat((5 << 20) / line.len());
            let found = lines(bytes.as_bytes());
            assert_eq!(found.len(), (5 << 20) / line.len());
            assert!(found.iter().all(|found| found.as_deref() == Some(line.trim_end().as_bytes())));
        }
    }

    #[test]
    fn a_line_without_end_costs_itself() {
        for length in [LINE_MAX, LINE_MAX + 1, AHEAD - 1, AHEAD, AHEAD + 1, 5 << 20] {
            let text = format!("first\n{}\r\nlast", "x".repeat(length));
            let found = lines(text.as_bytes());
            let kept = found[1].as_ref().map(Vec::len);
            assert_eq!((found.len(), kept), (3, (length <= LINE_MAX).then_some(length)));
            assert_eq!(found[2].as_deref(), Some(&b"last"[..]));
        }
        assert_eq!(lines("x".repeat(5 << 20).as_bytes()), [None]);
    }

    #[test]
    fn no_more_than_a_few_pieces_are_in_memory() {
        let mut content = Cursor::new(b"evil.example\n".repeat(1 << 20));
        let mut pieces = Pieces::of(&mut content).unwrap();
        let mut most = 0;
        while pieces.line().unwrap().is_some() {
            most = most.max(pieces.buffer.capacity());
        }
        assert!(most <= AHEAD + 3 * PIECE as usize, "{most}");
    }
}
