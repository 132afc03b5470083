//! What comes out of a good configuration: options, origins, digest, and no secret anywhere.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says where")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use relayscope::config::{self, Loaded, Overrides};
use relayscope::relay::options::{AuthMechanism, ClientTls, OnStoreFailure, UpstreamTls};
use relayscope::store::Durability;

const SECRET: &str = "correct-horse-battery-staple";

fn smart_host(host: &str) -> Overrides {
    Overrides { smart_host: Some(host.to_owned()), ..Overrides::default() }
}

fn loaded(text: &str) -> Loaded {
    config::load_text(Path::new("relayscope.toml"), text, &Overrides::default()).unwrap()
}

#[test]
fn a_smart_host_alone_is_enough() {
    let loaded = config::load_text(Path::new("relayscope.toml"), "", &smart_host("smtp.example.net:587")).unwrap();
    let [session] = loaded.sessions.as_slice() else { panic!("one listener") };
    assert_eq!(session.listener.listen, ["127.0.0.1:2525".parse().unwrap()]);
    assert_eq!(session.listener.tls, ClientTls::Offered);
    let allow: Vec<String> = session.listener.allow.iter().map(ToString::to_string).collect();
    assert_eq!(allow, ["127.0.0.0/8", "::1/128"]);
    let [host] = session.upstream.hosts.as_slice() else { panic!("one host") };
    assert_eq!((host.host.as_str(), host.port, host.tls), ("smtp.example.net", 587, UpstreamTls::Opportunistic));
    assert!(session.upstream.auth.is_none());
    assert_eq!(format!("{:?}", session.limits), format!("{:?}", relayscope::relay::options::Limits::default()));
    assert_eq!(session.on_store_failure, OnStoreFailure::Pass);
    let store = relayscope::store::Options::new("relayscope-store");
    assert_eq!(loaded.store, relayscope::store::Options { staging: relayscope::store::default_staging_dir(), ..store });
    assert_eq!(loaded.http.listen, Some("127.0.0.1:8025".parse().unwrap()));
    assert!(loaded.workers > 0);
    assert!(!loaded.node.is_empty() && !loaded.host_name.is_empty());
}

#[test]
fn tls_follows_the_port_unless_it_is_said() {
    let hosts = |tls: &str| {
        let text = format!("[[upstream]]\nhosts = [\"a.example:25\", \"b.example:465\", \"c.example:587\"]\n{tls}");
        loaded(&text).sessions[0].upstream.hosts.iter().map(|host| host.tls).collect::<Vec<_>>()
    };
    use UpstreamTls::{Implicit, Opportunistic, Required};
    assert_eq!(hosts(""), [Opportunistic, Implicit, Opportunistic]);
    assert_eq!(hosts("tls = \"required\""), [Required, Implicit, Required]);
}

#[test]
fn each_listener_gets_the_upstream_it_names() {
    let loaded = loaded(
        r#"
        node = "relay1"
        workers = 3
        [[listener]]
        name = "submission"
        listen = ["127.0.0.1:2587", "[::1]:2587"]
        upstream = "b"
        tls = "mirror"
        allow = ["192.0.2.7", "10.0.0.0/8"]
        [[listener]]
        name = "relay"
        upstream = "a"
        [[upstream]]
        name = "a"
        hosts = ["a.example:25"]
        hide = ["chunking"]
        [[upstream]]
        name = "b"
        hosts = ["[2001:db8::1]:2525", "b.example:587"]
        tls = "required"
        [limits]
        message_size = "10 MB"
        [limits.timeouts]
        reply = "1m30s"
        [store]
        dir = "/var/lib/relayscope"
        durability = "synced"
        on_store_failure = "defer"
        store_wait = "250ms"
        "#,
    );
    let shown: Vec<_> =
        loaded.sessions.iter().map(|s| (s.listener.name.as_str(), s.listener.upstream.as_str(), s.upstream.name.as_str())).collect();
    assert_eq!(shown, [("submission", "b", "b"), ("relay", "a", "a")]);
    let session = &loaded.sessions[0];
    assert_eq!(session.upstream.hosts[0].host, "2001:db8::1");
    assert_eq!(loaded.sessions[1].upstream.hide, ["CHUNKING"]);
    assert_eq!(session.limits.message_size, 10_000_000);
    assert_eq!(session.limits.timeouts.reply, Duration::from_secs(90));
    assert_eq!(session.limits.timeouts.store_wait, Duration::from_millis(250));
    assert_eq!(session.on_store_failure, OnStoreFailure::Defer);
    assert_eq!(loaded.store.durability, Durability::Synced);
    assert_eq!((loaded.node.as_str(), loaded.workers), ("relay1", 3));
    assert_eq!(loaded.certificate_dirs, [Path::new("certs"), Path::new("/var/lib/relayscope")]);
}

