//! What an org changes of its own entry: words of its people, checked before its root signs them.

use std::net::IpAddr;

use tocsin_record::document::{Constituency, OrgEntry};

use super::peer::{address_with_peer, peer_id};

/// In the place of a list: there is none from now on.
const NONE: &str = "none";
/// What of a contact can be set.
const CONTACT: [&str; 4] = ["desk", "phone", "email", "notes"];

/// What is to be changed; what is not named stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryEdit {
    /// Whom to call, as `desk=TEXT`, `phone=`, `email=` or `notes=`.
    pub contact: Vec<String>,
    /// Networks, AS numbers (`AS64500`) and domains that it answers for, or `none`.
    pub constituency: Vec<String>,
    /// Two letters.
    pub country: Option<String>,
    /// Legal regimes, or `none`.
    pub regimes: Vec<String>,
    /// Multiaddrs under which partners reach this node, or `none`: it only dials out.
    pub announce: Vec<String>,
}

/// A word makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Nothing was named.
    #[error("say what is to be changed: --contact, --constituency, --country, --regime or --announce")]
    Nothing,
    /// Not of the form that contacts have.
    #[error("`{0}` is no contact: use desk=TEXT, phone=NUMBER, email=ADDRESS or notes=TEXT")]
    Contact(String),
    /// Neither network, AS number nor domain.
    #[error("`{0}` is no constituency: use a network such as 192.0.2.0/24, AS64500, a domain, or none")]
    Constituency(String),
    /// Not two letters.
    #[error("`{0}` is no country: use two letters (ISO 3166-1)")]
    Country(String),
    /// Nobody can dial it.
    #[error(
        "`{0}` is no address that partners can dial: use a host and a port, such as /dns4/tocsin.cert-aa.example/udp/7117/quic-v1, \
         or none"
    )]
    Address(String),
    /// Over a bound.
    #[error("the {0} is out of bounds: it is too long, or there is too much of it")]
    Bounds(&'static str),
}

impl EntryEdit {
    /// The entry with the change made. `transport` is the key of the node that the addresses are of; those of the org's other
    /// nodes stay.
    ///
    /// # Errors
    /// [`EntryError`].
    pub fn apply(&self, entry: &OrgEntry, transport: &[u8; 32]) -> Result<OrgEntry, EntryError> {
        if *self == Self::default() {
            return Err(EntryError::Nothing);
        }
        let mut entry = entry.clone();
        for word in &self.contact {
            let wrong = || EntryError::Contact(shown(word));
            let (field, value) = word.split_once('=').ok_or_else(wrong)?;
            if value.chars().any(char::is_control) {
                return Err(wrong());
            }
            let contact = &mut entry.contact;
            let places = [&mut contact.desk, &mut contact.phone, &mut contact.email, &mut contact.notes];
            let place = CONTACT.iter().zip(places).find(|(name, _)| **name == field);
            value.clone_into(place.ok_or_else(wrong)?.1);
        }
        if let Some(word) = &self.country {
            let letters: Option<[u8; 2]> = word.to_ascii_uppercase().into_bytes().try_into().ok();
            let letters = letters.filter(|letters| letters.iter().all(u8::is_ascii_uppercase));
            entry.country = letters.ok_or_else(|| EntryError::Country(shown(word)))?;
        }
        if !self.constituency.is_empty() {
            entry.constituency = Constituency::default();
            for word in list(&self.constituency) {
                place(&mut entry, word).ok_or_else(|| EntryError::Constituency(shown(word)))?;
            }
        }
        if !self.regimes.is_empty() {
            entry.regimes = list(&self.regimes).map(str::to_owned).collect();
        }
        if !self.announce.is_empty() {
            let id = peer_id(transport).map(|id| format!("/p2p/{id}")).unwrap_or_default();
            entry.addresses.retain(|address| !address.ends_with(&id));
            for word in list(&self.announce) {
                let address = address_with_peer(word, transport).filter(|address| address.ends_with(&id));
                entry.addresses.push(address.ok_or_else(|| EntryError::Address(shown(word)))?);
            }
        }
        entry.check().map_err(EntryError::Bounds)?;
        Ok(entry)
    }
}

/// What a list names: nothing, if that is said.
fn list(words: &[String]) -> impl Iterator<Item = &str> {
    let is_none = words.len() == 1 && words[0] == NONE;
    words.iter().filter(move |_| !is_none).map(String::as_str)
}

fn shown(word: &str) -> String {
    tocsin_text::cut(word, 80)
}

