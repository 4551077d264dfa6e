//! Files in UTF-16, as Windows and its spreadsheets write them: made UTF-8 before anything is read of them.

use std::io::{Cursor, Read as _, SeekFrom};

use crate::{Content, ImportError};

/// Largest file in UTF-16, in bytes: its text is held in memory, at three halves of that at most.
pub(crate) const UTF16_MAX: u64 = 64 << 20;

/// The text of a file in UTF-16 with a byte order mark, as UTF-8 without it; `None` for any other file, which stands at its
/// beginning again.
///
/// # Errors
/// When it is too long, in UTF-32, or cut within a character.
pub(crate) fn decoded(content: &mut dyn Content) -> Result<Option<Cursor<Vec<u8>>>, ImportError> {
    content.seek(SeekFrom::Start(0))?;
    let mut head = Vec::new();
    content.take(4).read_to_end(&mut head)?;
    let from: fn([u8; 2]) -> u16 = match &head[..] {
        [0xff, 0xfe, 0, 0] | [0, 0, 0xfe, 0xff] => return Err(ImportError::Encoding("UTF-32")),
        [0xff, 0xfe, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] => u16::from_be_bytes,
        _ => {
            content.seek(SeekFrom::Start(0))?;
            return Ok(None);
        }
    };
    let length = content.seek(SeekFrom::End(0))?;
    if length > UTF16_MAX {
        return Err(ImportError::TooLargeUtf16(length));
    }
    content.seek(SeekFrom::Start(2))?;
    let mut bytes = Vec::new();
    content.take(UTF16_MAX).read_to_end(&mut bytes)?;
    let (units, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(ImportError::Encoding("UTF-16 that is cut within a character"));
    }
    // Half of a pair is no character: its line is no value, and the rest is read.
    let text: String = char::decode_utf16(units.iter().map(|unit| from(*unit)))
        .map(|read| read.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    Ok(Some(Cursor::new(text.into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FileInfo, Found, Profile};
    use tocsin_record::OrgId;

    fn utf16(text: &str, to: fn(u16) -> [u8; 2]) -> Vec<u8> {
        let marked = format!("\u{feff}{text}");
        marked.encode_utf16().flat_map(to).collect()
    }

    fn import(bytes: &[u8]) -> Result<Found, ImportError> {
        let profile = Profile::default();
        let file = FileInfo { name: "list", source: "feed", org: OrgId([7; 32]), profile: &profile };
        crate::import(bytes, &file)
    }

    #[test]
    fn every_format_is_read_of_both_orders() {
        let misp = r#"{"info":"caf\u00e9 \ud83d\ude00 ü","uuid":"59dbf0f6-3203-413a-9fbc-7960b592e4cf","Attribute":
                       [{"type":"domain","value":"a.example","to_ids":true}]}"#;
        let stix = r#"{"type":"indicator","spec_version":"2.1","id":"indicator--00000000-0000-4000-8000-000000000001",
                       "pattern_type":"stix","pattern":"[domain-name:value = 'a.example']"}"#;
        for (format, text) in [
            ("list", "# über TLP:GREEN\r\na.example\r\nb\u{1f600}\r\nb.example\r\n"),
            ("csv", "value;type;note\r\na.example;domain;süß\r\nb.example;domain;x\r\n"),
            ("misp", misp),
            ("stix", stix),
        ] {
            let plain = import(text.as_bytes()).unwrap();
            assert_eq!(plain.format, format);
            assert!(plain.counts.indicators > 0);
            assert_eq!(import(&utf16(text, u16::to_le_bytes)).unwrap(), plain);
            assert_eq!(import(&utf16(text, u16::to_be_bytes)).unwrap(), plain);
        }
    }

    #[test]
    fn what_does_not_decode_costs_its_line_or_is_named() {
        let mut bytes = utf16("a.example\n", u16::to_le_bytes);
        bytes.extend(0xd800_u16.to_le_bytes());
        bytes.extend("x.example\nb.example\n".encode_utf16().flat_map(u16::to_le_bytes));
        let found = import(&bytes).unwrap();
        assert_eq!((found.counts.indicators, found.skipped[0].line), (2, Some(2)));
        bytes.pop();
        let said = import(&bytes).unwrap_err().to_string();
        assert!(said.contains("cut within a character"), "{said}");
        let said = import(b"\xff\xfe\0\0a\0\0\0").unwrap_err().to_string();
        assert!(said.contains("UTF-32"), "{said}");
        assert!(matches!(import(b"\xff\xfe"), Err(ImportError::Empty)));
    }
}
