//! `tidings token`: makes a token for a user.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use clap::{Args, ValueEnum};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use tidings_core::UserId;
use tidings_server::{Config, ConfigSources, KeyMaterial, TokenAlgorithm};

use crate::clock_text::now;
use crate::dev;
use crate::parse::{self, Cap};
use crate::standard_output;

/// Makes a token for a user.
///
/// Without -c, --secret-file or --private-key-file it is for the `tidings dev` server of this
/// directory.
#[derive(Debug, Args)]
pub(crate) struct Token {
    /// Whom it is for: the `sub` of the token
    #[arg(long, value_parser = parse::user)]
    user: UserId,
    /// What it allows, as FILTER:OPS with some of pub, sub, hist, pres; may be repeated. Without
    /// any it allows to read the user's own inbox
    #[arg(long = "cap", value_name = "FILTER:OPS", value_parser = parse::cap)]
    caps: Vec<Cap>,
    /// How long it is good for, at least 1s
    #[arg(long, default_value = "1h", value_parser = good_for)]
    ttl: Duration,
    /// The server's configuration: its first HS256 key signs
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["secret_file", "private_key_file", "data"])]
    config: Option<PathBuf>,
    /// A file with the secret of an HS256 key
    #[arg(long, value_name = "FILE", conflicts_with_all = ["private_key_file", "data"])]
    secret_file: Option<PathBuf>,
    /// A file with a private key, PEM
    #[arg(long, value_name = "FILE", requires = "algorithm", conflicts_with = "data")]
    private_key_file: Option<PathBuf>,
    /// What the private key is for
    #[arg(long, requires = "private_key_file")]
    algorithm: Option<PublicAlgorithm>,
    /// The `kid` of the key
    #[arg(long)]
    kid: Option<String>,
    /// The data directory of the `tidings dev` server
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Algorithms with a public key.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum PublicAlgorithm {
    #[value(name = "RS256")]
    Rs256,
    #[value(name = "ES256")]
    Es256,
    #[value(name = "EdDSA")]
    EdDsa,
}

/// Tokens count in whole seconds, so a shorter time would be none.
fn good_for(text: &str) -> Result<Duration, String> {
    let time = parse::duration(text)?;
    if time < Duration::from_secs(1) {
        return Err(format!(
            "a token that is good for {text} is good for nothing: write at least 1s"
        ));
    }
    Ok(time)
}

/// Shortest secret that the server takes: HMAC-SHA-256 is as strong as its key up to 32 bytes
/// (RFC 7518 §3.2).
const SECRET_BYTES_MIN: usize = 32;

/// What a token says (docs: configuration, section `[auth]`).
#[derive(Debug, Serialize)]
struct Claims<'a> {
    sub: &'a str,
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    caps: &'a [Cap],
}

/// What signs, and what the server expects besides.
pub(crate) struct Signer {
    algorithm: Algorithm,
    key: EncodingKey,
    kid: Option<String>,
    audience: Option<String>,
    issuer: Option<String>,
}

impl Signer {
    const fn new(algorithm: Algorithm, key: EncodingKey) -> Self {
        Self { algorithm, key, kid: None, audience: None, issuer: None }
    }

    /// A token from `now` (seconds since 1970) on.
    pub(crate) fn sign(
        &self,
        user: &UserId,
        caps: &[Cap],
        now: u64,
        ttl: Duration,
    ) -> anyhow::Result<String> {
        let mut header = Header::new(self.algorithm);
        header.kid.clone_from(&self.kid);
        let claims = Claims {
            sub: user.as_str(),
            iat: now,
            exp: now.saturating_add(ttl.as_secs()),
            aud: self.audience.as_deref(),
            iss: self.issuer.as_deref(),
            caps,
        };
        jsonwebtoken::encode(&header, &claims, &self.key).context("the token cannot be signed")
    }
}

