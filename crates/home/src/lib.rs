//! A home: the folder in which everything of one node lies, readable by its owner only.
//!
//! ```text
//! HOME/config.toml       what the operator set             policy.cedar     the node's own policy
//!      keys/             the node's keys (0600)            root/            the org's root key: keep it elsewhere
//!      NAME.card         how the org introduces itself     documents/       charter, certificates
//!      store/            records                           sources/         profiles of what is imported
//!      run.lock          who runs on it                    run.sock         where the node is spoken to
//! ```

pub mod config;
pub mod files;
pub mod identity;
pub mod kept;
pub mod keys;
pub mod lock;
pub mod presets;
pub mod room;
pub mod setup;

use std::path::{Path, PathBuf};

use tocsin_record::codec;
use tocsin_record::document::Certificate;
use tocsin_record::id::{NodeKey, OrgId};
use tocsin_record::keys::Secret;
use zeroize::Zeroizing;

use crate::identity::{Card, CardError, Change, NodeError, NodeRequest, Papers};
use config::{Config, ConfigError};
use files::FileError;
use keys::KeyError;
use lock::Lock;

/// Name of the home in the folder of a user who names none.
const FOLDER: &str = ".tocsin";
/// Longest path of a Unix socket that Linux takes, in bytes (`sun_path` less its end).
const SOCKET_PATH_MAX: usize = 107;
/// Longest note of where the socket is, in bytes: the longest path that Linux takes.
const NOTE_MAX: u64 = 4096;
/// Longest documents file, in bytes.
const DOCUMENTS_MAX: u64 = 64 << 20;

/// A node's home folder.
#[derive(Clone, Debug)]
pub struct Home {
    path: PathBuf,
}

/// A home could not be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file that no backup has.
    #[error(transparent)]
    NotKept(#[from] kept::NotKept),
    /// Nothing is there.
    #[error(
        "there is no node in {0}: check --home, or make one with `tocsin --home {0} init --name NAME --country CC`"
    )]
    Missing(PathBuf),
    /// Something is there.
    #[error("there is a node in {0} already: choose another --home")]
    Exists(PathBuf),
    /// The org's own card is damaged.
    #[error("the node's own card {path} does not hold: {source}")]
    Card {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: CardError,
    },
    /// Keys and card do not belong together.
    #[error("the keys in {0} are not those on the node's card: restore both from the same backup")]
    Mixed(PathBuf),
    /// The note of what was signed is damaged.
    #[error(
        "{path} does not parse ({source}): it says which change of the mesh this org signed last. Restore it, or remove it if \
         no change waits for others"
    )]
    Signed {
        /// Which file.
        path: PathBuf,
        /// Where the decoder stopped.
        source: codec::CodecError,
    },
    /// What was asked for is damaged.
    #[error("{path} was refused: {source}")]
    Request {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: NodeError,
    },
    /// The documents file is damaged.
    #[error("{path} does not parse ({source}): restore it, or join again with the invitation")]
    Documents {
        /// Which file.
        path: PathBuf,
        /// Where the decoder stopped.
        source: codec::CodecError,
    },
}

/// Who this node is: its card and its keys, checked against each other.
pub struct Identity {
    /// The org's card.
    pub card: Card,
    /// This node's certificate.
    pub certificate: Certificate,
    /// Signs records.
    pub record: Secret,
    /// Seed of the key that opens links.
    pub transport: Zeroizing<[u8; 32]>,
    /// Seed of the key that opens what is sealed to this node.
    pub sealing: Zeroizing<[u8; 32]>,
}

impl Identity {
    /// The org.
    #[must_use]
    pub fn org(&self) -> OrgId {
        self.card.entry.root
    }

    /// The node.
    #[must_use]
    pub fn node(&self) -> NodeKey {
        self.certificate.node_key()
    }
}

