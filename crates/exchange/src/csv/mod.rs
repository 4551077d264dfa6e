//! CSV files.

use crate::Format;

/// The row of the table of formats.
pub const FORMAT: Format = Format {
    name: "csv",
    sniff: |_| false,
    parse: |input, found| (crate::list::FORMAT.parse)(input, found),
};
