//! Cryptocurrency addresses.
//!
//! The canonical value is the address alone: the same string is the same address whatever its currency is
//! called, and a lookup rarely knows. bech32, CashAddr and Ethereum are lower case, base58 as it stands.
//! Where a form has a checksum it is verified, so that a mistyped address is told and no other text is
//! taken for one.

use bech32::primitives::checksum::Engine;
use bech32::primitives::decode::{SegwitHrpstring, UncheckedHrpstring};
use bech32::{Bech32, Bech32m, Checksum, Fe32};
use bs58::Alphabet;
use sha2::{Digest, Sha256};
use sha3::{Digest as _, Keccak256};

use super::{Observable, Parsed, kind};

/// Prefixes of SegWit addresses (SLIP-173): the version in them says which checksum they have (BIP 350).
const SEGWIT: &[&str] = &["bc", "tb", "ltc"];
/// Prefixes of other bech32 addresses in use (SLIP-173) that are recognised without being told the type.
const KNOWN_BECH32: &[&str] = &["addr", "cosmos", "zs", "terra", "osmo", "bnb", "one"];
/// Fewest digits of a bech32 address behind its prefix: the checksum's six, and the 20 of a hash of 12 bytes.
const BECH32_DIGITS_MIN: usize = 26;
/// Shortest and longest address of any form, in bytes: from Ripple's to Cardano's with room.
const LENGTHS: std::ops::RangeInclusive<usize> = 20..=128;

/// How an address was recognised.
#[derive(PartialEq, Eq)]
enum Form {
    /// By its checksum or an unmistakable shape.
    Sure(String),
    /// It could be one.
    Plausible(String),
}

/// The address of a text of this type.
pub(super) fn parse(text: &str) -> Parsed {
    let (Form::Sure(address) | Form::Plausible(address)) = form(without_currency(text))?;
    Ok(Observable { kind: kind::CRYPTO_ADDRESS, value: address.into_bytes() })
}

/// Whether a text of unknown type cannot be anything else.
pub(super) fn is_sure(text: &str) -> bool {
    matches!(form(without_currency(text)), Ok(Form::Sure(_)))
}

/// `bitcoin:1A1z...?amount=1` (BIP 21) or `btc:1A1z...`: the currency and the parameters go. CashAddr's prefix
/// looks the same and goes too.
fn without_currency(text: &str) -> &str {
    let address = match text.split_once(':') {
        Some((currency, rest)) if currency.bytes().all(|b| b.is_ascii_alphanumeric()) => rest,
        _ => text,
    };
    let address = address.trim_start_matches('/');
    &address[..address.find('?').unwrap_or(address.len())]
}

const CHECKSUM: &str = "its checksum does not fit: it is mistyped or cut";
/// BIP 173: capital and small letters mixed are a sign of damage.
const MIXED: &str = "it mixes upper and lower case, which no address of its prefix does: write it in one";

fn form(address: &str) -> Result<Form, &'static str> {
    let lower = address.to_ascii_lowercase();
    let one_case = lower == address || address.to_ascii_uppercase() == address;
    if let Some(digits) = lower.strip_prefix("0x") {
        let fits = digits.len() == 40 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        return match fits {
            true if is_eip55(address, digits) => Ok(Form::Sure(lower)),
            true => Err(CHECKSUM),
            false => Err("an Ethereum address has 40 hexadecimal digits"),
        };
    }
    if let Some((prefix, _)) = lower.rsplit_once('1').filter(|(prefix, _)| is_prefix(prefix)) {
        let segwit = SEGWIT.contains(&prefix);
        let valid = if segwit { SegwitHrpstring::new(&lower).is_ok() } else { is_bech32(&lower) };
        let known = segwit || KNOWN_BECH32.contains(&prefix);
        match (valid && LENGTHS.contains(&lower.len()), known) {
            (true, true) if !one_case => return Err(MIXED),
            (true, true) => return Ok(Form::Sure(lower)),
            (true, false) if one_case => return Ok(Form::Plausible(lower)),
            (false, true) if one_case => return Err(CHECKSUM),
            _ => {}
        }
    }
    if one_case && lower.len() == 42 && lower.starts_with(['q', 'p']) && is_cashaddr(&lower) {
        return Ok(Form::Sure(lower));
    }
    match address.len() {
        25..=35 if is_base58check(address, Alphabet::BITCOIN) => Ok(Form::Sure(address.to_owned())),
        25..=35 if address.starts_with('r') && is_base58check(address, Alphabet::RIPPLE) => {
            Ok(Form::Sure(address.to_owned()))
        }
        26..=35 if is_base58(address) && address.starts_with(['1', '3']) => Err(CHECKSUM),
        // Monero's checksum is Keccak, which nothing else here needs; its shape is unmistakable.
        95 | 106 if is_base58(address) && address.starts_with(['4', '8']) => {
            Ok(Form::Sure(address.to_owned()))
        }
        length if LENGTHS.contains(&length) && address.bytes().all(is_plain) => {
            Ok(Form::Plausible(address.to_owned()))
        }
        _ => Err("an address has 20 to 128 letters and digits"),
    }
}

