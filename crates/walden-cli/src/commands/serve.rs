//! `walden serve`: a log in the browser.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::args::exit_codes;
use crate::context::Context;
use crate::exit::{Code, Failure};

/// Show a log in the browser: segments, rates, records, cursors, damage; with metrics and a JSON API
///
/// Read-only, beside a writer: no lock is taken and no byte changed. It goes on until Ctrl-C (exit code 130). On any
/// address but a loopback one, whoever reaches it could read the log: there a token is needed, from --token-file, or
/// else made and printed once. A log of up to 1 GiB is checked as a whole at the beginning.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n  \
     walden serve log                                  then open http://127.0.0.1:7400/\n  \
     walden serve log --listen 127.0.0.1:0             at any free port, which is printed\n  \
     walden serve log --listen 0.0.0.0:7400 --token-file token\n  \
     curl -s http://127.0.0.1:7400/metrics             for Prometheus\n",
    exit_codes!()
))]
pub(crate) struct Serve {
    /// The log's folder
    dir: PathBuf,

    /// Where to listen
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7400")]
    listen: SocketAddr,

    /// A file with the token that must be shown: at least 16 characters
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// A name by which it may be called, besides localhost and addresses: that of a proxy before it
    #[arg(long, value_name = "NAME")]
    allow_host: Vec<String>,
}

#[cfg(not(feature = "serve"))]
impl Serve {
    pub(crate) fn run(self, _context: &Context) -> Result<Code, Failure> {
        let Self { dir, listen, token_file, allow_host } = self;
        drop((dir, listen, token_file, allow_host));
        Err(Failure::usage("this walden was built without the feature `serve`")
            .advice("build it with: cargo install walden-cli --features serve"))
    }
}

#[cfg(feature = "serve")]
mod with_feature {
    use std::fs::File;
    use std::io::{self, ErrorKind, Read};
    use std::path::Path;
    use std::time::Duration;

    use serde_json::json;
    use walden_inspector::Watch;
    use walden_inspector::serve::{Options, Server, Stop};

    use super::{Code, Context, Failure, Serve};
    use crate::output::escaped;
    use crate::signal;

    /// How often the log is looked at.
    const EVERY: Duration = Duration::from_secs(1);
    /// More than any token.
    const TOKEN_FILE: u64 = 4 << 10;

    impl Serve {
        pub(crate) fn run(self, context: &Context) -> Result<Code, Failure> {
            let mut options = Options::default().listen(self.listen);
            let mut made = None;
            if let Some(file) = &self.token_file {
                options = options.token(read_token(file)?);
            } else if !self.listen.ip().is_loopback() {
                let token = make_token()?;
                made = Some(token.clone());
                options = options.token(token);
            }
            for host in &self.allow_host {
                options = options.allow_host(host);
            }
            let watch = Watch::open(&self.dir, &context.prefix(&self.dir)?)?;
            let server =
                Server::bind(watch.clone(), options).map_err(|error| self.refused(&error))?;
            let address = server.local_addr().map_err(|e| Failure::io("tell the address", &e))?;
            let stop = Stop::default();
            let flag = stop.clone();
            signal::on_interrupt(move || flag.stop());
            let url = format!("http://{address}/");
            let dir = escaped(&self.dir.display().to_string());
            let mut text = format!("{dir} is shown at {url} until Ctrl-C");
            if let Some(token) = &made {
                text.push_str(&format!(
                    "\nothers can reach that address, so they need this token, shown once: {token}"
                ));
            }
            context.out.result(&json!({ "url": url, "token": made }), text)?;
            let looking = watch.keep_looking(EVERY);
            let looking = looking.map_err(|error| Failure::io("start a thread", &error))?;
            server.run(&stop).map_err(|error| Failure::io("serve", &error))?;
            drop(looking);
            Ok(Code::Interrupted)
        }

        fn refused(&self, error: &io::Error) -> Failure {
            if error.kind() == ErrorKind::InvalidInput {
                return Failure::usage(error.to_string());
            }
            Failure::io(&format!("listen at {}", self.listen), error)
                .advice("choose another by --listen, such as 127.0.0.1:0 for any free port")
        }
    }

    fn read_token(path: &Path) -> Result<String, Failure> {
        let read = || {
            let mut text = String::new();
            File::open(path)?.take(TOKEN_FILE).read_to_string(&mut text)?;
            Ok(text.trim().to_owned())
        };
        read().map_err(|error| Failure::io("read the token", &error).path(path))
    }

    fn make_token() -> Result<String, Failure> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| {
            Failure::new(walden::ErrorKind::Io, format!("no random bytes for a token: {error}"))
        })?;
        Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}