impl Home {
    /// The home at a path, whether or not something is there.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Self { path }
    }

    /// The home that a user who names none has: `TOCSIN_HOME`, else `.tocsin` in the user's folder.
    #[must_use]
    pub fn default_path() -> PathBuf {
        Self::of_environment().unwrap_or_else(|| std::env::home_dir().unwrap_or_default().join(FOLDER))
    }

    /// The same as far as the environment says it; `None` where the system's list of users has to be asked.
    #[must_use]
    pub fn of_environment() -> Option<PathBuf> {
        if let Some(path) = std::env::var_os("TOCSIN_HOME").filter(|path| !path.is_empty()) {
            return Some(PathBuf::from(path));
        }
        std::env::var_os("HOME").map(|user| Path::new(&user).join(FOLDER))
    }

    /// A home in which a node was made.
    ///
    /// # Errors
    /// [`HomeError::Missing`], or the system's, where it does not let this user look. Also when others can enter the home.
    pub fn open(path: &Path) -> Result<Self, HomeError> {
        let home = Self::at(path);
        match home.own_card().try_exists() {
            Ok(true) => {
                files::check_home(&home.path)?;
                Ok(home)
            }
            Ok(false) => Err(HomeError::Missing(home.path)),
            // Another user's, most likely: that is no reason to make a new one.
            Err(source) => Err(files::io("read", &home.own_card())(source).into()),
        }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The configuration file.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.join("config.toml")
    }

    /// The policy file.
    #[must_use]
    pub fn policy_file(&self) -> PathBuf {
        self.join("policy.cedar")
    }

    /// The store's folder.
    #[must_use]
    pub fn store_folder(&self) -> PathBuf {
        self.join("store")
    }

    /// Profiles of sources.
    #[must_use]
    pub fn sources_folder(&self) -> PathBuf {
        self.join("sources")
    }

    /// The org's encrypted root key.
    #[must_use]
    pub fn root_file(&self) -> PathBuf {
        self.join("root").join("org.root.pem")
    }

    /// A node key.
    #[must_use]
    pub(crate) fn key_file(&self, purpose: &str) -> PathBuf {
        self.join("keys").join(format!("{purpose}.key"))
    }

    /// The org's card as the node itself reads it.
    #[must_use]
    pub fn own_card(&self) -> PathBuf {
        self.join("documents").join("own.card")
    }

    /// The org's card as it is given away.
    #[must_use]
    pub fn public_card(&self, org: &str) -> PathBuf {
        self.join(&format!("{org}.card"))
    }

    /// What a machine asks its org for until it is certified.
    fn request_file(&self) -> PathBuf {
        self.join("documents").join("node.request")
    }

    /// What this machine asked its org for; `None` where no node was made that waits for it.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn request(&self) -> Result<Option<NodeRequest>, HomeError> {
        let path = self.request_file();
        if !path.exists() {
            return Ok(None);
        }
        let text = files::read_own_text(&path, DOCUMENTS_MAX)?;
        NodeRequest::read(&text).map(Some).map_err(|source| HomeError::Request { path, source })
    }

    fn papers_file(&self) -> PathBuf {
        self.join("documents").join("mesh.documents")
    }

    fn signed_file(&self) -> PathBuf {
        self.join("documents").join("signed.change")
    }

    /// The change of the mesh that this org's root signed here last.
    ///
    /// # Errors
    /// [`HomeError`]: without it the org could sign two of one version.
    pub fn signed_change(&self) -> Result<Option<Change>, HomeError> {
        let path = self.signed_file();
        if !path.exists() {
            return Ok(None);
        }
        let bytes = files::read_own(&path, DOCUMENTS_MAX)?;
        codec::decode::<Change, { 256 << 20 }>(&bytes)
            .map(Some)
            .map_err(|source| HomeError::Signed { path, source })
    }

    /// Keeps that this org's root signs a change, before the signature is shown to anybody.
    ///
    /// # Errors
    /// The system's.
    pub fn write_signed_change(&self, change: &Change) -> Result<(), HomeError> {
        Ok(files::write(&self.signed_file(), &codec::encode(change))?)
    }

    fn lock_file(&self) -> PathBuf {
        self.join("run.lock")
    }

    /// Makes the folders; refuses where a node is.
    ///
    /// # Errors
    /// [`HomeError::Exists`], or the system's.
    pub fn make(&self) -> Result<(), HomeError> {
        if self.own_card().exists() || self.key_file("record").exists() {
            return Err(HomeError::Exists(self.path.clone()));
        }
        files::make_folder(&self.path)?;
        files::check_home(&self.path)?;
        for folder in ["keys", "root", "documents", "sources"] {
            files::make_folder(&self.join(folder))?;
        }
        Ok(())
    }

    /// What is in force.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn config(&self) -> Result<Config, HomeError> {
        Ok(Config::load(&self.config_file())?)
    }

    /// The org's card.
    ///
    /// # Errors
    /// [`HomeError::Card`].
    pub fn card(&self) -> Result<Card, HomeError> {
        let path = self.own_card();
        let text = files::read_own_text(&path, DOCUMENTS_MAX)?;
        Card::read(&text).map_err(|source| HomeError::Card { path, source })
    }

    /// Who this node is.
    ///
    /// # Errors
    /// [`HomeError`]: a file is missing, damaged, or not of the same node.
    pub fn identity(&self) -> Result<Identity, HomeError> {
        let card = self.card()?;
        let record = Secret::from_seed(&*keys::read_seed(&self.key_file("record"), "record")?);
        let transport = keys::read_seed(&self.key_file("transport"), "transport")?;
        let sealing = keys::read_seed(&self.key_file("sealing"), "sealing")?;
        let certificate = card
            .certificates
            .iter()
            .filter_map(|signed| Certificate::open(signed).ok())
            .find(|certificate| certificate.node_key().0 == record.public())
            .filter(|certificate| certificate.transport_key() == Secret::from_seed(&transport).public())
            .ok_or_else(|| HomeError::Mixed(self.path.clone()))?;
        Ok(Identity { card, certificate, record, transport, sealing })
    }

    /// Puts another card in the place of the org's own, here and where it is given away.
    ///
    /// # Errors
    /// The system's.
    pub fn write_card(&self, card: &Card) -> Result<(), HomeError> {
        let text = card.write();
        files::write(&self.own_card(), text.as_bytes())?;
        Ok(files::write_public(&self.public_card(&card.entry.name), text.as_bytes())?)
    }

    /// The mesh's documents, `None` before the node founded or joined one.
    ///
    /// # Errors
    /// [`HomeError`]; what they say is checked elsewhere.
    pub fn papers(&self) -> Result<Option<Papers>, HomeError> {
        let path = self.papers_file();
        if !path.exists() {
            return Ok(None);
        }
        let bytes = files::read_own(&path, DOCUMENTS_MAX)?;
        codec::decode::<Papers, { 256 << 20 }>(&bytes)
            .map(Some)
            .map_err(|source| HomeError::Documents { path, source })
    }

    /// Keeps the mesh's documents.
    ///
    /// # Errors
    /// The system's.
    pub fn write_papers(&self, papers: &Papers) -> Result<(), HomeError> {
        Ok(files::write(&self.papers_file(), &codec::encode(papers))?)
    }

    /// Takes the home for this process.
    ///
    /// # Errors
    /// When another process has it, which is named.
    pub fn lock(&self) -> Result<Lock, lock::LockError> {
        Lock::take(&self.lock_file())
    }

    /// The process that runs on this home, if one does.
    #[must_use]
    pub fn running(&self) -> Option<u32> {
        Lock::holder(&self.lock_file())
    }

    fn socket_note(&self) -> PathBuf {
        self.join("run.at")
    }

    /// Where the node is spoken to. A path too long for a Unix socket is replaced by a short one that the running
    /// node notes in `run.at`.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        let path = self.join("run.sock");
        if path.as_os_str().len() <= SOCKET_PATH_MAX {
            return path;
        }
        files::read_own_text(&self.socket_note(), NOTE_MAX)
            .map_or(path, |text| PathBuf::from(text.trim_end()))
    }

    /// Chooses where the node will be spoken to, and makes its folder (0700). What is made goes with what is returned.
    ///
    /// # Errors
    /// The system's.
    pub fn choose_socket(&self) -> Result<SocketPlace, HomeError> {
        let path = self.join("run.sock");
        if path.as_os_str().len() <= SOCKET_PATH_MAX {
            return Ok(SocketPlace { path, note: None });
        }
        let base = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let mut name = [0; 8];
        getrandom::fill(&mut name).map_err(KeyError::Random)?;
        let folder = base.join(format!("tocsin-{}", data_encoding::HEXLOWER.encode(&name)));
        files::make_folder(&folder)?;
        let place = SocketPlace { path: folder.join("run.sock"), note: Some(self.socket_note()) };
        files::write(&self.socket_note(), place.path.as_os_str().as_encoded_bytes())?;
        Ok(place)
    }
}