/// EIP-55: where the letters of an address are of both cases, those are capital whose digit of the Keccak-256 of all is 8 or
/// more. An address in one case has no checksum.
fn is_eip55(address: &str, lower: &str) -> bool {
    let written = &address[2..];
    let cased = |test: fn(&u8) -> bool| written.bytes().any(|b| test(&b));
    if !(cased(u8::is_ascii_lowercase) && cased(u8::is_ascii_uppercase)) {
        return true;
    }
    let sum = Keccak256::digest(lower.as_bytes());
    written.bytes().enumerate().filter(|(_, b)| b.is_ascii_alphabetic()).all(|(at, b)| {
        let digit = if at % 2 == 0 { sum[at / 2] >> 4 } else { sum[at / 2] & 15 };
        b.is_ascii_uppercase() == (digit >= 8)
    })
}

fn is_plain(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')
}

/// Structural: checksums are asked when an address is written, not when it is received.
pub(super) fn check(value: &[u8]) -> bool {
    let ethereum = value.starts_with(b"0x") && value.len() == 42;
    LENGTHS.contains(&value.len())
        && value.iter().all(|b| is_plain(*b))
        && !(ethereum && value.iter().any(u8::is_ascii_uppercase))
        && !value.starts_with(b"0X")
}

fn is_prefix(prefix: &str) -> bool {
    (2..=16).contains(&prefix.len()) && prefix.bytes().all(|b| b.is_ascii_lowercase())
}

/// BIP 173 or BIP 350; Cardano's addresses are longer than these allow, so the length is not held to 90.
fn is_bech32(address: &str) -> bool {
    UncheckedHrpstring::new(address).is_ok_and(|parts| {
        parts.data_part_ascii().len() >= BECH32_DIGITS_MIN
            && (parts.has_valid_checksum::<Bech32>() || parts.has_valid_checksum::<Bech32m>())
    })
}

/// The checksum of CashAddr, of 40 bits.
struct CashAddr;

impl Checksum for CashAddr {
    type MidstateRepr = u64;
    // Digits of the longest address of its specification, of a hash of 64 bytes, with its checksum.
    const CODE_LENGTH: usize = 112;
    const CHECKSUM_LENGTH: usize = 8;
    const GENERATOR_SH: [u64; 5] =
        [0x98_f2bc_8e61, 0x79_b76d_99e2, 0xf3_3e5f_b3c4, 0xae_2eab_e2a8, 0x1e_4f43_e470];
    const TARGET_RESIDUE: u64 = 1;
}

/// Bitcoin Cash, under its default prefix (CHIP CashAddr): of that the lower five bits count.
fn is_cashaddr(address: &str) -> bool {
    let mut sum = Engine::<CashAddr>::new();
    let prefix = b"bitcoincash".iter().map(|letter| Fe32::try_from(letter & 31).ok());
    for digit in prefix.chain([Some(Fe32::Q)]).chain(address.chars().map(|c| Fe32::from_char(c).ok())) {
        let Some(digit) = digit else { return false };
        sum.input_fe(digit);
    }
    *sum.residue() == CashAddr::TARGET_RESIDUE
}

/// Whether all are digits of Bitcoin's base58.
fn is_base58(text: &str) -> bool {
    bs58::decode(text).into_vec().is_ok()
}

