//! Compiles the `.proto` sources with protox, so that no protoc has to be installed, and writes the
//! descriptor tables next to the types.
#![expect(clippy::expect_used, reason = "a build that cannot go on says why and stops")]

use std::path::{Path, PathBuf};

#[path = "build/tables.rs"]
mod tables;

fn proto_files(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("the proto directory is readable") {
        let path = entry.expect("the proto directory is readable").path();
        if path.is_dir() {
            proto_files(&path, into);
        } else if path.extension().is_some_and(|e| e == "proto") {
            into.push(path);
        }
    }
}

fn main() {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=build");
    println!("cargo:rerun-if-changed=build.rs");
    let mut files = Vec::new();
    proto_files(Path::new("proto"), &mut files);
    files.sort();
    let descriptors = protox::compile(&files, ["proto"]).unwrap_or_else(|e| panic!("{e:?}"));
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    std::fs::write(out.join("tables.rs"), tables::generate(&descriptors))
        .expect("OUT_DIR is writable");
    prost_build::Config::new()
        .bytes(["."])
        .btree_map(["."])
        // Few resources have it, and it is three quarters of their size: agents and tasks are kept
        // by the hundred thousand.
        .boxed(".mesos.v1.Resource.disk")
        .include_file("protocol.rs")
        .compile_fds(descriptors)
        .unwrap_or_else(|e| panic!("{e}"));
}
