//! The file: written, and read within its bounds.

use std::collections::BTreeMap;

use bincode::{Decode, Encode};
use tocsin_record::codec::{self, CodecError};
use tocsin_record::document::{Certificate, DocumentError, ORGS_MAX, Signed};
use tocsin_record::header::BODY_MAX;
use tocsin_record::id::{self, DocHash, RecordId};
use tocsin_record::keys::{self, Secret, Signature};
use tocsin_record::{LogKey, MeshId, NodeKey, OrgId};
use tocsin_seal::rand_core::CryptoRng;
use tocsin_seal::{
    PARCEL_NODES_MAX, PARCEL_SALT, PARCEL_TAG, ParcelError, ParcelPlace, ParcelWraps, SealingKey,
    SealingPublic, WRAP_LEN, unwrap_parcel, wrap_parcel,
};

/// Longest file, in bytes: one request to a node holds it. What is more goes in the next.
pub const FILE_MAX: usize = 64 << 20;
/// Longest head: a wrap for each of so many nodes, and what else is in it.
pub const HEAD_MAX: usize = PARCEL_NODES_MAX * WRAP_LEN + 256;
/// Most bodies that are named as missing of one log.
pub const MISSING_MAX: usize = 1000;

/// How each file begins.
const MAGIC: &[u8] = b"tocsin bundle 1\n";
/// The same without the version.
const MAGIC_OF_ALL: &[u8] = b"tocsin bundle ";
/// To a multiple of this content is filled up, in bytes: the length tells little.
const PADDED: usize = 64 << 10;
const SIGNATURE: usize = 64;
/// Stands before the frame: the signature and the frame's length.
const BEFORE: usize = SIGNATURE + 4;
/// What decoding the frame may take in memory, in bytes.
const LIMIT: usize = 4 * FILE_MAX;

/// What a file holds, once it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Of whom it is, and for whom.
    pub cover: Cover,
    /// What is in it.
    pub content: Content,
}

/// Of whom a file is, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Cover {
    /// The mesh.
    pub mesh: MeshId,
    /// What certifies the node that made it.
    pub certificate: Signed,
    /// When, in ms by that node's clock.
    pub time: u64,
    /// The orgs that it is for, in order.
    pub to: Vec<OrgId>,
}

/// What is in a file. Appended to, never reordered.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Content {
    /// Documents and records.
    Records(Records),
    /// How far its maker has what it shares with those that the file is for.
    Frontier(Frontier),
}

/// Documents and records, as a link would bring them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Records {
    /// In an order in which they can be taken.
    pub documents: Vec<Signed>,
    /// What is proposed for circles, each as a link tells it.
    pub proposals: Vec<Vec<u8>>,
    /// Proofs that logs forked.
    pub forks: Vec<Fork>,
    /// Runs, those of one log in order.
    pub runs: Vec<Packed>,
    /// Bodies that are in no run: of headers that are there already, or too long for one.
    pub bodies: Vec<Late>,
    /// What the maker says to have of logs of those that the file is for.
    pub receipts: Vec<Said>,
    /// How many records more there are, for which there was no room.
    pub left: u64,
}

/// A run of a log, packed as it is sent in bulk.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Packed {
    /// Which log.
    pub log: LogKey,
    /// The packed page.
    pub page: Vec<u8>,
}

/// A body behind a header that its reader has, or has by now.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Late {
    /// In which log.
    pub log: LogKey,
    /// The record's number.
    pub seq: u64,
    /// The body, as the header names it.
    pub body: Vec<u8>,
}

/// What a node says to have of a log.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Said {
    /// Which log.
    pub log: LogKey,
    /// Its receipt, as a link tells it.
    pub receipt: Vec<u8>,
}

/// Two continuations of one log, each signed by its author.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Fork {
    /// Which log.
    pub log: LogKey,
    /// The pages of its two branches.
    pub pages: [Vec<u8>; 2],
}

/// How far a node has what it shares with others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Frontier {
    /// Version of the charter in force there.
    pub charter: u32,
    /// Version of the revocations in force there.
    pub revocations: u32,
    /// Certificates and rosters that are in force there, in order.
    pub documents: Vec<DocHash>,
    /// Logs, in order.
    pub logs: Vec<Reached>,
}

