//! Cryptocurrency addresses.
//!
//! The canonical value is the address alone: the same string is the same address whatever its currency is
//! called, and a lookup rarely knows. bech32, CashAddr and Ethereum are lower case, base58 as it stands.
//! Where a form has a checksum it is verified, so that a mistyped address is told and no other text is
//! taken for one.

use sha2::{Digest, Sha256};

use super::{Observable, Parsed, kind};

const BITCOIN58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
/// Ripple's order of the same digits.
const RIPPLE58: &[u8; 58] = b"rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz";
const BECH32: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// Prefixes of bech32 addresses in use that are recognised without being told the type.
const KNOWN_BECH32: &[&str] = &["bc", "tb", "ltc", "addr", "cosmos", "zs", "terra", "osmo", "bnb", "one"];

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

fn form(address: &str) -> Result<Form, &'static str> {
    let lower = address.to_ascii_lowercase();
    let one_case = lower == address || address.to_ascii_uppercase() == address;
    if let Some(digits) = lower.strip_prefix("0x") {
        let fits = digits.len() == 40 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        return if fits {
            Ok(Form::Sure(lower))
        } else {
            Err("an Ethereum address has 40 hexadecimal digits")
        };
    }
    if let Some((prefix, _)) = lower.rsplit_once('1').filter(|(prefix, _)| one_case && is_prefix(prefix)) {
        let known = KNOWN_BECH32.contains(&prefix);
        match (is_bech32(prefix, &lower), known) {
            (true, true) => return Ok(Form::Sure(lower)),
            (true, false) => return Ok(Form::Plausible(lower)),
            (false, true) => return Err(CHECKSUM),
            (false, false) => {}
        }
    }
    if one_case && lower.len() == 42 && lower.starts_with(['q', 'p']) && is_cashaddr(&lower) {
        return Ok(Form::Sure(lower));
    }
    let base58 = |digits: &[u8; 58]| address.bytes().all(|b| digits.contains(&b));
    match address.len() {
        25..=35 if base58(BITCOIN58) && is_base58check(address, BITCOIN58) => {
            Ok(Form::Sure(address.to_owned()))
        }
        25..=35 if address.starts_with('r') && base58(RIPPLE58) && is_base58check(address, RIPPLE58) => {
            Ok(Form::Sure(address.to_owned()))
        }
        26..=35 if base58(BITCOIN58) && address.starts_with(['1', '3']) => Err(CHECKSUM),
        // Monero's checksum is Keccak, which nothing else here needs; its shape is unmistakable.
        95 | 106 if base58(BITCOIN58) && address.starts_with(['4', '8']) => {
            Ok(Form::Sure(address.to_owned()))
        }
        20..=128 if address.bytes().all(is_plain) => Ok(Form::Plausible(address.to_owned())),
        _ => Err("an address has 20 to 128 letters and digits"),
    }
}

fn is_plain(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')
}

/// Structural: checksums are asked when an address is written, not when it is received.
pub(super) fn check(value: &[u8]) -> bool {
    let ethereum = value.starts_with(b"0x") && value.len() == 42;
    (20..=128).contains(&value.len())
        && value.iter().all(|b| is_plain(*b))
        && !(ethereum && value.iter().any(u8::is_ascii_uppercase))
        && !value.starts_with(b"0X")
}

fn is_prefix(prefix: &str) -> bool {
    (2..=16).contains(&prefix.len()) && prefix.bytes().all(|b| b.is_ascii_lowercase())
}

/// BIP 173 and BIP 350; Cardano's addresses are longer than these allow, so the length is not held to 90.
fn is_bech32(prefix: &str, address: &str) -> bool {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    const BECH32M: u32 = 0x2bc8_30a3;
    let Some(data) = base32(&address[prefix.len() + 1..]) else {
        return false;
    };
    let mut sum: u32 = 1;
    let expanded = prefix.bytes().map(|b| b >> 5).chain([0]).chain(prefix.bytes().map(|b| b & 31));
    for value in expanded.chain(data.iter().copied()) {
        let top = sum >> 25;
        sum = (sum & 0x1ff_ffff) << 5 ^ u32::from(value);
        for (i, generator) in GENERATOR.iter().enumerate() {
            sum ^= if top >> i & 1 == 1 { *generator } else { 0 };
        }
    }
    data.len() >= 26 && matches!(sum, 1 | BECH32M)
}

/// Bitcoin Cash, under its default prefix (CHIP CashAddr).
fn is_cashaddr(address: &str) -> bool {
    const GENERATOR: [u64; 5] =
        [0x98_f2bc_8e61, 0x79_b76d_99e2, 0xf3_3e5f_b3c4, 0xae_2eab_e2a8, 0x1e_4f43_e470];
    let Some(data) = base32(address) else { return false };
    let mut sum: u64 = 1;
    for value in b"bitcoincash".iter().map(|b| b & 31).chain([0]).chain(data) {
        let top = sum >> 35;
        sum = (sum & 0x07_ffff_ffff) << 5 ^ u64::from(value);
        for (i, generator) in GENERATOR.iter().enumerate() {
            sum ^= if top >> i & 1 == 1 { *generator } else { 0 };
        }
    }
    sum == 1
}

fn base32(text: &str) -> Option<Vec<u8>> {
    text.bytes().map(|b| BECH32.iter().position(|digit| *digit == b).map(|at| at as u8)).collect()
}

/// One or two bytes of version, twenty of hash and four of checksum, which is SHA-256 twice.
fn is_base58check(text: &str, digits: &[u8; 58]) -> bool {
    let Some(bytes) = base58(text, digits) else {
        return false;
    };
    let Some((payload, sum)) = bytes.split_at_checked(bytes.len().saturating_sub(4)) else {
        return false;
    };
    matches!(payload.len(), 21 | 22) && Sha256::digest(Sha256::digest(payload))[..4] == *sum
}

/// Big-endian bytes; each leading zero digit is a zero byte. Called with at most 35 digits.
fn base58(text: &str, digits: &[u8; 58]) -> Option<Vec<u8>> {
    let mut little: Vec<u8> = Vec::new();
    for b in text.bytes() {
        let mut carry = digits.iter().position(|digit| *digit == b)? as u32;
        for byte in &mut little {
            carry += u32::from(*byte) * 58;
            *byte = carry as u8;
            carry >>= 8;
        }
        if carry > 0 {
            little.push(carry as u8);
        }
    }
    let zeros = text.bytes().take_while(|b| *b == digits[0]).count();
    Some(std::iter::repeat_n(0, zeros).chain(little.into_iter().rev()).collect())
}
