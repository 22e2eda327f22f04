//! Real servers over HTTP on this machine: moto for S3, Azurite for Azure; and a network in between that cuts
//! connections, is slow, answers with errors, or not at all.
//!
//! `WALDEN_SEED=n` replays what the network does, as far as the order of connections is the same.
#![cfg(all(unix, any(feature = "s3", feature = "azure")))]
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod network;
mod server;

use std::time::Duration;

use network::{Network, Weather};
use server::Server;
use walden::{Config, Mode, Wal};
use walden_archive::object_store::path::Path;
use walden_archive::object_store::{self, Error as StoreError, ObjectStore, PutMode};
use walden_archive::{
    Archive, Archiver, ArchiverOptions, Depth, Error, ErrorKind, Keep, StoreOptions, Until,
};

/// A bucket of a server, reached in one way.
struct Bucket {
    url: &'static str,
    settings: Vec<(&'static str, String)>,
}

impl Bucket {
    fn settings(&self) -> impl Iterator<Item = (String, String)> {
        self.settings.clone().into_iter().map(|(name, value)| (name.to_owned(), value))
    }

    fn archive(&self, folder: &str, options: StoreOptions) -> Archive {
        Archive::open(&format!("{}/{folder}", self.url), self.settings(), options).unwrap()
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.settings.retain(|(known, _)| *known != name);
        self.settings.push((name, value.to_owned()));
        self
    }
}

fn config() -> Config {
    Config::os_cache().mode(Mode::Debug).segment_size(50_000)
}

fn fill(wal: &Wal, next: u64) {
    while wal.next_seq() < next {
        wal.append(wal.next_seq().to_string().repeat(200)).unwrap();
    }
    wal.sync().unwrap();
}

fn options() -> ArchiverOptions {
    ArchiverOptions::default().tail(true).chunk_bytes(60_000)
}

fn ship(archiver: &mut Archiver) -> Result<u64, Error> {
    archiver.ship(&mut |_| {}).map(|shipped| shipped.entries)
}

#[track_caller]
fn sound(archive: &Archive) -> walden_archive::Verified {
    let verified = archive.verify(Depth::Read, &mut |_| {}).unwrap();
    assert!(!verified.is_damaged(), "{:?}", verified.damages);
    verified
}

/// What is restored has the archive's entries, and each is the log's, byte for byte.
#[track_caller]
fn restored(archive: &Archive, wal: &Wal) {
    let dir = tempfile::tempdir().unwrap();
    archive.restore(dir.path(), config(), Until::End, &mut |_| {}).unwrap();
    let restored = Wal::open(dir.path(), config()).unwrap();
    let info = archive.info().unwrap();
    let seqs = info.first_seq..info.next_seq;
    assert_eq!(restored.first_seq()..restored.next_seq(), seqs);
    assert_eq!(restored.digest(seqs.clone()).unwrap(), wal.digest(seqs.clone()).unwrap());
    for (ours, theirs) in restored.range(seqs.clone()).unwrap().zip(wal.range(seqs).unwrap()) {
        assert_eq!(ours.unwrap(), theirs.unwrap());
    }
}

/// What fencing is built on: a second object of a name is refused, and the first stays.
fn refuses_a_second_one(bucket: &Bucket) {
    let url = format!("{}/conditions", bucket.url).parse().unwrap();
    let (store, folder) = object_store::parse_url_opts(&url, bucket.settings()).unwrap();
    let name = folder.join("one");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let put = |bytes: &'static [u8]| {
        runtime.block_on(store.put_opts(&name, bytes.into(), PutMode::Create.into()))
    };
    put(b"first").unwrap();
    let refused = put(b"second").unwrap_err();
    assert!(
        matches!(refused, StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }),
        "{refused}"
    );
    assert_eq!(&runtime.block_on(read(&*store, &name)), "first");
}

async fn read(store: &dyn ObjectStore, name: &Path) -> String {
    let got = store.get_opts(name, object_store::GetOptions::default()).await.unwrap();
    String::from_utf8(got.bytes().await.unwrap().to_vec()).unwrap()
}

