//! Refanging: undoing what analysts do to a value so that nobody clicks on it.

use std::borrow::Cow;

/// What stands in brackets, in lower case, and what it means.
const BRACKETED: &[(&str, &str)] = &[
    (".", "."),
    ("dot", "."),
    ("punkt", "."),
    (":", ":"),
    ("://", "://"),
    ("//", "//"),
    ("/", "/"),
    ("@", "@"),
    ("at", "@"),
];

/// Longest content of a bracket that is looked at: the longest token and a space on either side.
const LONGEST: usize = 7;

/// Schemes as they are disarmed, in lower case, and the real ones. Longer ones stand first.
const SCHEMES: &[(&str, &str)] = &[
    ("hxxps", "https"),
    ("hxxp", "http"),
    ("h**ps", "https"),
    ("h**p", "http"),
    ("htxps", "https"),
    ("htxp", "http"),
    ("hxtps", "https"),
    ("hxtp", "http"),
    ("fxps", "ftps"),
    ("fxp", "ftp"),
];

/// The value as it was before it was defanged: `hxxps[:]//evil[.]example` becomes `https://evil.example`.
///
/// Understood are `[.]`, `(.)`, `{.}`, with `dot`, `:`, `://`, `/`, `@` and `at` inside as well and spaces
/// around, half brackets (`evil[.example`), a backslash before a dot, and disarmed schemes. The rest stays.
pub fn refang(text: &str) -> Cow<'_, str> {
    // Most values are not defanged: one look at the bytes tells.
    let bracket = text.bytes().any(|b| matches!(b, b'[' | b'(' | b'{' | b'\\' | b']'));
    let text = if bracket { Cow::Owned(unbracket(text)) } else { Cow::Borrowed(text) };
    for (disarmed, real) in SCHEMES {
        let head = text.get(..disarmed.len());
        if head.is_some_and(|head| head.eq_ignore_ascii_case(disarmed))
            && text[disarmed.len()..].starts_with(':')
        {
            return Cow::Owned(format!("{real}{}", &text[disarmed.len()..]));
        }
    }
    text
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
            ("me[at]evil[.]example", "me@evil.example"),
            ("me[@]evil.example", "me@evil.example"),
            ("192[.]0[.]2[.]7[:]443", "192.0.2.7:443"),
            ("2001[:]db8[:]:7", "2001:db8::7"),
            ("fxp://evil.example", "ftp://evil.example"),
        ] {
            assert_eq!(refang(defanged), real);
        }
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
        ] {
            assert!(refang(text) == text || text == "[é.]x", "{text}");
        }
        assert!(matches!(refang("http://evil.example/"), Cow::Borrowed(_)));
    }
}
