//! What must be true after some files, told by what they say and not by the reader or the service: which contents stand, and
//! how strict each value is.

use tocsin_record::marking::Tlp;

use crate::story::{File, Rule, Said};

/// The files that were imported so far, in order.
#[derive(Debug, Default)]
pub struct Truth<'s> {
    files: Vec<&'s File>,
    /// What the operator says of what carries nothing.
    flag: Option<Tlp>,
}

impl<'s> Truth<'s> {
    /// Of an operator who says this.
    #[must_use]
    pub fn new(flag: Option<Tlp>) -> Self {
        Self { files: Vec::new(), flag }
    }

    /// One more file is imported.
    pub fn import(&mut self, file: &'s File) {
        self.files.push(file);
    }

    fn all(&self) -> impl Iterator<Item = &'s Said> + '_ {
        self.files.iter().flat_map(|file| &file.says)
    }

    /// What stands of an object: all contents of its newest version, unless its source ever took it back.
    #[must_use]
    pub fn standing(&self, object: usize) -> Vec<&'s Said> {
        if self.all().any(|said| said.object == object && said.gone) {
            return Vec::new();
        }
        let newest_head = self.files.iter().filter_map(|file| file.rule.head()).max();
        let counts = |(at, file): &(usize, &&'s File)| match file.rule {
            Rule::Objects => true,
            Rule::Head(head) => Some(head) == newest_head,
            Rule::Last => *at + 1 == self.files.len(),
        };
        let files = self.files.iter().enumerate().filter(counts);
        let said: Vec<&Said> =
            files.flat_map(|(_, file)| &file.says).filter(|said| said.object == object).collect();
        let newest = said.iter().map(|said| said.at).max();
        let mut standing: Vec<&Said> = Vec::new();
        for said in said.into_iter().filter(|said| Some(said.at) == newest) {
            if !standing.contains(&said) {
                standing.push(said);
            }
        }
        standing
    }

    /// Whether a value stands.
    #[must_use]
    pub fn stands(&self, object: usize, value: &str) -> bool {
        self.standing(object).iter().any(|said| said.value == value)
    }

    /// How strict a value is: the strictest that its object carries in its standing version, whatever content says it; of what
    /// does not stand, the strictest of the last that said it. Where the version says nothing, what was said before stays: of the
    /// object, or of all that it stands in. `None` where nobody ever marked it, which goes nowhere.
    #[must_use]
    pub fn level(&self, object: usize, value: &str) -> Option<Tlp> {
        let standing = self.standing(object);
        let of_object = || self.all().filter(move |said| said.object == object);
        let said: Vec<&Said> = if standing.iter().any(|said| said.value == value) {
            standing
        } else {
            let all =
                self.files.iter().flat_map(|file| file.says.iter().map(|said| (file.rule.head(), said)));
            let of_value = || all.clone().filter(|(_, said)| said.object == object && said.value == value);
            let newest = of_value().map(|(head, said)| (head, said.at)).max();
            of_value().filter(|(head, said)| Some((*head, said.at)) == newest).map(|(_, said)| said).collect()
        };
        let stated = said.into_iter().filter_map(|said| said.level).max();
        let before = || of_object().filter_map(|said| said.level).min();
        let around = || self.files.iter().filter_map(|file| file.head).min();
        stated.or(self.flag).or_else(before).or_else(around)
    }
}
