//! Making a node: keys, certificate, card, configuration, policy.

use tocsin_clock as clock;
use tocsin_record::document::{Certificate, CertifiedKey, Contact, OrgKind, Purpose, Signed};
use tocsin_record::id::OrgId;
use tocsin_record::keys::Secret;
use tocsin_seal::{SUITE, SealingKey};
use zeroize::Zeroizing;

use crate::config::{Config, ConfigError, SAMPLE};
use crate::files::FileError;
use crate::identity::{self, Card, CardError, NodeError, NodeRequest};
use crate::{Home, HomeError, files, keys};

/// What an operator says of a new node.
#[derive(Clone, Debug, Default)]
pub struct NewNode {
    /// Name of the org.
    pub name: String,
    /// Kind of org, by name.
    pub kind: String,
    /// Two letters.
    pub country: String,
    /// Name of the node within the org.
    pub node: String,
    /// Multiaddrs to listen on.
    pub listen: Vec<String>,
    /// Multiaddrs under which it is reached, if others.
    pub announce: Vec<String>,
    /// Legal regimes.
    pub regimes: Vec<String>,
    /// Whom to call.
    pub contact: Contact,
    /// Text of the policy to begin with.
    pub policy: String,
}

/// A node was not made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The home.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A key.
    #[error(transparent)]
    Key(#[from] keys::KeyError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The card.
    #[error(transparent)]
    Card(#[from] CardError),
    /// What the org is asked for.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// What was said makes no sense.
    #[error("{0}")]
    Word(String),
}

/// Makes a node in an empty home. Everything said is checked before anything is written.
///
/// # Errors
/// [`SetupError`].
pub fn make(home: &Home, new: &NewNode, passphrase: Option<&str>) -> Result<Card, SetupError> {
    let kind = OrgKind::by_name(&new.kind).ok_or_else(|| {
        let known: Vec<&str> = OrgKind::ALL.iter().map(|row| row.1).collect();
        SetupError::Word(format!("`{}` is no kind of org: use one of {}", new.kind, known.join(", ")))
    })?;
    let country: Option<[u8; 2]> = new.country.to_ascii_uppercase().into_bytes().try_into().ok();
    let country = country.filter(|letters| letters.iter().all(u8::is_ascii_uppercase)).ok_or_else(|| {
        SetupError::Word(format!("`{}` is no country: use two letters (ISO 3166-1)", new.country))
    })?;
    let config = config_text(new, kind)?;

    let root_seed = keys::fresh_seed()?;
    let root = Secret::from_seed(&root_seed);
    let seeds = [keys::fresh_seed()?, keys::fresh_seed()?, keys::fresh_seed()?];
    let transport_public = Secret::from_seed(&seeds[1]).public();
    let mut entry = identity::entry(OrgId(root.public()), &new.name);
    entry.kind = kind.code();
    entry.country = country;
    entry.regimes.clone_from(&new.regimes);
    entry.contact = new.contact.clone();
    entry.addresses = addresses(new, &transport_public)?;
    entry.check().map_err(|field| {
        SetupError::Word(format!("the {field} is out of bounds: a name is 1 to 64 of a-z 0-9 . -"))
    })?;
    let now = clock::now_ms();
    let mut certificate = certificate(entry.root, &new.node, &seeds, now);
    certificate.add_signature(&root);
    let card = Card::sign(entry, vec![certificate], &root)?;
    // The certificate's own bounds, such as the node's name, before a file is there.
    let card = Card::decode(&card.encode())?;

    home.make()?;
    write_seeds(home, &seeds)?;
    keys::write_root(&home.root_file(), &root_seed, passphrase)?;
    files::write_new(&home.config_file(), config.as_bytes())?;
    files::write_new(&home.policy_file(), new.policy.as_bytes())?;
    files::write_public(&home.public_card(&new.name), card.write().as_bytes())?;
    // The last one written: a home with it is whole.
    files::write(&home.own_card(), card.write().as_bytes())?;
    Ok(card)
}

/// Makes one more node of an org in an empty home, which can run when the org's root certified its keys.
///
/// # Errors
/// [`SetupError`].
pub fn make_node(home: &Home, new: &NewNode, of: &Card) -> Result<NodeRequest, SetupError> {
    let kind =
        OrgKind::ALL.iter().find(|row| row.0.code() == of.entry.kind).map_or(OrgKind::Csirt, |row| row.0);
    let config = config_text(new, kind)?;
    let seeds = [keys::fresh_seed()?, keys::fresh_seed()?, keys::fresh_seed()?];
    let request = NodeRequest {
        org: of.entry.root,
        certificate: certificate(of.entry.root, &new.node, &seeds, clock::now_ms()),
        addresses: addresses(new, &Secret::from_seed(&seeds[1]).public())?,
    };
    let text = request.write()?;
    home.make()?;
    write_seeds(home, &seeds)?;
    files::write_new(&home.config_file(), config.as_bytes())?;
    files::write_new(&home.policy_file(), new.policy.as_bytes())?;
    files::write_new(&home.request_file(), text.as_bytes())?;
    Ok(request)
}

/// Seeds of a node's keys: for records, for links, for what is sealed to it.
type Seeds = [Zeroizing<[u8; 32]>; 3];

fn write_seeds(home: &Home, seeds: &Seeds) -> Result<(), SetupError> {
    for (purpose, seed) in ["record", "transport", "sealing"].iter().zip(seeds) {
        keys::write_seed(&home.key_file(purpose), purpose, seed)?;
    }
    Ok(())
}

/// The certificate of a new node. Its own keys sign it, which shows that they are this node's; the root has to.
fn certificate(org: OrgId, node: &str, [record, transport, sealing]: &Seeds, now: u64) -> Signed {
    let key = |purpose: Purpose, suite: u8, bytes: Vec<u8>| CertifiedKey {
        purpose: purpose as u16,
        suite,
        bytes,
        from: now,
        until: 0,
    };
    let sealing = SealingKey::from_seed(sealing).public().to_bytes();
    let (record, transport) = (Secret::from_seed(record), Secret::from_seed(transport));
    let certificate = Certificate {
        org,
        node: node.to_owned(),
        version: 1,
        time: now,
        keys: vec![
            key(Purpose::Record, 0, record.public().to_vec()),
            key(Purpose::Transport, 0, transport.public().to_vec()),
            key(Purpose::Sealing, SUITE, sealing),
            key(Purpose::Steward, 0, record.public().to_vec()),
        ],
        branches: Vec::new(),
        extension: Vec::new(),
    };
    Signed::sign(&certificate, &[&record, &transport])
}

/// Where a node is reached, with its peer id.
fn addresses(new: &NewNode, transport: &[u8; 32]) -> Result<Vec<String>, SetupError> {
    let reached = if new.announce.is_empty() { &new.listen } else { &new.announce };
    let addresses: Vec<String> =
        reached.iter().filter_map(|address| identity::address_with_peer(address, transport)).collect();
    if addresses.len() < new.announce.len() {
        return Err(SetupError::Word(
            "an address to announce must name a host and a port: nobody can dial 0.0.0.0 or port 0"
                .to_owned(),
        ));
    }
    Ok(addresses)
}

/// The purposes that people of an org of this kind have as a rule: what they may state until the operator says otherwise. All
/// defend networks.
fn purposes(kind: OrgKind) -> Vec<String> {
    let own: &[&str] = match kind {
        OrgKind::Csirt | OrgKind::Private | OrgKind::International => {
            &["incident-response", "victim-notification"]
        }
        OrgKind::Police => {
            &["incident-response", "criminal-investigation", "crime-prevention", "victim-notification"]
        }
        OrgKind::Prosecutor => &["criminal-investigation", "prosecution"],
        OrgKind::Border => &["incident-response", "border-security", "crime-prevention"],
        OrgKind::Intelligence | OrgKind::Military => &["incident-response", "national-security"],
        OrgKind::Academic => &["research", "statistics"],
    };
    std::iter::once("network-defence").chain(own.iter().copied()).map(str::to_owned).collect()
}

/// The commented sample with addresses and purposes put in.
fn config_text(new: &NewNode, kind: OrgKind) -> Result<String, SetupError> {
    let list = |items: &[String]| {
        let quoted: Vec<String> = items.iter().map(|item| format!("{item:?}")).collect();
        format!("[{}]", quoted.join(", "))
    };
    let text = SAMPLE
        .replace("\nlisten = []\n", &format!("\nlisten = {}\n", list(&new.listen)))
        .replace("\nannounce = []\n", &format!("\nannounce = {}\n", list(&new.announce)))
        .replace("\npurposes = []\n", &format!("\npurposes = {}\n", list(&purposes(kind))));
    let read = Config::parse(&text, "config.toml")?;
    if read.listen != new.listen || read.announce != new.announce {
        return Err(SetupError::Word("the addresses cannot be written to the configuration".to_owned()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;
    use tocsin_record::marking::Code;

    #[test]
    fn a_node_is_made_whole_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(&folder.path().join("aa"));
        let new = NewNode {
            name: "cert-aa".to_owned(),
            kind: "csirt".to_owned(),
            country: "aa".to_owned(),
            node: "one".to_owned(),
            listen: vec!["/ip4/127.0.0.1/tcp/7117".to_owned()],
            ..NewNode::default()
        };
        let card = make(&home, &new, Some("long enough")).unwrap();
        let identity = home.identity().unwrap();
        assert_eq!(identity.card, card);
        assert_eq!(card.entry.addresses.len(), 1);
        let config = home.config().unwrap();
        assert_eq!(config.listen, new.listen);
        assert_eq!(config.person.purposes, purposes(OrgKind::Csirt));
        for path in
            [home.key_file("record"), home.key_file("transport"), home.root_file(), home.config_file()]
        {
            assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600, "{}", path.display());
        }
        assert_eq!(std::fs::metadata(home.path()).unwrap().mode() & 0o777, 0o700);
        assert!(matches!(make(&home, &new, None), Err(SetupError::Home(HomeError::Exists(_)))));
        for (field, wrong) in [
            ("kind", NewNode { kind: "spy".to_owned(), ..new.clone() }),
            ("country", NewNode { country: "A".to_owned(), ..new.clone() }),
            ("name", NewNode { name: "Bad Name".to_owned(), ..new.clone() }),
            ("node", NewNode { node: "\x1b[2J".to_owned(), ..new.clone() }),
        ] {
            let home = Home::at(&folder.path().join(field));
            assert!(make(&home, &wrong, None).is_err(), "{field}");
            assert!(!home.path().exists(), "{field}: something was written");
        }
    }

    #[test]
    fn what_people_may_state_by_default_are_purposes_of_the_table() {
        for (kind, name) in OrgKind::ALL {
            let purposes = purposes(kind);
            assert!(purposes.len() > 1, "{name}");
            for purpose in purposes {
                assert!(Code::purpose_names().any(|known| known == purpose), "{name}: {purpose}");
            }
        }
    }
}