/// One or two bytes of version, twenty of hash and four of checksum, which is SHA-256 twice. Asked of at most 35 digits.
fn is_base58check(text: &str, digits: &Alphabet) -> bool {
    let Ok(bytes) = bs58::decode(text).with_alphabet(digits).into_vec() else { return false };
    let Some((payload, sum)) = bytes.split_last_chunk::<4>() else { return false };
    matches!(payload.len(), 21 | 22) && Sha256::digest(Sha256::digest(payload))[..4] == *sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(String, bool), &'static str> {
        form(without_currency(text)).map(|form| match form {
            Form::Sure(address) => (address, true),
            Form::Plausible(address) => (address, false),
        })
    }

    #[test]
    fn segwit_addresses_have_the_checksum_of_their_version() {
        // The test vectors of BIP 350, with what is wrong with each.
        for valid in [
            "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",
            "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7",
            "tb1pqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesf3hn0c",
            "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
        ] {
            assert_eq!(read(valid), Ok((valid.to_ascii_lowercase(), true)));
        }
        for (invalid, why) in [
            ("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd", "version 1 with bech32"),
            ("tb1z0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqglt7rf", "version 2 with bech32"),
            ("BC1S0XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ54WELL", "version 16 with bech32"),
            ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kemeawh", "version 0 with bech32m"),
            ("tb1q0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq24jc47", "version 0 with bech32m"),
            ("BC130XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ7ZWS8R", "version 17"),
            ("BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P", "a program of 16 bytes for version 0"),
            ("bc1zw508d6qejxtdg4y5r3zarvaryvqyzf3du", "padding of more than 4 bits"),
            ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5", "one digit is another"),
        ] {
            assert_eq!(read(invalid), Err(CHECKSUM), "{why}");
        }
        for mixed in [
            "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sL5k7",
            "Bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        ] {
            assert_eq!(read(mixed), Err(MIXED), "{mixed}");
        }
    }

    #[test]
    fn ethereum_addresses_of_both_cases_have_a_checksum() {
        // The examples of EIP-55.
        for valid in [
            "0x52908400098527886E0F7030069857D2E4169EE7",
            "0xde709f2102306220921060314715629080e2fb77",
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
            "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
            "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
        ] {
            assert_eq!(read(valid), Ok((valid.to_ascii_lowercase(), true)));
            let letter = valid.rfind(|c: char| c.is_ascii_alphabetic()).unwrap();
            let mut wrong = valid.as_bytes().to_vec();
            wrong[letter] ^= 0x20;
            let wrong = String::from_utf8(wrong).unwrap();
            assert_eq!(read(&wrong), Err(CHECKSUM), "{wrong}");
        }
    }

    #[test]
    fn no_address_is_longer_than_an_address() {
        let hrp = bech32::Hrp::parse("addr").unwrap();
        let of = |bytes| bech32::encode::<Bech32>(hrp, &vec![7; bytes]).unwrap();
        let (fits, long) = (of(70), of(80));
        assert_eq!((fits.len(), read(&fits)), (123, Ok((fits.clone(), true))));
        assert!(long.len() > 128 && read(&long).is_err());
    }

    #[test]
    fn leading_zeros_of_base58_are_bytes() {
        // An address of nothing but zeros, and the same with one zero digit too many and too few.
        assert_eq!(read("1111111111111111111114oLvT2").map(|(_, sure)| sure), Ok(true));
        assert_eq!(read("111111111111111111114oLvT2"), Err(CHECKSUM));
        assert_eq!(read("111111111111111111111114oLvT2"), Err(CHECKSUM));
        assert_eq!(read("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb"), Err(CHECKSUM));
        // Digits that base58 has not: 0, O, I, l.
        assert_eq!(read("1A1zP1eP5QGefi2DMPTfTL5SLmv7Div0Na").map(|(_, sure)| sure), Ok(false));
    }

    #[test]
    fn cashaddr_is_summed_over_its_prefix() {
        CashAddr::sanity_check();
        let address = "qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a";
        assert!(is_cashaddr(address));
        for at in 0..address.len() {
            let mut wrong = address.as_bytes().to_vec();
            wrong[at] = if wrong[at] == b'q' { b'p' } else { b'q' };
            assert!(!is_cashaddr(str::from_utf8(&wrong).unwrap()), "digit {at}");
        }
    }
}
