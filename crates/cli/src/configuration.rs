//! `tidings config`: to write and check a configuration.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use tidings_server::{
    Config, ConfigFlag, ConfigSources, config_document, config_reference, config_variables,
};

/// To write and check a configuration.
#[derive(Debug, Args)]
pub(crate) struct Configuration {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Check a configuration as `serve` would, and tell everything that is wrong
    Check {
        /// The configuration file
        #[arg(value_name = "FILE", default_value = "tidings.toml")]
        file: PathBuf,
    },
    /// Print the complete configuration with comments and defaults
    Default,
    /// List the environment variable of every key
    Env,
    /// Print the documentation of the configuration as Markdown
    Doc,
}

impl Configuration {
    /// Does what was asked.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        match self.what {
            What::Check { file } => {
                load(Some(&file), Vec::new())?;
                writeln!(out, "{} is sound", file.display())?;
            }
            What::Default => out.write_all(config_reference().as_bytes())?,
            What::Doc => out.write_all(config_document().as_bytes())?,
            What::Env => {
                let variables = config_variables();
                let width = variables.iter().map(|v| v.name.len()).max().unwrap_or(0);
                for variable in variables {
                    writeln!(out, "{:width$}  {}", variable.name, variable.example)?;
                }
            }
        }
        Ok(out.flush()?)
    }
}

/// Reads and checks a configuration.
pub(crate) fn load(file: Option<&Path>, flags: Vec<ConfigFlag>) -> anyhow::Result<Config> {
    let environment = ConfigSources::process_environment();
    let sources = ConfigSources { file: file.map(Path::to_owned), environment, flags };
    let config = Config::load(&sources)?;
    config.validate().map_err(|error| match file {
        Some(file) => error.in_file(file),
        None => error,
    })?;
    Ok(config)
}

/// What `dev` and `serve` have in common.
#[derive(Debug, Args)]
pub(crate) struct ServerFlags {
    /// Where everything is kept [key: storage.directory, default: ./tidings-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<String>,
    /// Where clients connect [key: server.listen, default: 127.0.0.1:8000]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Option<String>,
    /// Where operators look: health and metrics [key: server.operator, default: 127.0.0.1:8001]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) operator: Option<String>,
}

impl ServerFlags {
    /// The keys they set.
    pub(crate) fn keys(&self) -> Vec<ConfigFlag> {
        let set = [
            ("--data", "storage.directory", &self.data),
            ("--listen", "server.listen", &self.listen.as_deref().map(address)),
            ("--operator", "server.operator", &self.operator.as_deref().map(address)),
        ];
        let flag = |(flag, key, value): (_, _, &Option<String>)| {
            Some(ConfigFlag { flag, key, value: value.clone()? })
        };
        set.into_iter().filter_map(flag).collect()
    }
}

/// The configuration has addresses only; `localhost` is the one name whose address is known. Commands
/// write the operator's port with a scheme, so that is taken too.
fn address(text: &str) -> String {
    let text = text.strip_prefix("http://").map_or(text, |text| text.trim_end_matches('/'));
    match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_is_the_loopback_address() {
        assert_eq!(address("localhost:8000"), "127.0.0.1:8000");
        assert_eq!(address("localhost.example:8000"), "localhost.example:8000");
        assert_eq!(address("[::1]:8000"), "[::1]:8000");
    }

    #[test]
    fn an_address_is_the_same_with_a_scheme() {
        assert_eq!(address("http://127.0.0.1:8001"), "127.0.0.1:8001");
        assert_eq!(address("http://localhost:8001/"), "127.0.0.1:8001");
    }
}
