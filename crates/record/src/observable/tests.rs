//! Golden values, properties and detection.
use super::*;
