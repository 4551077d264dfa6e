//! Domain names and e-mail addresses.
//!
//! A domain is its ASCII form by UTS 46 (IDNA), lower case, without the dot at its end. An e-mail address is
//! its local part with ASCII letters lower case (mail systems in use do not tell them apart), `@` and
//! its domain.

use std::borrow::Cow;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

use super::refang::bare;
use super::{Observable, Parsed, kind, net, refang};

/// RFC 1035 2.3.4: 255 octets on the wire are 253 characters.
const MAX_NAME: usize = 253;
/// RFC 1035 2.3.1, in octets.
const MAX_LABEL: usize = 63;
/// RFC 5321 4.5.3.1.1.
const MAX_LOCAL: usize = 64;

/// Whether the bytes are a domain name in canonical form: labels of a-z, 0-9, `-` and `_` (which names in use
/// have), the last one not a number. Structural: whether an `xn--` label decodes is not asked.
pub(super) fn check_domain(name: &[u8]) -> bool {
    let label = |label: &[u8]| {
        (1..=MAX_LABEL).contains(&label.len())
            && label.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
    };
    let last = name.rsplit(|b| *b == b'.').next().unwrap_or_default();
    name.len() <= MAX_NAME && !last.iter().all(u8::is_ascii_digit) && name.split(|b| *b == b'.').all(label)
}

/// The ASCII form of a name by UTS 46. Any label of letters, digits and hyphens can stand in the DNS: one that begins with
/// `xn--` and does not decode stays as it is, and hinders no other.
fn to_ascii(text: &str) -> Result<Cow<'_, str>, &'static str> {
    const WHY: &str = "it has characters that no domain name has";
    let mapped = |text: &str| {
        let ascii =
            Uts46::new().to_ascii(text.as_bytes(), AsciiDenyList::URL, Hyphens::Allow, DnsLength::Ignore);
        ascii.map(Cow::into_owned).map_err(|_| WHY)
    };
    match mapped(text) {
        Ok(ascii) => Ok(Cow::Owned(ascii)),
        Err(_) if text.to_ascii_lowercase().contains("xn--") => {
            // The full stops of UTS 46.
            let labels = text.split(['.', '\u{3002}', '\u{ff0e}', '\u{ff61}']);
            let plain =
                |label: &str| label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
            let labels = labels
                .map(|label| if plain(label) { Ok(label.to_ascii_lowercase()) } else { mapped(label) })
                .collect::<Result<Vec<_>, _>>()?;
            Ok(Cow::Owned(labels.join(".")))
        }
        Err(why) => Err(why),
    }
}

/// The canonical form of a domain name.
pub(super) fn canonical(text: &str) -> Result<String, &'static str> {
    let text = refang(text);
    let ascii = to_ascii(&text)?;
    // After the mapping, since there are other full stops than the ASCII one.
    let name = ascii.strip_suffix('.').unwrap_or(&ascii);
    if check_domain(name.as_bytes()) {
        Ok(name.to_owned())
    } else if name.len() > MAX_NAME {
        Err("a domain name has at most 253 characters")
    } else if name.split('.').any(|label| label.len() > MAX_LABEL) {
        Err("a part of a domain name has at most 63 characters")
    } else if name.split('.').any(str::is_empty) {
        Err("a part between its dots is empty")
    } else {
        Err("a domain name has letters, digits, `-`, `_` and dots, and does not end in a number")
    }
}

/// A domain covers its subdomains, so a wildcard before it says nothing; a port or slash behind it is of a URL.
pub(super) fn parse_domain(text: &str) -> Parsed {
    let text = refang(bare(text));
    let text = text.strip_suffix('/').unwrap_or(&text);
    let text = net::without_port(text).unwrap_or(text);
    let text = text.strip_prefix("*.").or_else(|| text.strip_prefix('.')).unwrap_or(text);
    Ok(Observable { kind: kind::DOMAIN, value: canonical(text)?.into_bytes() })
}

/// Whether a local part is one that is written without quotes.
fn is_local(local: &str) -> bool {
    let forbidden = |c: char| {
        c.is_control() || c.is_whitespace() || c.is_ascii_uppercase() || r#""(),:;<>@[\]"#.contains(c)
    };
    !local.is_empty() && local.len() <= MAX_LOCAL && !local.contains(forbidden)
}

/// The address in `Name <address>`, `address (Name)` and `mailto:address?subject=...`.
pub(super) fn mailbox(text: &str) -> &str {
    let text = text.trim_end_matches([',', ';']).trim_end();
    let inner = text.strip_suffix('>').and_then(|rest| Some(rest.rsplit_once('<')?.1));
    let text = inner.or_else(|| Some(text.strip_suffix(')')?.split_once(" (")?.0)).unwrap_or(text).trim();
    let link = text.get(..7).filter(|head| head.eq_ignore_ascii_case("mailto:")).map(|_| &text[7..]);
    link.map_or(text, |link| &link[..link.find('?').unwrap_or(link.len())])
}

pub(super) fn parse_email(text: &str) -> Parsed {
    let text = refang(bare(mailbox(text)));
    let text = mailbox(&text);
    let (local, domain) = text.rsplit_once('@').ok_or("an e-mail address has an `@`")?;
    let local = local.to_ascii_lowercase();
    if !is_local(&local) {
        return Err("before the `@` stand 1 to 64 characters without spaces, quotes or brackets");
    }
    Ok(Observable { kind: kind::EMAIL, value: format!("{local}@{}", canonical(domain)?).into_bytes() })
}

pub(super) fn check_email(value: &[u8]) -> bool {
    let Some((local, domain)) = str::from_utf8(value).ok().and_then(|text| text.rsplit_once('@')) else {
        return false;
    };
    is_local(local) && check_domain(domain.as_bytes())
}
