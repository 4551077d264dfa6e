//! Lines of blocklists: what hosts files, ad blockers, DNS servers and firewalls are told to block.

use std::net::Ipv4Addr;

/// What a line of a blocklist says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'t> {
    /// To block these.
    Values(Vec<String>),
    /// Nothing of a value: the frame of its format, or the machine's own name.
    Frame,
    /// Not to block these, whatever else of the list does; none of them where it cannot be told which.
    Allowed(Vec<String>),
    /// To block something on a condition that an indicator cannot state.
    Exception(&'t str),
    /// It is no line of a blocklist.
    Other,
}

/// Addresses to which a hosts file sends what it blocks.
pub(crate) const SINKS: &[&str] =
    &["0.0.0.0", "127.0.0.1", "127.0.0.2", "::", "::1", "0", "255.255.255.255", "fe80::1%lo0"];

/// Names that a hosts file has for the machine itself.
const OWN_NAMES: &[&str] = &[
    "localhost",
    "localhost.localdomain",
    "localhost4",
    "localhost6",
    "local",
    "broadcasthost",
    "ip6-localhost",
    "ip6-loopback",
    "ip6-localnet",
    "ip6-mcastprefix",
    "ip6-allnodes",
    "ip6-allrouters",
    "ip6-allhosts",
];

/// Options of ad blockers under which a rule still blocks whatever asks for it. Each other one makes of the rule something else (a
/// header, a parameter or a script that is taken away), or blocks for some sites, clients or types of question only.
const PLAIN_OPTIONS: &[&str] = &[
    "third-party",
    "3p",
    "strict3p",
    "first-party",
    "1p",
    "strict1p",
    "important",
    "match-case",
    "all",
    "document",
    "doc",
    "subdocument",
    "frame",
    "popup",
    "popunder",
    "script",
    "image",
    "stylesheet",
    "css",
    "xmlhttprequest",
    "xhr",
    "object",
    "object-subrequest",
    "font",
    "media",
    "websocket",
    "webrtc",
    "ping",
    "beacon",
    "other",
    "network",
    "empty",
    "mp4",
    "redirect",
];
/// Answers with which AdGuard blocks a name; with any other `dnsrewrite` sends it elsewhere.
const BLOCKING_ANSWERS: &[&str] = &["nxdomain", "refused", "nodata"];

/// What is told of a line that says what not to block.
pub(crate) const ALLOWED: &str = "it says what is not to be blocked: that is no indicator";
const CONDITION: &str = "it blocks a part of a page, or on a condition, which an indicator does not state";

/// What a line says, without its comment.
pub(crate) fn line(text: &str) -> Line<'_> {
    hosts(text)
        .or_else(|| adblock(text))
        .or_else(|| dnsmasq(text))
        .or_else(|| unbound(text))
        .or_else(|| bind(text))
        .or_else(|| zone(text))
        .or_else(|| firewall(text))
        .unwrap_or(Line::Other)
}

fn values<'t>(names: impl IntoIterator<Item = &'t str>) -> Line<'static> {
    Line::Values(names.into_iter().map(str::to_owned).collect())
}

fn allowed<'t>(names: impl IntoIterator<Item = &'t str>) -> Line<'static> {
    Line::Allowed(names.into_iter().map(str::to_owned).collect())
}

/// `0.0.0.0 a.example b.example`
fn hosts(text: &str) -> Option<Line<'_>> {
    let mut words = text.split_ascii_whitespace();
    if !SINKS.contains(&words.next()?) || words.clone().next().is_none() {
        return None;
    }
    let names: Vec<&str> = words.filter(|name| !SINKS.contains(name) && !OWN_NAMES.contains(name)).collect();
    Some(if names.is_empty() { Line::Frame } else { values(names) })
}