#[test]
fn a_password_may_be_readable_for_the_services_group() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    fs::write(&file, "correct horse\n").unwrap();
    let text = format!(
        "[[upstream]]\nhosts = [\"smtp.example.net:587\"]\nauth = {{ user = \"relay\", password_file = \"{}\" }}\n",
        file.display()
    );
    for (mode, good) in [(0o600, true), (0o640, true), (0o644, false), (0o602, false)] {
        set_mode(&file, mode);
        let loads = config::load_text(Path::new("relayscope.toml"), &text, &Overrides::default()).is_ok();
        assert_eq!(loads, good, "{mode:o}");
    }
}

#[test]
fn a_password_comes_from_its_file_and_shows_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    fs::write(&file, format!("{SECRET}\r\n")).unwrap();
    set_mode(&file, 0o600);
    let text = format!(
        "[[upstream]]\nhosts = [\"smtp.example.net:587\"]\ntls = \"required\"\n[upstream.auth]\nuser = \"relay\"\nmechanism = \"XOAUTH2\"\npassword_file = {:?}\n",
        file.display().to_string()
    );
    let loaded = loaded(&text);
    let auth = loaded.sessions[0].upstream.auth.as_ref().unwrap();
    assert_eq!(auth.secret.reveal(), SECRET);
    assert_eq!((auth.user.as_str(), auth.mechanism), ("relay", Some(AuthMechanism::XOAuth2)));
    assert!(loaded.show().contains("[redacted]"));
    for shown in [loaded.show(), format!("{loaded:?}"), format!("{loaded:#?}"), loaded.digest.clone()] {
        assert!(!shown.contains(SECRET), "{shown}");
    }
    let before = loaded.digest;
    fs::write(&file, "another\n").unwrap();
    assert_eq!(self::loaded(&text).digest, before, "the digest knows nothing of the secret");
}

#[test]
fn flags_count_before_the_file() {
    let overrides = Overrides {
        listen: Some("127.0.0.1:26".to_owned()),
        smart_host: Some("other.example:465".to_owned()),
        store: Some("/tmp/elsewhere".into()),
        http: Some("off".to_owned()),
    };
    let text = "[[upstream]]\nhosts = [\"smtp.example.net:587\"]\nhide = [\"DSN\"]\n[store]\nkeep_days = 7\n";
    let loaded = config::load_text(Path::new("relayscope.toml"), text, &overrides).unwrap();
    let session = &loaded.sessions[0];
    assert_eq!(session.listener.listen, ["127.0.0.1:26".parse().unwrap()]);
    assert_eq!(session.upstream.hosts[0].tls, UpstreamTls::Implicit);
    assert_eq!(session.upstream.hide, ["DSN"]);
    assert_eq!((loaded.store.dir.as_path(), loaded.store.keep_days), (Path::new("/tmp/elsewhere"), 7));
    assert_eq!(loaded.http.listen, None);
    let shown = loaded.show();
    for (line, origin) in [
        ("listen = [\"127.0.0.1:26\"]", "--listen"),
        ("hosts = [\"other.example:465\"]", "--smart-host"),
        ("dir = \"/tmp/elsewhere\"", "--store"),
        ("listen = \"off\"", "--http"),
        ("keep_days = 7", "relayscope.toml:5:1"),
        ("hide = [\"DSN\"]", "relayscope.toml:3:1"),
        ("sessions = 10000", "default"),
        ("tls = \"implicit\"", "default"),
    ] {
        let found =
            shown.lines().any(|shown| shown.split_once('#').is_some_and(|(left, right)| left.trim() == line && right.trim() == origin));
        assert!(found, "{line} # {origin}\n{shown}");
    }
}

#[test]
fn tokens_in_urls_show_nowhere_and_their_change_is_seen() {
    let file = |hook: &str, token: &str| {
        format!(
            "[[upstream]]\nhosts = [\"smtp.example.net:587\"]\n[anomaly.notify]\nwebhook = \"https://hooks.example/{hook}\"\n\
             [[export]]\nname = \"web\"\nkind = \"http\"\nurl = \"https://c.example/in?token={token}\"\n"
        )
    };
    let first = loaded(&file("T0/hush", "hush1"));
    for shown in [first.show(), first.canonical()] {
        assert!(!shown.contains("hush") && shown.contains("https://hooks.example/redacted-"), "{shown}");
        assert!(shown.contains("https://c.example/redacted-"), "{shown}");
    }
    // Some receivers are known by their path alone.
    let shown = loaded(&file("T0/hush", "hush1").replace("c.example/in?token=", "c.example/receiver/hush3/")).canonical();
    assert!(!shown.contains("hush") && !shown.contains("receiver"), "{shown}");
    assert_ne!(first.digest, loaded(&file("T0/hush", "hush2")).digest);
    assert_ne!(first.digest, loaded(&file("T0/hash", "hush1")).digest);
}

#[test]
fn what_is_shown_loads_to_the_same() {
    let first = config::load_text(Path::new("relayscope.toml"), "[limits]\nsessions = 5\n", &smart_host("smtp.example.net:587")).unwrap();
    let second = loaded(&first.show());
    assert_eq!(first.digest, second.digest);
    assert_eq!(first.digest.len(), 16);
    let other = config::load_text(Path::new("relayscope.toml"), "[limits]\nsessions = 6\n", &smart_host("smtp.example.net:587")).unwrap();
    assert_ne!(first.digest, other.digest);
}

