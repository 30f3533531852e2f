//! Changing a dead letter's data in an editor.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::Value;

/// Has the data edited, and gives the new one. What cannot be used stays in its file, so that no
/// work is lost.
pub(super) fn edited(offset: u64, letter: &Value) -> anyhow::Result<Value> {
    let Some(data) = letter.get("data") else {
        bail!("the data of dead letter {offset} is not JSON: it cannot be edited as text");
    };
    let number = getrandom::u64().context("the system has no randomness")?;
    let file = std::env::temp_dir().join(format!("tidings-dead-letter-{offset}-{number:x}.json"));
    let text = serde_json::to_string_pretty(data).context("the data cannot be written")? + "\n";
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file);
    made.and_then(|mut made: File| made.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", file.display()))?;
    open_editor(&file)?;
    let changed = std::fs::read_to_string(&file)
        .with_context(|| format!("cannot read {}", file.display()))?;
    let new: Value = serde_json::from_str(&changed).with_context(|| {
        format!("what you wrote is no JSON, nothing was replayed; it is in {}", file.display())
    })?;
    let _ = std::fs::remove_file(&file);
    if new == *data {
        bail!("nothing was changed and nothing replayed; leave --edit out to replay it as it is");
    }
    Ok(new)
}

fn open_editor(file: &Path) -> anyhow::Result<()> {
    let named = |name: &str| std::env::var(name).ok().filter(|editor| !editor.trim().is_empty());
    let editor = named("VISUAL").or_else(|| named("EDITOR")).unwrap_or_else(|| "vi".to_owned());
    // The variable is a command line, which only a shell takes apart as its writer meant.
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{editor} \"$1\"")).arg("sh").arg(file);
    let status = shell.status().with_context(|| format!("cannot start the editor `{editor}`"))?;
    if !status.success() {
        let file = file.display();
        bail!(
            "the editor `{editor}` failed ({status}), nothing was replayed; the data is in {file}"
        );
    }
    Ok(())
}