/// `||a.example^$third-party`, of Adblock Plus and those who took its form.
fn adblock(text: &str) -> Option<Line<'_>> {
    if let Some(rule) = text.strip_prefix("@@") {
        return Some(match adblock(rule) {
            Some(Line::Values(names)) => Line::Allowed(names),
            Some(Line::Exception(why)) => Line::Exception(why),
            _ => Line::Allowed(Vec::new()),
        });
    }
    if text.starts_with("[Adblock") || text.starts_with("[uBlock") {
        return Some(Line::Frame);
    }
    if ["##", "#@#", "#?#", "#$#", "#%#"].iter().any(|sign| text.contains(sign)) && !text.contains("://") {
        return Some(Line::Exception(CONDITION));
    }
    let rule =
        text.strip_prefix("||").or_else(|| text.strip_prefix('|').filter(|rest| rest.contains("://")))?;
    let (address, options) = rule.split_once('$').unwrap_or((rule, ""));
    // What is blocked for some sites only is no threat to others.
    if !options.split(',').all(is_plain_option) {
        return Some(Line::Exception(CONDITION));
    }
    let address = address.trim_end_matches('|');
    let address = ["^*", "^"].iter().find_map(|end| address.strip_suffix(end)).unwrap_or(address);
    Some(if address.contains(['*', '^']) { Line::Exception(CONDITION) } else { values([address]) })
}

/// Whether a rule with this option blocks whatever asks for the address, as without it.
fn is_plain_option(option: &str) -> bool {
    let option = option.trim().to_ascii_lowercase();
    let (name, argument) = option.split_once('=').unwrap_or((&option, ""));
    let name = name.trim_start_matches('~');
    match name {
        "" => true,
        "dnsrewrite" => {
            let answer = argument.split(';').next().unwrap_or_default();
            BLOCKING_ANSWERS.contains(&answer)
                || SINKS.contains(&argument.rsplit(';').next().unwrap_or_default())
        }
        _ => name.bytes().all(|b| b == b'_') || PLAIN_OPTIONS.contains(&name),
    }
}

/// `address=/a.example/b.example/0.0.0.0`, `server=/a.example/`
fn dnsmasq(text: &str) -> Option<Line<'_>> {
    let (key, rest) = text.split_once('=')?;
    if !matches!(key.trim(), "address" | "server" | "local") {
        return None;
    }
    let mut parts: Vec<&str> = rest.trim().strip_prefix('/')?.split('/').collect();
    let target = parts.pop()?;
    // A name that is sent to another server is answered there.
    if key.trim() == "server" && !matches!(target, "" | "#") && !SINKS.contains(&target) {
        return Some(allowed(parts.into_iter().filter(|name| !name.is_empty())));
    }
    Some(values(parts.into_iter().filter(|name| !name.is_empty())))
}

/// `local-zone: "a.example" always_nxdomain`, `local-data: "a.example A 0.0.0.0"`
fn unbound(text: &str) -> Option<Line<'_>> {
    if text == "server:" {
        return Some(Line::Frame);
    }
    let (key, rest) = text.split_once(':')?;
    let mut words = rest.trim().split_ascii_whitespace().map(|word| word.trim_matches(['"', '\'']));
    let name = words.next()?;
    match key.trim() {
        "local-zone" => Some(match words.next().unwrap_or("static") {
            "transparent" | "typetransparent" | "inform" | "nodefault" | "always_transparent" => {
                allowed([name])
            }
            _ => values([name]),
        }),
        "local-data" => Some(values([name])),
        _ => None,
    }
}

/// `zone "a.example" { type master; file "null.zone"; };`
fn bind(text: &str) -> Option<Line<'_>> {
    let name = text.strip_prefix("zone ")?.trim_start().strip_prefix('"')?.split('"').next()?;
    Some(if text.contains("forward") { allowed([name]) } else { values([name]) })
}

/// Whether a record begins here that goes on in the next lines, up to a `)`: a zone's SOA.
pub(crate) fn opens(text: &str) -> bool {
    text.contains('(')
        && !text.contains(')')
        && text.split_ascii_whitespace().any(|word| word.eq_ignore_ascii_case("SOA"))
}