#[test]
fn init_writes_a_file_that_loads_and_never_overwrites() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config/relayscope.toml");
    config::init(&path, config::TEMPLATE).unwrap();
    let loaded = config::load(Some(&path), &smart_host("smtp.example.net:587")).unwrap();
    assert_eq!(loaded.source.as_deref(), Some(path.as_path()));
    let error = config::init(&path, config::TEMPLATE).unwrap_err();
    assert!(error.to_string().contains("exists already, and is left as it is"), "{error}");
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let error = config::load(Some(Path::new("/nonexistent/relayscope.toml")), &Overrides::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/nonexistent/relayscope.toml: no such file: `relayscope config init` writes one with every option explained"
    );
}

#[test]
fn the_schema_takes_the_file_and_refuses_what_the_program_refuses() {
    let schema = config::schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let json = |text: &str| serde_json::to_value(toml::from_str::<toml::Table>(text).unwrap()).unwrap();
    assert!(validator.is_valid(&json(config::TEMPLATE)));
    for bad in
        ["nodee = \"x\"", "workers = -1", "[[upstream]]\ntls = \"requird\"", "[limits]\nsessions = \"many\"", "[listener]\nname = \"a\""]
    {
        assert!(!validator.is_valid(&json(bad)), "{bad}");
    }
    assert!(!schema.to_string().contains("$ref"), "everything in its place");
}

#[test]
fn the_store_is_found_whatever_else_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("relayscope.toml");
    let found = |text: &str| {
        fs::write(&path, text).unwrap();
        config::store_dir(Some(&path), &Overrides::default())
            .map_err(|errors| errors.to_string().replace(&path.display().to_string(), "FILE"))
    };
    assert_eq!(found("[store]\ndir = \"/srv/traces\"\n[limits]\nsesions = 5\n"), Ok("/srv/traces".into()));
    assert_eq!(found("[store]\nkeep_days = -5\n"), Ok("relayscope-store".into()));
    assert_eq!(found("[store]\ndir = 5\n"), Err("FILE:2:7: [store]: dir = 5 must be text in quotes".to_owned()));
    assert_eq!(found("[store]\ndri = \"x\"\n"), Err("FILE:2:1: [store]: unknown key \"dri\": did you mean \"dir\"?".to_owned()));
    assert_eq!(found("[stroe]\ndir = \"x\"\n"), Err("FILE:1:2: unknown key \"stroe\": did you mean \"store\"?".to_owned()));
    assert!(found("[store\n").is_err());
    let flag = Overrides { store: Some("/elsewhere".into()), ..Overrides::default() };
    assert_eq!(config::store_dir(Some(&path), &flag), Ok("/elsewhere".into()));
}

proptest::proptest! {
    /// Whatever is done to the file, it loads or is refused in words, and nothing panics.
    #[test]
    fn a_mangled_file_is_loaded_or_refused(at in 0.0..1.0f64, length in 0usize..40, instead in "[\\PC\n\"\\[\\]=#.]{0,12}") {
        let whole = config::TEMPLATE.replace("\n#", "\n");
        let boundary = |offset: usize| (0..=offset.min(whole.len())).rev().find(|&at| whole.is_char_boundary(at)).unwrap_or(0);
        let start = boundary((at * whole.len() as f64) as usize);
        let mangled = format!("{}{instead}{}", &whole[..start], &whole[boundary(start + length)..]);
        if let Err(errors) = config::load_text(Path::new("relayscope.toml"), &mangled, &Overrides::default()) {
            proptest::prop_assert!(!errors.problems.is_empty());
        }
    }
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn records_are_staged_where_the_file_says_so_and_never_where_mail_is_deferred() {
    let staging = |store: &str| {
        let text = format!("[store]\n{store}\n");
        config::load_text(Path::new("relayscope.toml"), &text, &smart_host("smtp.example.net:587")).unwrap().store.staging
    };
    assert_eq!(staging("staging = \"off\""), None);
    assert_eq!(staging("staging = \"/tmp\""), Some("/tmp".into()));
    assert_eq!(staging("durability = \"synced\"\nstaging = \"/tmp\""), Some("/tmp".into()));
    assert_eq!(staging("staging = \"/tmp\"\non_store_failure = \"defer\""), None);
    assert_eq!(staging("staging = \"auto\""), relayscope::store::default_staging_dir());
}

/// What the recipes show as a whole file can be run as it stands.
#[test]
fn files_in_the_recipes_load() {
    let mut loaded = 0;
    for recipe in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")).unwrap() {
        let path = recipe.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for block in text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()) {
            // Others are parts, to be put into a file that is there.
            if block.contains("[[upstream]]") {
                config::load_text(&path, block, &Overrides::default()).unwrap_or_else(|error| panic!("{error}\n{block}"));
                loaded += 1;
            }
        }
    }
    assert!(loaded >= 5, "{loaded} files");
}
