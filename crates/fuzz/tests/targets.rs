//! Nothing that reads bytes from outside is left out: each format has a target, each target a `cargo fuzz` program and
//! something to begin with.

use std::path::Path;

use tocsin_fuzz::{TARGETS, seeds};
use tocsin_record::observable::TYPES;

#[test]
fn every_format_is_a_target() {
    for format in tocsin_exchange::FORMATS {
        let named = TARGETS.iter().any(|target| target.name == format.name);
        assert!(named, "the format `{}` has no target in crates/fuzz", format.name);
    }
}

#[test]
fn every_seed_of_a_format_is_taken_for_it() {
    for format in tocsin_exchange::FORMATS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(format.name);
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let taken = tocsin_exchange::recognise(&std::fs::read(&path).unwrap()).unwrap().name;
            assert_eq!(taken, format.name, "{} is taken for the first", path.display());
        }
    }
}

#[test]
fn every_target_is_a_program_with_seeds() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = std::fs::read_to_string(own.join("fuzz/Cargo.toml")).unwrap();
    for target in TARGETS {
        let name = target.name;
        let program = format!("fuzz_targets/{name}.rs");
        assert!(manifest.contains(&program), "fuzz/Cargo.toml does not build {program}");
        let code = std::fs::read_to_string(own.join("fuzz").join(&program)).unwrap();
        assert!(code.contains(&format!("tocsin_fuzz::{name}(")), "{program} runs another target");
        let kept = std::fs::read_dir(own.join("seeds").join(name)).map_or(0, Iterator::count);
        assert!(kept + (target.built)().len() > 0, "`{name}` has nothing to begin with");
    }
}

#[test]
fn every_target_takes_what_it_begins_with() {
    for target in TARGETS {
        (target.built)().iter().for_each(|data| (target.run)(data));
    }
}

#[test]
fn every_type_of_observable_has_a_seed() {
    for row in TYPES {
        assert!(
            seeds::of_type(row).is_some(),
            "seeds/observable/values.txt has no value of type `{}`",
            row.name
        );
    }
}
