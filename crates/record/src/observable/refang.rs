//! Refanging: undoing what analysts do to a value so that nobody clicks on it.

use std::borrow::Cow;

/// What stands in brackets, in lower case, and what it means.
const BRACKETED: &[(&str, &str)] = &[
    (".", "."),
    (",", "."),
    ("dot", "."),
    ("d0t", "."),
    ("punkt", "."),
    ("punto", "."),
    (":", ":"),
    ("://", "://"),
    (":\\\\", "://"),
    ("//", "//"),
    ("/", "/"),
    ("@", "@"),
    ("at", "@"),
];

/// Longest content of a bracket that is looked at: the longest token and a space on either side.
const LONGEST: usize = 7;

/// Letters and signs that stand in a disarmed `http` for its two `t`, and for its `p`.
const DISARMED_TT: &[u8] = b"tx*+_-#?0o";
const DISARMED_P: &[u8] = b"px*";

/// Signs around a value that are none of it: quotes of several languages, and those of Markdown and mail.
const QUOTES: &[(char, char)] = &[
    ('"', '"'),
    ('\'', '\''),
    ('`', '`'),
    ('<', '>'),
    ('\u{201c}', '\u{201d}'),
    ('\u{201e}', '\u{201c}'),
    ('\u{201e}', '\u{201d}'),
    ('\u{201d}', '\u{201d}'),
    ('\u{2018}', '\u{2019}'),
    ('\u{201a}', '\u{2018}'),
    ('\u{2019}', '\u{2019}'),
    ('\u{ab}', '\u{bb}'),
    ('\u{bb}', '\u{ab}'),
    ('\u{2039}', '\u{203a}'),
    ('\u{300c}', '\u{300d}'),
];

/// Characters that nobody sees, which word processors and web pages leave in what is copied out of them.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}' | '\u{2060}' | '\u{feff}')
}

/// The value as it was before it was defanged: `hxxps[:]//evil[.]example` becomes `https://evil.example`.
///
/// Understood are `[.]`, `(.)`, `{.}`, `<.>`, with `dot`, `:`, `://`, `/`, `@` and `at` inside as well and spaces
/// around, half brackets (`evil[.example`), a backslash before a dot, `dot` and `at` as words (`evil dot example`), and
/// disarmed schemes, however they are cut from what follows (`hxxp:\\`, `hxxp[s]://`, `h00p//`). The rest stays.
pub fn refang(text: &str) -> Cow<'_, str> {
    // Most values are not defanged: one look at the bytes tells.
    let (mut bracket, mut space, mut wide) = (false, false, false);
    for b in text.bytes() {
        match b {
            b'[' | b'(' | b'{' | b'<' | b'\\' | b']' => bracket = true,
            b' ' => space = true,
            0xc2 | 0xe2 | 0xef => wide = true,
            _ => {}
        }
    }
    let mut text = Cow::Borrowed(text);
    if wide && text.contains(is_invisible) {
        text = Cow::Owned(text.replace(is_invisible, ""));
    }
    if bracket {
        text = Cow::Owned(unbracket(&text));
    }
    if space && let Some(joined) = spelled(&text) {
        text = Cow::Owned(joined);
    } else if !text.contains('.')
        && let Some(sign) = ["_dot_", "-dot-", "DOT"].into_iter().find(|sign| text.contains(sign))
    {
        text = Cow::Owned(text.replace(sign, "."));
    }
    match scheme(&text) {
        Some(armed) if armed != text => Cow::Owned(armed),
        _ => text,
    }
}

/// A value without what people put around it: quotes, the comma of a list, the full stop of a sentence.
pub(super) fn bare(text: &str) -> &str {
    let mut text = text.trim_end_matches([',', ';']).trim_end();
    // Quotes within quotes, as spreadsheets make them.
    for _ in 0..3 {
        let inner = |(open, close): &(char, char)| text.strip_prefix(*open)?.strip_suffix(*close);
        match QUOTES.iter().find_map(inner).map(str::trim) {
            Some(inner) if !inner.is_empty() => text = inner.trim_end_matches([',', ';']).trim_end(),
            _ => break,
        }
    }
    text
}

