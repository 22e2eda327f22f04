//! Says to the sources which model checker is asked for.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(walden_model, values(none(), \"loom\", \"shuttle\"))");
    println!("cargo::rustc-check-cfg=cfg(docsrs)");
    for model in ["loom", "shuttle"] {
        if std::env::var_os(format!("CARGO_FEATURE_{}", model.to_uppercase())).is_some() {
            println!("cargo::rustc-cfg=walden_model");
            println!("cargo::rustc-cfg=walden_model=\"{model}\"");
        }
    }
}
