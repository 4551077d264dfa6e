//! The node program, which the command `tocsin` becomes where a verb needs a node: a thin door to the library, so that tests can
//! use what it uses.

use std::alloc::System;

use zeroizing_alloc::ZeroAlloc;

/// What was erased, taken back or only passed on lies in hundreds of blocks on its way, most of them in libraries: each is
/// overwritten when it is freed.
#[global_allocator]
static MEMORY: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> std::process::ExitCode {
    tocsin::main()
}
