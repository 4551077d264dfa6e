//! Documents as text: lines for people, then the exact bytes as PEM (RFC 7468), which may have such lines before it.
//!
//! The lines are made from the bytes. A file whose lines say something else was edited, and is refused, because
//! people read the lines and programs the bytes.

use ed25519_dalek::pkcs8::spki::der::pem;

/// A text is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum ArmorError {
    /// No PEM block, or a damaged one.
    #[error("there is no whole block `BEGIN {0}` in it: was it cut or wrapped on its way?")]
    Block(&'static str),
    /// A block with another label.
    #[error("it holds a `{found}`, not a `{expected}`")]
    Label {
        /// What was expected.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// Lines for people differ from what the bytes say.
    #[error(
        "the line `{0}` says something else than the signed bytes: the file was edited, ask for it again"
    )]
    Edited(String),
}

/// Writes lines and block.
pub(super) fn write(label: &'static str, lines: &[(&str, String)], bytes: &[u8]) -> String {
    let mut out = String::new();
    for (name, value) in lines {
        out.push_str(&format!("{name}: {}\n", tocsin_text::escape(value)));
    }
    out.push('\n');
    // Labels are constants of this program, and memory does not run out of room.
    out.push_str(&pem::encode_string(label, pem::LineEnding::LF, bytes).unwrap_or_default());
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

/// Reads the block's bytes.
pub(super) fn read(label: &'static str, text: &str) -> Result<Vec<u8>, ArmorError> {
    let begin = text.find("-----BEGIN ").ok_or(ArmorError::Block(label))?;
    // Mail turns line ends; the block itself is strict.
    let block = text[begin..].replace("\r\n", "\n");
    let (found, bytes) =
        pem::decode_vec(block.trim_end().as_bytes()).map_err(|_| ArmorError::Block(label))?;
    if found == label {
        Ok(bytes)
    } else {
        Err(ArmorError::Label { expected: label, found: tocsin_text::cut(found, 40) })
    }
}

/// Checks that lines which are there say what `lines` say. Lines of other names are people's own.
pub(super) fn check(text: &str, lines: &[(&str, String)]) -> Result<(), ArmorError> {
    let begin = text.find("-----BEGIN ").unwrap_or(text.len());
    for line in text[..begin].lines() {
        let Some((name, value)) = line.split_once(": ") else {
            continue;
        };
        let mut same_name = lines.iter().filter(|(known, _)| *known == name).peekable();
        let known = same_name.peek().is_some();
        if known && !same_name.any(|(_, said)| tocsin_text::escape(said) == value.trim_end()) {
            return Err(ArmorError::Edited(tocsin_text::cut(line, 120)));
        }
    }
    Ok(())
}
