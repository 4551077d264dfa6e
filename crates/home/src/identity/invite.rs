//! An invitation: all that an org needs to join a mesh, in one file without a secret.

use bincode::{Decode, Encode};
use tocsin_record::codec::{self, CodecError};
use tocsin_record::id::{OrgId, fingerprint};

use super::armor::{self, ArmorError};
use super::papers::{Checked, Papers, PapersError};

const LABEL: &str = "TOCSIN INVITE";
/// What decoding may take in memory, in bytes.
const LIMIT: usize = 256 << 20;

/// An invitation for one org.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Invite {
    /// The org that may join by it; another's node refuses it.
    pub org: OrgId,
    /// The mesh's documents.
    pub papers: Papers,
}

/// An invitation was refused.
#[derive(Debug, thiserror::Error)]
pub enum InviteError {
    /// Not an invitation at all.
    #[error(transparent)]
    Armor(#[from] ArmorError),
    /// The bytes do not parse.
    #[error("the invitation {0}")]
    Codec(#[from] CodecError),
    /// Its documents do not hold.
    #[error("the invitation's documents do not hold: {0}")]
    Papers(#[from] PapersError),
    /// It names an org that its own charter does not have.
    #[error(
        "the invitation is for an org that is not in its charter: ask the founder to add your card again"
    )]
    NotMember,
}

impl Invite {
    /// Reads an invitation and checks all of it.
    ///
    /// # Errors
    /// [`InviteError`].
    pub fn read(text: &str) -> Result<(Self, Checked), InviteError> {
        let invite: Self = codec::decode::<Self, LIMIT>(&armor::read(LABEL, text)?)?;
        let checked = invite.papers.check()?;
        if checked.charter.org(invite.org).is_none() {
            return Err(InviteError::NotMember);
        }
        armor::check(text, &invite.lines(&checked))?;
        Ok((invite, checked))
    }

    /// As text. Anyone may read it; the fingerprints are to be compared by another way.
    #[must_use]
    pub fn write(&self, checked: &Checked) -> String {
        armor::write(LABEL, &self.lines(checked), &codec::encode(self))
    }

    fn lines(&self, checked: &Checked) -> Vec<(&'static str, String)> {
        let mut lines = vec![
            ("Mesh", checked.charter.name.clone()),
            ("Mesh fingerprint", fingerprint(&checked.mesh.0)),
            ("Charter version", checked.charter.version.to_string()),
            ("Orgs", checked.charter.orgs.len().to_string()),
        ];
        for steward in checked.charter.orgs.iter().filter(|org| org.is_steward()) {
            lines.push(("Steward", format!("{} {}", steward.name, fingerprint(&steward.root.0))));
        }
        if let Some(org) = checked.charter.org(self.org) {
            lines.push(("For", format!("{} {}", org.name, fingerprint(&org.root.0))));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::super::card::tests::sample;
    use super::*;

    #[test]
    fn an_invitation_travels_as_text() {
        let (founder, card) = sample("cert-aa", 10);
        let papers =
            Papers::found("ring", [1; 32], card.entry.clone(), card.certificates, &founder, 5).unwrap();
        let (_, partner) = sample("police-bb", 20);
        let papers = papers.add(partner.entry.clone(), &partner.certificates, &founder, 6).unwrap();
        let invite = Invite { org: partner.entry.root, papers };
        let text = invite.write(&invite.papers.check().unwrap());
        let (read, checked) = Invite::read(&text).unwrap();
        assert_eq!(read, invite);
        assert_eq!(checked.charter.name, "ring");
        assert!(Invite::read(&text.replace("Mesh: ring", "Mesh: king")).is_err());

        let stranger = Invite { org: OrgId([9; 32]), ..invite };
        let text = stranger.write(&stranger.papers.check().unwrap());
        assert!(matches!(Invite::read(&text), Err(InviteError::NotMember)));
    }
}