/// `a.example CNAME .` and `24.0.2.0.192.rpz-ip CNAME .` of response policy zones, and the frame of a zone file.
fn zone(text: &str) -> Option<Line<'_>> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let is = |word: &&str, wanted: &str| word.eq_ignore_ascii_case(wanted);
    if text.starts_with('$')
        || words.iter().any(|word| is(word, "SOA"))
        || matches!(words[..], ["@", ..] | ["NS", _] | ["IN", "NS", _])
        || text == ")"
    {
        return Some(Line::Frame);
    }
    let kind = words
        .iter()
        .position(|word| ["CNAME", "A", "AAAA", "NS", "TXT"].iter().any(|kind| is(word, kind)))?;
    // Between the name and the type may stand a time to live and the class.
    let plain = |word: &&str| is(word, "IN") || word.bytes().all(|b| b.is_ascii_digit());
    if !(1..=3).contains(&kind) || !words[1..kind].iter().all(plain) || words.len() < kind + 2 {
        return None;
    }
    if is(&words[kind], "NS") || is(&words[kind], "TXT") {
        return Some(Line::Frame);
    }
    let (name, target) = (words[0], words[kind + 1]);
    let plain_name = |name: &str| name.trim_end_matches('.').to_ascii_lowercase();
    // A name that is sent to itself passes, which is the older form of it.
    let to_itself = plain_name(target) == plain_name(name).trim_start_matches("*.");
    if to_itself && is(&words[kind], "CNAME") || plain_name(target) == "rpz-passthru" {
        return Some(allowed([name.trim_end_matches('.')]));
    }
    if plain_name(target) == "rpz-tcp-only" {
        return Some(Line::Exception(CONDITION));
    }
    let lower = name.trim_end_matches('.').to_ascii_lowercase();
    if let Some(at) = lower.find(".rpz-ip") {
        return Some(
            reversed(&lower[..at]).map_or(Line::Exception(CONDITION), |network| Line::Values(vec![network])),
        );
    }
    if lower.contains(".rpz-") {
        return Some(Line::Exception(CONDITION));
    }
    Some(values([name.trim_end_matches('.')]))
}

/// `24.0.2.0.192`, and for IPv6 `32.zz.db8.2001`: the prefix length, then the parts from the last.
fn reversed(text: &str) -> Option<String> {
    let (length, rest) = text.split_once('.')?;
    let mut parts: Vec<&str> = rest.split('.').collect();
    parts.reverse();
    let v4 = parts.join(".");
    if v4.parse::<Ipv4Addr>().is_ok() {
        return Some(format!("{v4}/{length}"));
    }
    let v6 = parts.iter().map(|part| if *part == "zz" { "" } else { part }).collect::<Vec<_>>().join(":");
    // What ends or begins with zeros has another colon there.
    let v6 = if v6.ends_with(':') { format!("{v6}:") } else { v6 };
    Some(format!("{v6}/{length}"))
}

