//! The policies that come with the product, to start from. Texts alone: `tocsin-policy` reads them, and its tests hold what
//! each of them decides.

/// Characters of a name that are said again when there is no such preset.
const NAME_SHOWN: usize = 80;

/// A policy that comes with the product, with comments for those who will change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// Reads what members of the mesh say, passes on nothing of others, exports nothing.
    Observer,
    /// The default: reads, passes on what others may have, and exports to its own systems.
    Member,
    /// As member, and passes on to every partner, weighs trust, and guards personal data across borders.
    NationalCert,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 3] = [Self::Observer, Self::Member, Self::NationalCert];

    /// The name as configuration and command line write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Observer => "observer",
            Self::Member => "member",
            Self::NationalCert => "national-cert",
        }
    }

    /// The preset of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.name() == name)
    }

    /// The text of the policy.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Observer => include_str!("../presets/observer.cedar"),
            Self::Member => include_str!("../presets/member.cedar"),
            Self::NationalCert => include_str!("../presets/national-cert.cedar"),
        }
    }
}

/// There is no such preset.
#[derive(Debug, thiserror::Error)]
#[error("there is no policy preset `{0}`: use observer, member or national-cert")]
pub struct NoPreset(pub String);

/// The text of a preset.
///
/// # Errors
/// [`NoPreset`].
pub fn text(name: &str) -> Result<&'static str, NoPreset> {
    Preset::from_name(name).map(Preset::text).ok_or_else(|| NoPreset(name.chars().take(NAME_SHOWN).collect()))
}