/// Shipping, fencing, putting together, sweeping, removing, verifying, restoring.
fn all_of_it(bucket: &Bucket) {
    refuses_a_second_one(bucket);
    let dir = tempfile::tempdir().unwrap();
    let wal = Wal::open(dir.path(), config()).unwrap();
    let archive = bucket.archive("all", StoreOptions::default());
    assert_eq!(archive.info().unwrap_err().kind(), ErrorKind::NotFound);
    fill(&wal, 300);
    let mut old = Archiver::new(&archive, wal.clone(), options()).unwrap();
    assert_eq!(ship(&mut old).unwrap(), 299);
    let mut new = Archiver::new(&archive, wal.clone(), options()).unwrap();
    fill(&wal, 320);
    assert_eq!(ship(&mut old).unwrap_err().kind(), ErrorKind::Fenced);
    for next in 321..335 {
        fill(&wal, next);
        assert!(ship(&mut new).unwrap() > 0);
    }
    // What the fenced one still made is named by nobody.
    assert!(sound(&archive).unnamed > 0);
    assert!(new.sweep().unwrap().0 > 0);
    let verified = sound(&archive);
    assert_eq!((verified.next_seq, verified.unnamed), (334, 0));
    restored(&archive, &wal);
    let keep = options().keep(Keep::default().max_bytes(100_000));
    let mut keeper = Archiver::new(&archive, wal.clone(), keep).unwrap();
    fill(&wal, 360);
    assert!(keeper.ship(&mut |_| {}).unwrap().removed > 0);
    assert!(sound(&archive).first_seq > 1);
    restored(&archive, &wal);
}

/// Ships through a bad network until that has failed often enough, and looks at what came of it from the other side.
fn over_a_bad_network(server: u16, bucket: &dyn Fn(u16) -> Bucket) {
    let given = std::env::var("WALDEN_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| u64::from(std::process::id()));
    println!("run it again with WALDEN_SEED={seed}");
    let network = Network::to(server, Weather::Bad(seed));
    let patient =
        StoreOptions::default().pauses(Duration::from_millis(5), Duration::from_millis(50));
    let bad = bucket(network.port).with("timeout", "700ms").archive("bad", patient.tries(30));
    let good = bucket(server).archive("bad", StoreOptions::default());
    let dir = tempfile::tempdir().unwrap();
    let wal = Wal::open(dir.path(), config()).unwrap();
    let options = || options().chunk_bytes(30_000);
    let mut archiver = None;
    let mut failed = Vec::new();
    for round in 0..40 {
        if round >= 3 && network.faults() >= 12 {
            break;
        }
        fill(&wal, wal.next_seq() + 60);
        for _ in 0..20 {
            let at_work = match archiver.take() {
                Some(at_work) => Ok(at_work),
                None => Archiver::new(&bad, wal.clone(), options()),
            };
            match at_work {
                Err(error) => failed.push(error),
                Ok(mut at_work) => {
                    failed.extend(ship(&mut at_work).err());
                    let done = at_work.archived() == wal.next_seq();
                    archiver = Some(at_work);
                    if done {
                        break;
                    }
                }
            }
        }
    }
    let faults = network.faults();
    println!("{faults} faults, {} of which an archiver was told", failed.len());
    assert!(faults >= 12, "{faults} faults, seed {seed}");
    assert_eq!(good.info().unwrap().next_seq, wal.next_seq(), "seed {seed}: {failed:?}");
    sound(&good);
    restored(&good, &wal);
    // The way back through it.
    restored(&bad, &wal);
    Archiver::new(&good, wal, options()).unwrap().sweep().unwrap();
    assert_eq!(sound(&good).unnamed, 0, "seed {seed}");
}

/// What is told where the store refuses: the same by one who reads and by one who writes, at the first try.
#[track_caller]
fn told(bucket: &Bucket, kind: ErrorKind, said: &str, advice: &str) {
    let archive = bucket.archive("refused", StoreOptions::default());
    let dir = tempfile::tempdir().unwrap();
    let wal = Wal::open(dir.path(), config()).unwrap();
    fill(&wal, 2);
    let errors = [
        archive.info().unwrap_err(),
        archive.verify(Depth::Listed, &mut |_| {}).unwrap_err(),
        Archiver::new(&archive, wal, options()).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), kind, "{error}");
        let text = error.to_string();
        assert!(text.contains(said) && text.contains(advice), "{text}");
        assert!(!text.contains('\n') && !text.contains(" times"), "{text}");
    }
}