/// Where a running node is spoken to. Dropped, it takes the socket with it, and the folder and the note of one that is
/// not in the home: whoever made that folder anew would be taken for the node.
#[derive(Debug)]
pub struct SocketPlace {
    path: PathBuf,
    /// Names the path, where it is not in the home.
    note: Option<PathBuf>,
}

impl SocketPlace {
    /// The socket's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketPlace {
    fn drop(&mut self) {
        // What is gone already, or was never made, is no fault.
        let _ = std::fs::remove_file(&self.path);
        if let Some(note) = &self.note {
            let _ = self.path.parent().map(std::fs::remove_dir);
            let _ = std::fs::remove_file(note);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_home_gets_a_short_socket() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("x".repeat(60)).join("y".repeat(60));
        files::make_folder(&deep).unwrap();
        let home = Home::at(&deep);
        let chosen = home.choose_socket().unwrap();
        let path = chosen.path().to_owned();
        assert!(path.as_os_str().len() <= SOCKET_PATH_MAX);
        assert_eq!(home.socket(), path);
        std::fs::write(&path, "").unwrap();
        // Nothing stays that another user could put a socket of his own in the place of.
        drop(chosen);
        assert!(!path.parent().unwrap().exists() && !home.socket_note().exists());
        let short = Home::at(folder.path());
        assert_eq!(short.choose_socket().unwrap().path(), folder.path().join("run.sock"));
    }
}
