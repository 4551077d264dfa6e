//! What a process that holds keys and members' data keeps from the rest of the machine.

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit, umask};

/// Makes files that nobody else may read, and leaves no memory behind in a core dump. Not dumpable says it for dumps that go
/// to a program as well, which the limit alone does not, and keeps this user's other programs from reading the memory.
///
/// # Errors
/// When the system refuses: then nothing should be read that is secret.
pub fn process() -> std::io::Result<()> {
    umask(Mode::RWXG | Mode::RWXO);
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{dumpable_behavior, getrlimit};

    #[test]
    fn no_memory_is_left_behind() {
        process().expect("any system lets a process do so");
        let limit = getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
        assert_eq!(dumpable_behavior().expect("the system tells"), DumpableBehavior::NotDumpable);
        assert_eq!(umask(Mode::RWXG | Mode::RWXO), Mode::RWXG | Mode::RWXO);
    }
}
