//! Changes of an input, drawn from a seed: what truncation, damage and malice do to bytes.

/// A small generator (xorshift64*), so that a finding can be made again from its printed seed.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed; 0 is taken for 1.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        random.bits();
        random
    }

    /// Sixty-four bits.
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: usize) -> usize {
        if bound == 0 {
            return 0;
        }
        usize::try_from(self.bits() % bound as u64).unwrap_or(0)
    }
}

/// Longest input that a mutation grows to, in bytes.
pub const INPUT_MAX: usize = 256 << 10;

/// Numbers at which readers break: the marks of the integer encoding, ends of ranges, signs of text.
const BYTES: &[u8] =
    &[0, 1, 0x0a, 0x1b, 0x20, 0x22, 0x5c, 0x7f, 0x80, 0xc3, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff];

/// One to eight changes of one of `inputs`, with the target's `words` among them.
#[must_use]
pub fn mutate(random: &mut Random, inputs: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let mut data = pick(random, inputs).to_vec();
    for _ in 0..=random.below(8) {
        change(random, &mut data, inputs, words);
    }
    data.truncate(INPUT_MAX);
    data
}

fn pick<'a>(random: &mut Random, inputs: &'a [Vec<u8>]) -> &'a [u8] {
    let at = random.below(inputs.len());
    inputs.get(at).map_or(&[], Vec::as_slice)
}

fn change(random: &mut Random, data: &mut Vec<u8>, inputs: &[Vec<u8>], words: &[&str]) {
    let at = random.below(data.len() + 1);
    let end = at + random.below((data.len() - at).min(64) + 1);
    match random.below(10) {
        0 => {
            if let Some(byte) = data.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => {
            if let Some(byte) = data.get_mut(at) {
                *byte = BYTES[random.below(BYTES.len())];
            }
        }
        2 => {
            if let Some(byte) = data.get_mut(at) {
                *byte = byte.wrapping_add(if random.below(2) == 0 { 1 } else { 255 });
            }
        }
        3 => data.insert(at, BYTES[random.below(BYTES.len())]),
        4 => drop(data.drain(at..end)),
        5 => data.truncate(at),
        6 => {
            let again = data[at..end].to_vec();
            drop(data.splice(at..at, again));
        }
        7 => {
            // A length that is not what follows: an integer of the wide forms.
            let mark = 251 + u8::try_from(random.below(3)).unwrap_or(0);
            let mut wide = vec![mark];
            wide.extend_from_slice(&random.bits().to_le_bytes()[..1 << (mark - 250)]);
            drop(data.splice(at..end.min(at + 1), wide));
        }
        8 => {
            let other = pick(random, inputs);
            let from = random.below(other.len() + 1);
            let to = from + random.below((other.len() - from).min(512) + 1);
            drop(data.splice(at..end, other[from..to].iter().copied()));
        }
        _ => {
            let word = words.get(random.below(words.len())).copied().unwrap_or("\u{0}");
            drop(data.splice(at..end, word.bytes()));
        }
    }
}
