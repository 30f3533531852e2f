//! The generated code is what the schema says. `UPDATE_EXPECT=1` writes it anew.

use std::path::PathBuf;

#[test]
fn the_generated_code_is_fresh() {
    let crate_dir = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap());
    let protos = crate_dir.join("../../proto");
    let committed = crate_dir.join("src/protobuf/tidings.v1.rs");
    let schema = protox::Compiler::new([&protos])
        .unwrap()
        .include_source_info(true)
        .open_file("tidings/v1/tidings.proto")
        .unwrap()
        .file_descriptor_set();
    let dir = tempfile::tempdir().unwrap();
    prost_build::Config::new()
        .bytes(["."])
        .btree_map(["."])
        .out_dir(dir.path())
        .compile_fds(schema)
        .unwrap();
    let generated = std::fs::read_to_string(dir.path().join("tidings.v1.rs")).unwrap();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&committed, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&committed).unwrap_or_default();
    assert!(
        committed == generated,
        "src/protobuf/tidings.v1.rs does not match proto/tidings/v1/tidings.proto; run this test \
         with UPDATE_EXPECT=1 and look at the difference"
    );
}