#[cfg(feature = "s3")]
mod s3 {
    use super::*;

    const SKEWED: &str = "HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\n\
        Connection: close\r\n\r\n<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>\
        <Code>RequestTimeTooSkewed</Code><Message>The difference between the request time and the server's \
        time is too large.</Message><MaxAllowedSkewMilliseconds>900000</MaxAllowedSkewMilliseconds></Error>";

    fn bucket(server: &Server, port: u16) -> Bucket {
        let [id, secret] = server.credentials.clone();
        let settings = vec![
            ("aws_endpoint", format!("http://127.0.0.1:{port}")),
            ("aws_allow_http", "true".into()),
            ("aws_access_key_id", id),
            ("aws_secret_access_key", secret),
            ("aws_region", "us-east-1".into()),
        ];
        Bucket { url: "s3://walden", settings }
    }

    #[test]
    fn an_archive_in_s3() {
        let Some(server) = Server::s3() else { return };
        all_of_it(&bucket(&server, server.port));
    }

    #[test]
    fn an_archive_in_s3_over_a_bad_network() {
        let Some(server) = Server::s3() else { return };
        over_a_bad_network(server.port, &|port| bucket(&server, port));
    }

    #[test]
    fn what_s3_refuses_is_told() {
        let Some(server) = Server::s3() else { return };
        let here = || bucket(&server, server.port);
        let (store, credentials) = (ErrorKind::Store, "check the credentials");
        told(
            &here().with("aws_secret_access_key", "wrong"),
            store,
            "SignatureDoesNotMatch",
            credentials,
        );
        told(
            &here().with("aws_access_key_id", "AKIAWRONG"),
            store,
            "InvalidAccessKeyId",
            credentials,
        );
        let elsewhere = Bucket { url: "s3://elsewhere", ..here() };
        told(&elsewhere, ErrorKind::NotFound, "NoSuchBucket", "make the bucket first");
        // moto does not look at the clock.
        let network = Network::to(server.port, Weather::Answers(SKEWED));
        told(&bucket(&server, network.port), store, "RequestTimeTooSkewed", "set this one");
    }
}

#[cfg(feature = "azure")]
mod azure {
    use super::*;

    const SKEWED: &str = "HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nConnection: close\r\n\r\n\
        <?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>AuthenticationFailed</Code><Message>Server failed to \
        authenticate the request.</Message><AuthenticationErrorDetail>Request date header too old: 'Thu, 26 Nov 2026 \
        03:00:00 GMT'</AuthenticationErrorDetail></Error>";

    fn bucket(port: u16) -> Bucket {
        let settings = vec![
            ("azure_storage_account_name", server::ACCOUNT.to_owned()),
            ("azure_storage_account_key", server::KEY.to_owned()),
            ("azure_endpoint", format!("http://127.0.0.1:{port}/{}", server::ACCOUNT)),
            ("azure_allow_http", "true".into()),
        ];
        Bucket { url: "az://walden", settings }
    }

    #[test]
    fn an_archive_in_azure() {
        let Some(server) = Server::azure() else { return };
        all_of_it(&bucket(server.port));
    }

    #[test]
    fn an_archive_in_azure_over_a_bad_network() {
        let Some(server) = Server::azure() else { return };
        over_a_bad_network(server.port, &bucket);
    }

    #[test]
    fn what_azure_refuses_is_told() {
        let Some(server) = Server::azure() else { return };
        let (store, credentials) = (ErrorKind::Store, "check the credentials");
        let other_key = "d3JvbmcgYWx0b2dldGhlcg==";
        let wrong = bucket(server.port).with("azure_storage_account_key", other_key);
        told(&wrong, store, "Authoriz", credentials);
        let elsewhere = Bucket { url: "az://elsewhere", ..bucket(server.port) };
        told(&elsewhere, ErrorKind::NotFound, "ContainerNotFound", "make the bucket first");
        // Azurite does not look at the clock.
        let network = Network::to(server.port, Weather::Answers(SKEWED));
        told(&bucket(network.port), store, "date header too old", "set this one");
    }
}