impl Token {
    /// Prints the token and nothing else.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let token = self.make(now().as_ms() / 1000)?;
        standard_output::write(format!("{token}\n").as_bytes())
    }

    fn make(&self, now: u64) -> anyhow::Result<String> {
        let mut signer = self.signer()?;
        signer.kid = self.kid.clone().or(signer.kid);
        signer.sign(&self.user, &self.caps, now, self.ttl)
    }

    fn signer(&self) -> anyhow::Result<Signer> {
        if let Some(file) = &self.config {
            return signer_of_configuration(file);
        }
        if let Some(file) = &self.secret_file {
            return secret_signer(file);
        }
        if let (Some(file), Some(algorithm)) = (&self.private_key_file, self.algorithm) {
            return private_signer(file, algorithm);
        }
        let data = self.data.as_deref().unwrap_or_else(|| Path::new(dev::DATA_DEFAULT));
        let file = dev::secret_file(data);
        if let Err(error) = file.metadata()
            && error.kind() == ErrorKind::NotFound
        {
            bail!(
                "there is no `tidings dev` server in {}: name its directory with --data, or sign with -c FILE, --secret-file or --private-key-file",
                data.display()
            );
        }
        secret_signer(&file)
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// Signs with the secret in a file.
pub(crate) fn secret_signer(file: &Path) -> anyhow::Result<Signer> {
    let text = read(file)?;
    let secret = text.trim_end_matches(['\r', '\n']);
    ensure!(
        secret.len() >= SECRET_BYTES_MIN,
        "the secret in {} has {} bytes, and no server takes less than {SECRET_BYTES_MIN}: make one with `openssl rand -base64 32`",
        file.display(),
        secret.len(),
    );
    Ok(Signer::new(Algorithm::HS256, EncodingKey::from_secret(secret.as_bytes())))
}

fn private_signer(file: &Path, algorithm: PublicAlgorithm) -> anyhow::Result<Signer> {
    let pem = read(file)?;
    let (algorithm, key) = match algorithm {
        PublicAlgorithm::Rs256 => (Algorithm::RS256, EncodingKey::from_rsa_pem(pem.as_bytes())),
        PublicAlgorithm::Es256 => (Algorithm::ES256, EncodingKey::from_ec_pem(pem.as_bytes())),
        PublicAlgorithm::EdDsa => (Algorithm::EdDSA, EncodingKey::from_ed_pem(pem.as_bytes())),
    };
    let key = key.with_context(|| format!("{} is not a private key for it", file.display()))?;
    Ok(Signer::new(algorithm, key))
}

/// Any sound key of the configuration will do, so the rest of it is not checked.
fn signer_of_configuration(file: &Path) -> anyhow::Result<Signer> {
    let environment = ConfigSources::process_environment();
    let sources = ConfigSources { file: Some(file.to_owned()), environment, flags: Vec::new() };
    let auth = Config::load(&sources)?.auth;
    let shared = auth.keys.into_iter().find(|key| key.algorithm == TokenAlgorithm::Hs256);
    let key = shared.with_context(|| {
        format!(
            "{} has no HS256 key, and public keys cannot sign: use --private-key-file",
            file.display()
        )
    })?;
    let secret = match key.material().map_err(|what| anyhow!("{}: {what}", file.display()))? {
        KeyMaterial::Shared(secret) => secret,
        KeyMaterial::PublicPem(_) => bail!("a public key cannot sign"),
    };
    let encoding = EncodingKey::from_secret(secret.expose().as_bytes());
    let mut signer = Signer::new(Algorithm::HS256, encoding);
    signer.kid = key.kid;
    signer.audience = auth.audience;
    signer.issuer = auth.issuer;
    Ok(signer)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use clap::Parser;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        token: Token,
    }

    fn parts(arguments: &[&str]) -> anyhow::Result<(Value, Value)> {
        let line = Line::parse_from(["token"].iter().chain(arguments));
        let token = line.token.make(1000)?;
        let part = |index| {
            let text: &str = token.split('.').nth(index).unwrap();
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
        };
        Ok((part(0), part(1)))
    }

    #[test]
    fn says_who_what_and_how_long() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        std::fs::write(&file, "0123456789abcdef0123456789abcdef\n").unwrap();
        let file = file.to_str().unwrap();
        let arguments =
            ["--user", "alice", "--cap", "room/#:pub,sub", "--ttl", "5m", "--secret-file", file];
        let (header, claims) = parts(&arguments).unwrap();
        assert_eq!(header, json!({"typ": "JWT", "alg": "HS256"}));
        let caps = json!([{"match": "room/#", "ops": ["pub", "sub"]}]);
        assert_eq!(claims, json!({"sub": "alice", "iat": 1000, "exp": 1300, "caps": caps}));
    }

    #[test]
    fn a_configuration_signs_with_its_first_shared_key() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tidings.toml");
        let toml = "[auth]\naudience = \"chat\"\nissuer = \"me\"\n[[auth.keys]]\nkid = \"k1\"\nalgorithm = \"HS256\"\nsecret = \"0123456789abcdef0123456789abcdef\"";
        std::fs::write(&file, toml).unwrap();
        let (header, claims) = parts(&["--user", "alice", "-c", file.to_str().unwrap()]).unwrap();
        assert_eq!(header["kid"], "k1");
        assert_eq!(
            claims,
            json!({"sub": "alice", "iat": 1000, "exp": 4600, "aud": "chat", "iss": "me"})
        );
    }

    #[test]
    fn a_token_that_no_server_would_take_is_not_made() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        for secret in ["", "\n", "0123456789abcdef0123456789abcde\n"] {
            std::fs::write(&file, secret).unwrap();
            let arguments = ["--user", "alice", "--secret-file", file.to_str().unwrap()];
            let message = parts(&arguments).unwrap_err().to_string();
            assert!(message.contains("no server takes less than 32"), "{message}");
        }
        for time in ["0s", "999ms"] {
            let message = good_for(time).unwrap_err();
            assert!(message.contains("at least 1s"), "{message}");
        }
    }

    #[test]
    fn nobody_gets_a_name_of_the_server() {
        let line = Line::try_parse_from(["token", "--user", "$operator"]);
        let message = line.map(|_| ()).unwrap_err().to_string();
        assert!(message.contains("start with `$` are the server's"), "{message}");
    }

    #[test]
    fn without_a_key_it_says_which_flags_there_are() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().to_str().unwrap();
        let message = parts(&["--user", "alice", "--data", data]).unwrap_err().to_string();
        assert!(message.contains("no `tidings dev` server"), "{message}");
    }
}