/// Puts one word of a constituency where it belongs; `None` if it belongs nowhere.
fn place(entry: &mut OrgEntry, word: &str) -> Option<()> {
    let all = &mut entry.constituency;
    let number = word.strip_prefix("AS").or_else(|| word.strip_prefix("as"));
    if let Some(number) = number.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit())) {
        all.asns.push(number.parse().ok()?);
    } else if let Some((address, length)) = word.split_once('/') {
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length: u8 = length.parse().ok().filter(|length| *length <= most)?;
        all.networks.push(format!("{address}/{length}"));
    } else if let Ok(address) = word.parse::<IpAddr>() {
        all.networks.push(format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 }));
    } else {
        let name = word.trim_start_matches('.').to_ascii_lowercase();
        let is_label = |label: &str| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        // A single label is a whole country or nothing.
        (name.contains('.') && name.split('.').all(is_label)).then_some(())?;
        all.suffixes.push(name);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::card::tests::sample;
    use super::*;
    use tocsin_record::keys::Secret;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn what_is_named_is_changed_and_nothing_else() {
        let (_, card) = sample("cert-aa", 10);
        let key = Secret::from_seed(&[12; 32]).public();
        let edit = EntryEdit {
            contact: words(&["desk=Night desk", "phone=+49 30 1"]),
            constituency: words(&["192.0.2.0/24", "2001:db8::1", "AS64500", ".Police.example"]),
            country: Some("bb".to_owned()),
            announce: words(&["/dns4/a.example/tcp/7117"]),
            ..EntryEdit::default()
        };
        let entry = edit.apply(&card.entry, &key).unwrap();
        assert_eq!((entry.contact.desk.as_str(), entry.contact.phone.as_str()), ("Night desk", "+49 30 1"));
        assert_eq!(entry.constituency.networks, ["192.0.2.0/24", "2001:db8::1/128"]);
        assert_eq!(
            (&entry.constituency.asns[..], &entry.constituency.suffixes[..]),
            (&[64500][..], &words(&["police.example"])[..])
        );
        assert_eq!(
            (entry.country, entry.name, entry.root),
            (*b"BB", card.entry.name.clone(), card.entry.root)
        );
        // The address of another node of the org stays, and the next one takes the place of this node's.
        assert_eq!(entry.addresses.len(), 2);
        let entry = OrgEntry { name: card.entry.name.clone(), ..edit.apply(&card.entry, &key).unwrap() };
        let again = EntryEdit { announce: words(&["/ip4/192.0.2.9/tcp/1"]), ..EntryEdit::default() };
        let moved = again.apply(&entry, &key).unwrap();
        assert!(moved.addresses.len() == 2 && moved.addresses[1].starts_with("/ip4/192.0.2.9/tcp/1/p2p/"));
        let nothing =
            EntryEdit { announce: words(&["none"]), constituency: words(&["none"]), ..EntryEdit::default() };
        let nothing = nothing.apply(&moved, &key).unwrap();
        assert_eq!(nothing.addresses, card.entry.addresses);
        assert!(nothing.constituency.networks.is_empty() && nothing.contact == entry.contact);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let (_, card) = sample("cert-aa", 10);
        let key = Secret::from_seed(&[12; 32]).public();
        let refused = |edit: EntryEdit| edit.apply(&card.entry, &key).unwrap_err();
        assert_eq!(refused(EntryEdit::default()), EntryError::Nothing);
        for word in ["desk", "fax=1", "desk=a\x1b[2J", "=x", ""] {
            let edit = EntryEdit { contact: words(&[word]), ..EntryEdit::default() };
            assert_eq!(refused(edit), EntryError::Contact(shown(word)));
        }
        for word in [
            "",
            "192.0.2.0/33",
            "192.0.2/24",
            "AS99999999999",
            "AS",
            "com",
            "a..b",
            "a b.c",
            "x/y",
            "none,AS1",
        ] {
            let edit = EntryEdit { constituency: words(&[word]), ..EntryEdit::default() };
            assert_eq!(refused(edit), EntryError::Constituency(shown(word)), "{word}");
        }
        for word in ["", "A", "ABC", "1A", "Ö"] {
            let edit = EntryEdit { country: Some(word.to_owned()), ..EntryEdit::default() };
            assert_eq!(refused(edit), EntryError::Country(shown(word)));
        }
        let other = peer_id(&Secret::from_seed(&[13; 32]).public()).unwrap();
        for word in [
            "",
            "here",
            "/ip4/0.0.0.0/tcp/1",
            "/ip4/192.0.2.1/tcp/0",
            &format!("/ip4/192.0.2.1/tcp/1/p2p/{other}"),
        ] {
            let edit = EntryEdit { announce: words(&[word]), ..EntryEdit::default() };
            assert_eq!(refused(edit), EntryError::Address(shown(word)), "{word}");
        }
        let long = EntryEdit { contact: vec![format!("desk={}", "x".repeat(2000))], ..EntryEdit::default() };
        assert_eq!(refused(long), EntryError::Bounds("contact"));
    }
}
