//! The operator's key: configured, or made at the first start and kept beside the log.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use aws_lc_rs::{constant_time, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::KeyError;
use crate::config::{AuthSection, SECRET_BYTES_MIN, Secret};

/// Where a key that the server made is kept, in its data directory.
const FILE: &str = "operator-key";

/// Where it is while it is written: a crash leaves no half of a key under its name.
const FILE_BEGUN: &str = "operator-key.new";

/// What may be read of a file that should hold a key.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Where the key comes from, which says who needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeySource {
    /// The configuration: whoever comes shows it.
    Configured,
    /// The server: programs on this machine need not show it.
    Made,
}

/// The key of the operator's port.
#[derive(Debug)]
pub(crate) struct OperatorKey {
    secret: Secret,
    hash: digest::Digest,
    source: KeySource,
}

impl OperatorKey {
    fn new(secret: Secret, source: KeySource) -> Self {
        let hash = hash(secret.expose());
        Self { secret, hash, source }
    }

    /// The one that the configuration names, if it does.
    pub(crate) fn configured(auth: &AuthSection) -> Result<Option<Self>, KeyError> {
        let secret = auth
            .operator_secret()
            .map_err(|problem| KeyError::at("auth.operator_key".to_owned(), problem))?;
        Ok(secret.map(|secret| Self::new(secret, KeySource::Configured)))
    }

    /// The one that is kept in `directory`, made if there is none. Whoever holds the directory calls
    /// this.
    pub(crate) fn kept_in(directory: &Path) -> Result<Self, KeyError> {
        let file = directory.join(FILE);
        let at = |problem: String| {
            let whole = format!("{problem}; or name another key in `auth.operator_key_file`");
            KeyError::at(file.display().to_string(), whole)
        };
        let secret = Secret::new(match read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let made = random_key();
                write(directory, &made)
                    .map_err(|error| at(format!("the operator's key cannot be kept: {error}")))?;
                tracing::info!(file = %file.display(), "the operator's key was made");
                made
            }
            Err(error) => return Err(at(format!("cannot be read: {error}"))),
        });
        if secret.expose().len() < SECRET_BYTES_MIN || !secret.is_showable() {
            let problem = format!(
                "holds no key of {SECRET_BYTES_MIN} or more visible ASCII characters in one line: remove the file, and the server makes another"
            );
            return Err(at(problem));
        }
        tracing::info!(file = %file.display(), "the operator's key is in this file");
        Ok(Self::new(secret, KeySource::Made))
    }

    /// One for this run alone: nothing of a server in memory stays.
    pub(crate) fn for_this_run() -> Self {
        Self::new(Secret::new(random_key()), KeySource::Made)
    }

    /// Whether this is the key. Takes as long whatever is shown.
    pub(crate) fn is(&self, shown: &str) -> bool {
        let shown = hash(shown);
        constant_time::verify_slices_are_equal(self.hash.as_ref(), shown.as_ref()).is_ok()
    }

    /// Where it comes from.
    pub(crate) const fn source(&self) -> KeySource {
        self.source
    }

    /// The key itself.
    pub(crate) const fn secret(&self) -> &Secret {
        &self.secret
    }
}

fn hash(text: &str) -> digest::Digest {
    digest::digest(&digest::SHA256, text.as_bytes())
}

/// 256 random bits as text.
fn random_key() -> String {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    URL_SAFE_NO_PAD.encode(bytes)
}

fn read(file: &Path) -> std::io::Result<String> {
    let opened = File::open(file)?;
    let metadata = opened.metadata()?;
    if metadata.permissions().mode() & 0o077 != 0 {
        let file = file.display();
        tracing::warn!(%file, "others can read the operator's key: `chmod 600` the file");
    }
    let mut text = String::new();
    std::io::Read::read_to_string(&mut std::io::Read::take(opened, FILE_BYTES_MAX), &mut text)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn write(directory: &Path, key: &str) -> std::io::Result<()> {
    let begun = directory.join(FILE_BEGUN);
    // One that a crash left: its mode is not known, so it is no place for a secret.
    match std::fs::remove_file(&begun) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&begun)?;
    writeln!(opened, "{key}")?;
    opened.sync_all()?;
    std::fs::rename(&begun, directory.join(FILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_and_stays() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE_BEGUN), "half").unwrap();
        let made = OperatorKey::kept_in(directory.path()).unwrap();
        assert_eq!(made.source(), KeySource::Made);
        let file = directory.path().join(FILE);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let again = OperatorKey::kept_in(directory.path()).unwrap();
        assert_eq!(again.secret(), made.secret());
        assert!(again.is(made.secret().expose()));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn no_two_keys_are_the_same_and_only_the_whole_key_counts() {
        let (key, other) = (OperatorKey::for_this_run(), OperatorKey::for_this_run());
        let shown = key.secret().expose();
        assert!(key.is(shown) && !other.is(shown));
        for wrong in ["", &shown[1..], &format!("{shown}x"), &shown.to_uppercase()] {
            assert!(!key.is(wrong), "{wrong}");
        }
        assert!(!format!("{key:?}").contains(shown), "it does not show itself");
    }

    #[test]
    fn a_file_without_a_key_says_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(FILE);
        let (two_lines, blank) =
            (["0123456789abcdef"; 2].join("\n"), ["0123456789abcdef"; 2].join(" "));
        for text in ["", "short\n", &two_lines, &blank, &"ö".repeat(32)] {
            std::fs::write(&file, text).unwrap();
            let error = OperatorKey::kept_in(directory.path()).unwrap_err().to_string();
            assert!(error.contains("remove the file, and the server makes another"), "{error}");
        }
        let nowhere = directory.path().join("nowhere");
        let error = OperatorKey::kept_in(&nowhere).unwrap_err().to_string();
        assert!(error.contains("auth.operator_key_file"), "{error}");
    }
}
