//! `tidings dev`: a server to try things out, and what to do next.

mod chat;

use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use tidings_core::Filter;
use tidings_server::{
    Config, ConfigFlag, ConfigSources, RunningServer, Server, TokenAlgorithm, TokenKey,
    TopicSection,
};

use crate::configuration::ServerFlags;
use crate::operator::escaped;
use crate::{logging, open_files, running, token};

/// Where `dev` keeps everything unless told otherwise; as in the reference configuration.
pub(crate) const DATA_DEFAULT: &str = "./tidings-data";

/// Where `dev` keeps the secret that `tidings token` signs with.
pub(crate) fn secret_file(data: &Path) -> PathBuf {
    data.join("dev-secret")
}

/// Starts a server to try things out.
///
/// Everybody on this machine may do everything, and nobody else can reach it.
#[derive(Debug, Args)]
pub(crate) struct Dev {
    #[command(flatten)]
    flags: ServerFlags,
}

impl Dev {
    /// Serves until Ctrl-C.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let config = self.config()?;
        logging::start(&config.log);
        open_files::raise(config.server.connections_max);
        let data = config.storage.directory.clone();
        let signer = token::secret_signer(&secret_file(&data))?;
        let builder = Server::builder(config).routes(chat::routes(signer));
        running::as_server(builder, |server| {
            // Nobody may be reading, which is no reason to end.
            let _ = std::io::stdout().write_all(banner(server, &data).as_bytes());
        })
        .map_err(explain)
    }

    fn config(&self) -> anyhow::Result<Config> {
        let mut environment = ConfigSources::process_environment();
        // The banner is what a first look should see; warnings still come through.
        environment.entry("TIDINGS_LOG__LEVEL".to_owned()).or_insert_with(|| "warn".to_owned());
        let mut flags = self.flags.keys();
        flags.push(ConfigFlag { flag: "dev", key: "auth.open", value: "true".to_owned() });
        let mut config = Config::load(&ConfigSources { file: None, environment, flags })?;
        // Behind those of the file and the environment, which count first.
        config.topic.extend(chat::topics());
        keep_presence_everywhere(&mut config);
        let secret_file = make_secret(&config.storage.directory)?;
        config.auth.keys.push(TokenKey {
            kid: None,
            algorithm: TokenAlgorithm::Hs256,
            secret: None,
            secret_file: Some(secret_file),
            public_key_file: None,
        });
        config.validate()?;
        Ok(config)
    }
}

/// Who is on a topic is part of what there is to try out.
fn keep_presence_everywhere(config: &mut Config) {
    let everything = Filter::parse("#").expect("a valid filter");
    for section in &mut config.topic {
        section.presence = true;
    }
    if !config.topic.iter().any(|section| section.filter == everything) {
        let presence = true;
        config.topic.push(TopicSection { presence, ..TopicSection::new(everything) });
    }
}

/// Makes the secret on the first start; it stays, so that tokens stay good.
fn make_secret(data: &Path) -> anyhow::Result<PathBuf> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .with_context(|| format!("cannot make {}; choose another --data", data.display()))?;
    let file = secret_file(data);
    let mut secret = [0u8; 32];
    getrandom::fill(&mut secret)
        .map_err(|error| anyhow!("the system has no randomness: {error}"))?;
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file);
    match opened {
        Ok(mut opened) => {
            writeln!(opened, "{}", URL_SAFE_NO_PAD.encode(secret))
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => {
            return Err(error).with_context(|| format!("cannot make {}", file.display()));
        }
    }
    Ok(file)
}

fn banner(server: &RunningServer, data: &Path) -> String {
    let (public, operator) = (server.public_addr(), server.operator_addr());
    let url = if public.port() == 8000 && public.ip() == std::net::Ipv4Addr::LOCALHOST {
        String::new()
    } else {
        format!(" --url ws://{public}/v1/ws")
    };
    let asking = if operator.port() == 8001 && operator.ip() == std::net::Ipv4Addr::LOCALHOST {
        String::new()
    } else {
        format!(" --operator http://{operator}")
    };
    let version = env!("CARGO_PKG_VERSION");
    let data = data.display();
    // A browser keeps what stands behind `#` to itself.
    let key = escaped(server.operator_key().expose());
    format!(
        r#"Tidings {version}, to try things out: open to everybody on this machine, to nobody else.

  chat        http://{public}/
  WebSocket   ws://{public}/v1/ws
  HTTP        http://{public}/v1/
  operator    http://{operator}/metrics
  console     http://{operator}/console/#key={key}
  data        {data}

In a second terminal, wait for messages, also for those that come while you are away:

  tidings sub room/42 --durable me{url}

In a third, send some:

  tidings pub room/42 '{{"hello":"world"}}'{url}
  curl http://{public}/v1/publish -H 'content-type: application/json' \
       -d '{{"topic":"room/42","data":{{"hello":"curl"}}}}'

Stop the second with Ctrl-C, send more, start it again. `pub` prints an id: ask what became of it,
and what was given up.

  tidings trace $(tidings pub room/42 hello{url}){asking}
  tidings dead-letters list{asking}

`tidings --help` shows the rest.
Ctrl-C here ends the server; what was published stays.
"#
    )
}

/// Adds what to do to the error that everybody meets.
fn explain(error: anyhow::Error) -> anyhow::Error {
    let in_use = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::AddrInUse)
    };
    if error.chain().any(in_use) {
        return anyhow!(
            "{error}\nperhaps another Tidings runs already; choose other ports, such as --listen 127.0.0.1:8010 --operator 127.0.0.1:8011"
        );
    }
    error
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_secret_is_made_once_and_for_its_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let file = make_secret(&data).unwrap();
        let secret = std::fs::read_to_string(&file).unwrap();
        assert!(secret.trim_end().len() >= 32, "{}", secret.len());
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        make_secret(&data).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), secret);
    }

    #[test]
    fn dev_refuses_to_be_open_to_others() {
        let directory = tempfile::tempdir().unwrap();
        let flags = ServerFlags {
            data: Some(directory.path().join("data").display().to_string()),
            listen: Some("0.0.0.0:0".to_owned()),
            operator: None,
        };
        let message = Dev { flags }.config().unwrap_err().to_string();
        assert!(
            message.contains("server.listen = 0.0.0.0:0: auth.open lets everybody in"),
            "{message}"
        );
    }
}