/// How far one log is held.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Reached {
    /// Which log.
    pub log: LogKey,
    /// Last header that is held.
    pub height: u64,
    /// The id of that record; zero of a log that forked.
    pub id: RecordId,
    /// Whether more is taken of it: 0 for yes, 1 where it forked, 2 where it was cut.
    pub state: u8,
    /// Numbers of records whose bodies are wanted and not there, in order: at most [`MISSING_MAX`].
    pub missing: Vec<u64>,
}

/// Why there is no such file, or none is made.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Something else.
    #[error("it is no bundle of tocsin: it does not begin with `tocsin bundle 1`")]
    Magic,
    /// A later version of the form.
    #[error("it was written in a later form than this program reads: use a newer `tocsin`")]
    Newer,
    /// Over the bound.
    #[error("it has {0} bytes, and a bundle at most {FILE_MAX}")]
    Long(usize),
    /// Of another mesh.
    #[error("it is of another mesh than this node's")]
    OtherMesh,
    /// None of its wraps is for this node.
    #[error(
        "it is not for this node: it was sealed to the nodes of another org, or before its maker knew of this node's keys"
    )]
    NotForUs,
    /// The content does not open, or what is in it was made up.
    #[error("it was cut or changed since it was made: {0}. Have it brought again")]
    Damaged(&'static str),
    /// The frame.
    #[error("its content {0}")]
    Codec(#[from] CodecError),
    /// The certificate of who made it.
    #[error("the certificate of the node that made it does not count: {0}")]
    Certificate(#[source] DocumentError),
    /// A bound or order of the form is not kept.
    #[error("its {0} is not as the form has it")]
    Form(&'static str),
    /// It is not sealed.
    #[error(transparent)]
    Seal(#[from] ParcelError),
}

#[derive(Encode, Decode)]
struct Head {
    salt: [u8; PARCEL_SALT],
    /// Tells a mesh's own nodes that it is theirs, and nobody else anything.
    which_mesh: [u8; 16],
    commitment: [u8; 32],
    wraps: Vec<u8>,
}

#[derive(Encode, Decode)]
struct Frame {
    cover: Cover,
    content: Content,
    /// What later versions add; empty in this one.
    extension: Vec<u8>,
}

impl Cover {
    /// The node that made the file, and its org, by a certificate that the org's root signed. Whether that org is in the mesh,
    /// and the certificate still counts, is another matter.
    ///
    /// # Errors
    /// [`BundleError::Certificate`].
    pub fn maker(&self) -> Result<(NodeKey, OrgId), BundleError> {
        let certificate = Certificate::open(&self.certificate).map_err(BundleError::Certificate)?;
        Ok((certificate.node_key(), certificate.org))
    }
}

impl Bundle {
    /// The frame's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Self { cover, content } = self.clone();
        codec::encode(&Frame { cover, content, extension: Vec::new() })
    }

    /// Reads a frame within its bounds. Who made it is not looked at by that: see [`open`].
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn decode(frame: &[u8]) -> Result<Self, BundleError> {
        let Frame { cover, content, extension } = codec::decode::<Frame, LIMIT>(frame)?;
        if !extension.is_empty() {
            return Err(BundleError::Newer);
        }
        let bundle = Self { cover, content };
        bundle.check_form()?;
        Ok(bundle)
    }

    fn check_form(&self) -> Result<(), BundleError> {
        let form = |ok: bool, what| if ok { Ok(()) } else { Err(BundleError::Form(what)) };
        let mesh = self.cover.mesh;
        let to = &self.cover.to;
        form((1..=ORGS_MAX).contains(&to.len()) && rises(to), "list of orgs")?;
        match &self.content {
            Content::Records(records) => {
                let forks = records.forks.iter().map(|fork| &fork.log);
                let runs = records.runs.iter().map(|run| &run.log);
                let bodies = records.bodies.iter().map(|late| &late.log);
                let receipts = records.receipts.iter().map(|said| &said.log);
                let mut logs = forks.chain(runs).chain(bodies).chain(receipts);
                form(logs.all(|log| log.mesh == mesh), "mesh of a log")?;
                form(records.bodies.iter().all(|late| late.body.len() <= BODY_MAX), "body")
            }
            Content::Frontier(frontier) => {
                form(rises(&frontier.documents), "list of documents")?;
                form(frontier.logs.iter().all(|reached| reached.log.mesh == mesh), "mesh of a log")?;
                form(frontier.logs.windows(2).all(|two| two[0].log < two[1].log), "list of logs")?;
                let sound = |reached: &Reached| {
                    reached.state <= 2
                        && reached.missing.len() <= MISSING_MAX
                        && rises(&reached.missing)
                        && reached.missing.iter().all(|seq| (1..=reached.height).contains(seq))
                };
                form(frontier.logs.iter().all(sound), "log")
            }
        }
    }
}

/// What a file for so many nodes has besides the records in it, in bytes, at most: its head, its cover, and what it is filled up by.
#[must_use]
pub fn around(nodes: usize) -> usize {
    let wraps = nodes.next_power_of_two().max(8) * WRAP_LEN;
    // Two certificates and a thousand orgs are less than the last of these.
    wraps + 256 + PADDED + PADDED
}

fn rises<T: Ord>(all: &[T]) -> bool {
    all.windows(2).all(|two| two[0] < two[1])
}

/// The file, signed by its maker and sealed to these nodes.
///
/// # Errors
/// [`BundleError::Long`], [`BundleError::Form`] and [`BundleError::Seal`].
pub fn seal(
    bundle: &Bundle,
    maker: &Secret,
    nodes: &BTreeMap<NodeKey, SealingPublic>,
    random: &mut impl CryptoRng,
) -> Result<Vec<u8>, BundleError> {
    bundle.check_form()?;
    let mut salt = [0; PARCEL_SALT];
    random.fill_bytes(&mut salt);
    let mesh = bundle.cover.mesh;
    let (key, ParcelWraps { commitment, wraps }) = wrap_parcel(&ParcelPlace { mesh, salt }, nodes, random)?;
    let head = codec::encode(&Head { salt, which_mesh: which_mesh(&mesh, &salt), commitment, wraps });
    let mut file = Vec::with_capacity(MAGIC.len() + 4 + head.len());
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&length(head.len())?);
    file.extend_from_slice(&head);

    let frame = bundle.encode();
    let whole = (BEFORE + frame.len()).next_multiple_of(PADDED);
    let longest = file.len() + whole + PARCEL_TAG;
    if longest > FILE_MAX {
        return Err(BundleError::Long(longest));
    }
    let signature = maker.sign(&signed_hash(&file, &frame));
    let mut content = Vec::with_capacity(whole + PARCEL_TAG);
    content.extend_from_slice(&signature.0);
    content.extend_from_slice(&length(frame.len())?);
    content.extend_from_slice(&frame);
    drop(frame);
    content.resize(whole, 0);
    let content = key.seal(&file, content);
    file.extend_from_slice(&content);
    Ok(file)
}

/// Opens a file for a node: it is of this mesh and was sealed to the node, and the node that its certificate names signed it.
/// Whether that is one of the mesh is another matter, and so is all that is in it.
///
/// # Errors
/// [`BundleError`].
pub fn open(file: &[u8], mesh: MeshId, node: &NodeKey, key: &SealingKey) -> Result<Bundle, BundleError> {
    if file.len() > FILE_MAX {
        return Err(BundleError::Long(file.len()));
    }
    let rest = file.strip_prefix(MAGIC).ok_or_else(|| {
        let version = file.strip_prefix(MAGIC_OF_ALL).and_then(<[u8]>::first);
        if version.is_some_and(u8::is_ascii_digit) { BundleError::Newer } else { BundleError::Magic }
    })?;
    let cut = || BundleError::Damaged("it ends before its content");
    let (len, rest) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
    let len = u32::from_be_bytes(*len) as usize;
    if len > HEAD_MAX {
        return Err(BundleError::Form("head"));
    }
    let (head, sealed) = rest.split_at_checked(len).ok_or_else(cut)?;
    let clear = &file[..file.len() - sealed.len()];
    let head: Head = codec::decode::<_, { 2 * HEAD_MAX }>(head)?;
    if head.which_mesh != which_mesh(&mesh, &head.salt) {
        return Err(BundleError::OtherMesh);
    }
    let wraps = ParcelWraps { commitment: head.commitment, wraps: head.wraps };
    let place = ParcelPlace { mesh, salt: head.salt };
    let key = unwrap_parcel(&place, &wraps, node, key).ok_or(BundleError::NotForUs)?;
    let content =
        key.open(clear, sealed.to_vec()).map_err(|_| BundleError::Damaged("its content does not open"))?;

    let (signature, rest) = content.split_first_chunk::<SIGNATURE>().ok_or(BundleError::Form("signature"))?;
    let (len, rest) = rest.split_first_chunk::<4>().ok_or(BundleError::Form("length"))?;
    let len = u32::from_be_bytes(*len) as usize;
    let (frame, zeros) = rest.split_at_checked(len).ok_or(BundleError::Form("length"))?;
    let whole = (BEFORE + frame.len()).next_multiple_of(PADDED);
    if content.len() != whole || zeros.iter().any(|byte| *byte != 0) {
        return Err(BundleError::Form("end"));
    }
    let bundle = Bundle::decode(frame)?;
    if bundle.cover.mesh != mesh {
        return Err(BundleError::OtherMesh);
    }
    let (maker, _) = bundle.cover.maker()?;
    keys::verify(&maker.0, &signed_hash(clear, frame), &Signature(*signature))
        .map_err(|_| BundleError::Damaged("the node that it names did not sign it"))?;
    Ok(bundle)
}

fn length(len: usize) -> Result<[u8; 4], BundleError> {
    u32::try_from(len).map(u32::to_be_bytes).map_err(|_| BundleError::Long(len))
}

fn which_mesh(mesh: &MeshId, salt: &[u8; PARCEL_SALT]) -> [u8; 16] {
    let hash = id::hash(id::BUNDLE, &[b"mesh", &mesh.0, salt]);
    let mut which = [0; 16];
    which.copy_from_slice(&hash[..16]);
    which
}

/// What the maker signs: all that stands in clear, and the frame.
fn signed_hash(clear: &[u8], frame: &[u8]) -> [u8; 32] {
    let clear = id::hash(id::BUNDLE, &[b"clear", clear]);
    id::hash(id::BUNDLE, &[b"frame", &clear, frame])
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng as _;
    use tocsin_record::document::Purpose;
    use tocsin_record::testing;

    use super::*;

    /// Who may read a file seals what is in it again, for others: its maker did not sign that.
    #[test]
    fn what_is_sealed_again_for_others_is_not_what_its_maker_signed() {
        let (root, maker, transport) = (testing::secret(1), testing::secret(2), testing::secret(3));
        let keys = vec![
            testing::key(Purpose::Record, &maker.public()),
            testing::key(Purpose::Transport, &transport.public()),
        ];
        let certificate = Signed::sign(&testing::certificate(&root, keys), &[&root, &maker, &transport]);
        let mesh = MeshId([1; 32]);
        let cover = Cover { mesh, certificate, time: 5, to: vec![OrgId([5; 32])] };
        let bundle = Bundle { cover, content: Content::Frontier(Frontier::default()) };
        let mut random = ChaCha20Rng::seed_from_u64(1);
        let reader = |n: u8| (NodeKey([n; 32]), SealingKey::from_seed(&[n; 32]));
        let public = |n| BTreeMap::from([(reader(n).0, reader(n).1.public())]);
        let file = seal(&bundle, &maker, &public(7), &mut random).unwrap();

        // What the reader has of it: the content, with the maker's signature.
        let (node, key) = reader(7);
        let len = u32::from_be_bytes(*file[MAGIC.len()..].first_chunk().unwrap()) as usize;
        let (clear, sealed) = file.split_at(MAGIC.len() + 4 + len);
        let head: Head = codec::decode::<_, { 2 * HEAD_MAX }>(&clear[MAGIC.len() + 4..]).unwrap();
        let wraps = ParcelWraps { commitment: head.commitment, wraps: head.wraps };
        let place = ParcelPlace { mesh, salt: head.salt };
        let content =
            unwrap_parcel(&place, &wraps, &node, &key).unwrap().open(clear, sealed.to_vec()).unwrap();

        let (key, ParcelWraps { commitment, wraps }) = wrap_parcel(&place, &public(8), &mut random).unwrap();
        let head = codec::encode(&Head { commitment, wraps, ..head_of(&place) });
        let clear = [MAGIC, &length(head.len()).unwrap(), &head].concat();
        let again = [clear.clone(), key.seal(&clear, content)].concat();
        let (node, key) = reader(8);
        let refused = open(&again, mesh, &node, &key);
        assert!(
            matches!(refused, Err(BundleError::Damaged(what)) if what.contains("did not sign")),
            "{refused:?}"
        );
    }

    fn head_of(place: &ParcelPlace) -> Head {
        let which_mesh = which_mesh(&place.mesh, &place.salt);
        Head { salt: place.salt, which_mesh, commitment: [0; 32], wraps: Vec::new() }
    }
}