/// `evil dot example` and `me at evil dot example`: words between which each second is a sign.
fn spelled(text: &str) -> Option<String> {
    let words = text.split_ascii_whitespace();
    let mut out = String::with_capacity(text.len());
    let (mut count, mut ats) = (0, 0);
    for word in words {
        if count % 2 == 0 {
            let plain =
                |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'@' | b':' | b'/');
            if !word.bytes().all(plain) {
                return None;
            }
            out.push_str(word);
        } else if word.eq_ignore_ascii_case("dot") || word == "." {
            out.push('.');
        } else if word.eq_ignore_ascii_case("at") || word == "@" {
            out.push('@');
            ats += 1;
        } else {
            return None;
        }
        count += 1;
    }
    (count > 1 && count % 2 == 1 && ats < 2).then_some(out)
}

/// The text with its scheme armed again and `://` behind it; `None` if it begins with no scheme of those that are
/// disarmed.
fn scheme(text: &str) -> Option<String> {
    let name =
        |c: &char| c.is_ascii_alphanumeric() || matches!(c, '*' | '+' | '_' | '-' | '#' | '?' | '[' | ']');
    let end = text.char_indices().find(|(_, c)| !name(c)).map_or(text.len(), |(at, _)| at);
    // `hxxps` and its brackets are the longest.
    let written = text.get(..end).filter(|written| (2..=9).contains(&written.len()))?;
    let real = armed(&written.replace(['[', ']'], "").to_ascii_lowercase())?;
    let rest = text[end..].trim_start_matches(' ');
    let colon = rest.strip_prefix([':', ';']);
    let after = colon.unwrap_or(rest).trim_start_matches(' ');
    let slashes = after.len() - after.trim_start_matches(['/', '\\']).len();
    // A colon may be missing where there are two slashes, and a slash where there is a colon.
    let cut = match (colon.is_some(), slashes) {
        (true, 1..) => slashes,
        (true, 0) if after.starts_with("__") => 2,
        (false, 2) => 2,
        _ => return None,
    };
    Some(format!("{real}://{}", after[cut..].trim_start_matches(' ')))
}

/// The scheme that a name is the disarmed form of, or is itself.
fn armed(name: &str) -> Option<&'static str> {
    match name {
        "http" | "meow" | "ttp" | "hxp" => return Some("http"),
        "https" | "meows" | "ttps" | "hxps" => return Some("https"),
        "ftp" | "fxp" | "f*p" | "fxxp" => return Some("ftp"),
        "ftps" | "fxps" | "f*ps" => return Some("ftps"),
        _ => {}
    }
    let (name, secure) = match name.strip_suffix('s') {
        Some(name) => (name, true),
        None => (name, false),
    };
    let [b'h' | b'x' | b'*', middle @ .., last] = name.as_bytes() else { return None };
    let disarmed = (2..=3).contains(&middle.len())
        && middle.iter().all(|b| DISARMED_TT.contains(b))
        && DISARMED_P.contains(last);
    disarmed.then_some(if secure { "https" } else { "http" })
}