/// `deny 192.0.2.7;`, `Deny from 192.0.2.7`, `add blocked 192.0.2.7`, and the ranges of PeerGuardian.
fn firewall(text: &str) -> Option<Line<'_>> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let is = |at: usize, wanted: &str| words.get(at).is_some_and(|word| word.eq_ignore_ascii_case(wanted));
    let last = words.last()?.trim_end_matches(';');
    let numeric = last.starts_with(|c: char| c.is_ascii_hexdigit()) && last.contains(['.', ':']);
    match words.len() {
        2 if is(0, "deny") && numeric => Some(values([last])),
        2 if is(0, "allow") && numeric => Some(allowed([last])),
        3 if is(0, "deny") && is(1, "from") => Some(values([last])),
        3 if is(0, "add") && numeric => Some(values([last])),
        _ if is(0, "create") && is(2, "hash:ip") || is(0, "create") && is(2, "hash:net") => Some(Line::Frame),
        _ => {
            let (_, range) = text.rsplit_once(':')?;
            let (first, last) = range.split_once('-')?;
            let addresses = [first, last].iter().all(|text| text.trim().parse::<Ipv4Addr>().is_ok());
            addresses.then(|| values([range]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_blocklists() {
        for (text, expected) in [
            ("0.0.0.0 a.example", "a.example"),
            ("127.0.0.1\ta.example\tb.example", "a.example b.example"),
            ("0.0.0.0 0.0.0.0", ""),
            ("127.0.0.1 localhost localhost.localdomain", ""),
            ("::1 ip6-localhost", ""),
            (":: a.example", "a.example"),
            ("||a.example^", "a.example"),
            ("||a.example^$third-party,script", "a.example"),
            ("||a.example^*", "a.example"),
            ("||a.example^$important,~image,popup", "a.example"),
            ("||a.example^$dnsrewrite=NXDOMAIN;;", "a.example"),
            ("||a.example^$dnsrewrite=NOERROR;A;0.0.0.0", "a.example"),
            ("||a.example^$redirect=noop.js", "a.example"),
            ("||a.example/x/y.js", "a.example/x/y.js"),
            ("||192.0.2.7^", "192.0.2.7"),
            ("|https://a.example/x|", "https://a.example/x"),
            ("[Adblock Plus 2.0]", ""),
            ("address=/a.example/0.0.0.0", "a.example"),
            ("address=/a.example/b.example/", "a.example b.example"),
            ("address=/a.example/#", "a.example"),
            ("server=/a.example/", "a.example"),
            ("local=/a.example/", "a.example"),
            ("local-zone: \"a.example\" always_nxdomain", "a.example"),
            ("local-zone: \"a.example.\" static", "a.example."),
            ("local-data: \"a.example A 0.0.0.0\"", "a.example"),
            ("zone \"a.example\" { type master; file \"null\"; };", "a.example"),
            ("zone \"a.example\" IN { type master; };", "a.example"),
            ("a.example CNAME .", "a.example"),
            ("*.a.example CNAME .", "*.a.example"),
            ("a.example. 300 IN CNAME *.", "a.example"),
            ("a.example IN A 127.0.0.1", "a.example"),
            ("a.example CNAME rpz-drop.", "a.example"),
            ("24.0.2.0.192.rpz-ip CNAME .", "192.0.2.0/24"),
            ("32.7.2.0.192.rpz-ip.zone.example. CNAME .", "192.0.2.7/32"),
            ("128.7.zz.db8.2001.rpz-ip CNAME .", "2001:db8::7/128"),
            ("32.zz.db8.2001.rpz-ip CNAME .", "2001:db8::/32"),
            ("$TTL 300", ""),
            ("@ IN SOA localhost. root.localhost. (1 2 3 4 5)", ""),
            ("@ NS localhost.", ""),
            ("NS localhost.", ""),
            ("deny 192.0.2.7;", "192.0.2.7"),
            ("Deny from 192.0.2.0/24", "192.0.2.0/24"),
            ("add blocked 192.0.2.7", "192.0.2.7"),
            ("create blocked hash:net family inet", ""),
            ("Some org: east:192.0.2.0-192.0.2.255", "192.0.2.0-192.0.2.255"),
        ] {
            let found = match line(text) {
                Line::Values(values) => values.join(" "),
                Line::Frame => String::new(),
                other => format!("{other:?}"),
            };
            assert_eq!(found, expected, "{text}");
        }
        for text in [
            "@@||a.example^",
            "a.example##.banner",
            "##.banner",
            "||a.example^$domain=b.example",
            "||a.example^$from=b.example",
            "||a.example^$to=b.example",
            "||a.example^$client=192.0.2.1",
            "||a.example^$ctag=user_child",
            "||a.example^$dnstype=AAAA",
            "||a.example^$dnsrewrite=192.0.2.9",
            "||a.example^$important,dnsrewrite=NOERROR;CNAME;b.example",
            "||a.example^$removeparam=utm",
            "||a.example^$csp=script-src 'self'",
            "||a.example^$generichide",
            "||a.example^$BadFilter",
            "||a.example^$unheard-of",
            "a.example CNAME a.example.",
            "*.a.example. 300 IN CNAME A.example.",
            "a.example CNAME rpz-tcp-only.",
            "||a.*^",
            "server=/a.example/192.0.2.1",
            "local-zone: \"a.example\" transparent",
            "a.example CNAME rpz-passthru.",
            "ns.a.example.rpz-nsdname CNAME .",
            "allow 192.0.2.7;",
        ] {
            let is_exception = matches!(line(text), Line::Exception(_) | Line::Allowed(_));
            assert!(is_exception, "{text}: {:?}", line(text));
        }
        for (text, expected) in [
            ("@@||a.example^|", vec!["a.example"]),
            ("@@||a.example^$important", vec!["a.example"]),
            ("@@/banner/*/img^", vec![]),
            ("*.a.example CNAME rpz-passthru.", vec!["*.a.example"]),
            ("server=/a.example/b.example/192.0.2.1", vec!["a.example", "b.example"]),
            ("allow 192.0.2.7;", vec!["192.0.2.7"]),
        ] {
            assert_eq!(
                line(text),
                Line::Allowed(expected.into_iter().map(str::to_owned).collect()),
                "{text}"
            );
        }
        assert_eq!(line("@@||a.example^$domain=b.example"), Line::Exception(CONDITION));
        for text in [
            "a.example",
            "192.0.2.7",
            "http://a.example/##x",
            "A record of it",
            "this is a CNAME",
            "evil.example is A problem",
            "key=value",
            "HKLM\\Software",
            "deny it",
            "192.0.2.7 12",
            "0.0.0.0",
            "2001:db8::-2001:db8::1",
        ] {
            assert_eq!(line(text), Line::Other, "{text}");
        }
    }
}