fn unbracket(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some((real, after)) = token(rest) {
            // `evil [.] example`: the spaces belong to the disarming.
            out.truncate(out.trim_end_matches(' ').len());
            out.push_str(real);
            rest = after.trim_start_matches(' ');
        } else if rest.starts_with("[.") || rest.starts_with("\\.") || rest.starts_with(".]") {
            out.push('.');
            rest = &rest[2..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// The meaning of the bracket at the start of `text`, and what follows it.
fn token(text: &str) -> Option<(&'static str, &str)> {
    let close = match text.bytes().next()? {
        b'[' => ']',
        b'(' => ')',
        b'{' => '}',
        b'<' => '>',
        _ => return None,
    };
    let end = text.char_indices().take(LONGEST + 2).find(|(_, c)| *c == close)?.0;
    let inner = text[1..end].trim();
    let (_, real) = BRACKETED.iter().find(|(token, _)| token.eq_ignore_ascii_case(inner))?;
    Some((real, &text[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undoes_what_analysts_do() {
        for (defanged, real) in [
            ("hxxp://evil[.]example/a", "http://evil.example/a"),
            ("hXXps[:]//evil(.)example", "https://evil.example"),
            ("hxxps[://]evil{.}example", "https://evil.example"),
            ("evil [dot] example", "evil.example"),
            ("evil(DOT)example", "evil.example"),
            ("evil[.example", "evil.example"),
            ("evil.]example", "evil.example"),
            ("evil\\.example", "evil.example"),
            ("evil<.>example", "evil.example"),
            ("evil<dot>example", "evil.example"),
            ("evil dot example", "evil.example"),
            ("www DOT evil dot example", "www.evil.example"),
            ("evil . example", "evil.example"),
            ("evil_dot_example", "evil.example"),
            ("evilDOTexample", "evil.example"),
            ("me at evil dot example", "me@evil.example"),
            ("me[at]evil[.]example", "me@evil.example"),
            ("me[@]evil.example", "me@evil.example"),
            ("192[.]0[.]2[.]7[:]443", "192.0.2.7:443"),
            ("192.0.2.7\u{200b}", "192.0.2.7"),
            ("2001[:]db8[:]:7", "2001:db8::7"),
            ("fxp://evil.example", "ftp://evil.example"),
        ] {
            assert_eq!(refang(defanged), real, "{defanged}");
        }
        for scheme in [
            "hxxp", "hXXp", "h**p", "htxp", "hxtp", "hxxx", "h00p", "hXXXp", "h__p", "h--p", "xxxp", "hxp",
            "meow", "ttp", "[http]", "h[xx]p", "http", "hoop",
        ] {
            for cut in ["://", ":\\\\", "[:]//", "[://]", ":/", "//", " : // ", ";//", ":///", ":__"] {
                let (plain, secure) =
                    (format!("{scheme}{cut}evil.example/x"), format!("{scheme}s{cut}evil.example/x"));
                assert_eq!(refang(&plain), "http://evil.example/x", "{plain}");
                assert_eq!(refang(&secure), "https://evil.example/x", "{secure}");
            }
        }
        assert_eq!(refang("hxxp[s]://evil.example/"), "https://evil.example/");
    }

    #[test]
    fn leaves_the_rest_alone() {
        for text in [
            "",
            "[",
            "[]",
            "[2001:db8::1]",
            "http://[2001:db8::1]:80/",
            "(attachment)",
            "a(1).doc",
            "hxxp",
            "[é.]x",
            "tcp://evil.example:4444",
            "htdocs://x",
            "we met at the station",
            "connect to the dot",
            "http:evil.example",
            "http.example",
            "https-evil.example/x",
            "http/1.1",
            "A dot, b",
        ] {
            assert!(refang(text) == text || text == "[é.]x", "{text}: {}", refang(text));
        }
        assert!(matches!(refang("http://evil.example/"), Cow::Borrowed(_)));
    }

    #[test]
    fn what_stands_around_a_value_is_none_of_it() {
        for text in [
            "\"x\"",
            "'x',",
            "\u{201c}x\u{201d}",
            "\u{201e}x\u{201c}",
            "\u{ab} x \u{bb};",
            "\"'x'\"",
            "`x`",
            "x;",
        ] {
            assert_eq!(bare(text), "x", "{text}");
        }
        for text in ["\"\"", "\"", "x\"", "<", "<>"] {
            assert_eq!(bare(text), text);
        }
    }
}
