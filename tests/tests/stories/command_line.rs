//! The platform's command line: what each command needs, and what it prints when something is missing.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use tests::database::TestDatabase;
use tests::prelude::*;

/// Runs the platform's executable without `DATABASE_URL`.
pub(super) fn platform(args: &[&str], config: &Path) -> Output {
    Command::new(tests::server::executable().unwrap())
        .args(args)
        .arg("--config")
        .arg(config)
        .env_remove("DATABASE_URL")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

pub(super) fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// A configuration whose keys, CA and secrets do not exist.
fn without_keys(dir: &Path, database_url: &str) -> String {
    let dir = dir.display();
    format!(
        r#"data_dir = "{dir}/data"
[database]
url = "{database_url}"
[pki]
dir = "{dir}/pki"
[announcements]
key_files = ["{dir}/announcement.pem"]
[qris_partners.acquirer]
secret_files = ["{dir}/acquirer"]
secret_envs = ["ACQUIRER_SECRET_THAT_IS_NOT_SET"]
[qris_partners.snapbank]
profile = "snap"
secret_files = ["{dir}/snapbank"]
public_key_files = ["{dir}/snapbank.pem"]
[qris_partners.snapbank.api]
url = "https://snap.bank.example"
client_id = "soundbox"
private_key_file = "{dir}/snap-key.pem"
secret_files = ["{dir}/snapbank-api"]
channel_id = "95221"
[payments]
qr_partner = "acquirer"
[payout_partners.bank]
url = "https://bank.example"
secret_files = ["{dir}/bank"]
"#
    )
}

#[tokio::test]
async fn commands_need_only_what_they_use_and_serve_lists_all_that_is_missing() {
    let database = TestDatabase::create().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("production.toml");
    std::fs::write(&config, without_keys(dir.path(), database.url())).unwrap();
    let user = [
        "user",
        "create",
        "--email",
        "a@example.id",
        "--role",
        "admin",
    ];
    let token = ["token", "create", "--role", "ops", "--name", "x"];
    for args in [
        &["migrate"][..],
        &user,
        &token,
        &["audit", "verify"],
        &["ledger", "verify"],
        &["observer", "list"],
    ] {
        let output = platform(args, &config);
        assert!(output.status.success(), "{args:?}: {}", text(&output));
    }
    let output = platform(&["serve"], &config);
    assert!(!output.status.success());
    let output = text(&output);
    let path = |name: &str| dir.path().join(name).display().to_string();
    for expected in [
        path("production.toml"),
        format!("certs init --ca {}", path("pki")),
        format!(
            "openssl genpkey -algorithm ed25519 -out {}",
            path("announcement.pem")
        ),
        format!("openssl rand -hex 32 > {}", path("acquirer")),
        "ACQUIRER_SECRET_THAT_IS_NOT_SET".to_owned(),
        format!("openssl rand -hex 32 > {}", path("snapbank")),
        path("snapbank.pem"),
        path("snap-key.pem"),
        path("snapbank-api"),
        "payout_partners.bank".to_owned(),
    ] {
        assert!(output.contains(&expected), "{expected} is not in\n{output}");
    }
    assert_eq!(output.matches("certs init").count(), 1, "{output}");
}

#[tokio::test]
async fn a_ca_that_lacks_its_key_is_not_made_anew() {
    let world = World::new().await;
    let dir = tempfile::tempdir().unwrap();
    let pki = dir.path().join("pki");
    std::fs::create_dir(&pki).unwrap();
    std::fs::write(pki.join("root.pem"), world.app().root_pem()).unwrap();
    std::fs::write(pki.join("issuing.pem"), world.app().root_pem()).unwrap();
    let config = dir.path().join("production.toml");
    std::fs::write(&config, format!("data_dir = {:?}\n", dir.path())).unwrap();
    let output = text(&platform(&["serve"], &config));
    assert!(output.contains("issuing-key.pem"), "{output}");
    assert!(!output.contains("certs init"), "{output}");
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named_once_and_without_its_password() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("production.toml");
    let unknown = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = unknown.local_addr().unwrap().port();
    drop(unknown);
    std::fs::write(
        &config,
        format!(
            "[database]\nurl = \"postgres://soundbox:very-secret@127.0.0.1:{port}/payments\"\nacquire_timeout_ms = 300\n"
        ),
    )
    .unwrap();
    for args in [&["migrate"][..], &["audit", "verify"]] {
        let output = text(&platform(args, &config));
        assert!(
            output.contains(&format!("payments at 127.0.0.1:{port} as soundbox")),
            "{output}"
        );
        assert!(output.to_lowercase().contains("refused"), "{output}");
        assert_eq!(output.matches("payments at").count(), 1, "{output}");
        assert!(!output.contains("very-secret"), "{output}");
    }
    // A server that runs and refuses the user.
    let database = TestDatabase::create().await.unwrap();
    let wrong = database.url().replace("soundbox", "soundbux");
    std::fs::write(&config, format!("[database]\nurl = {wrong:?}\n")).unwrap();
    let output = text(&platform(&["audit", "verify"], &config));
    assert!(
        output.contains("cannot connect to the database"),
        "{output}"
    );
    assert!(!output.contains(" at line "), "{output}");
    let cause = output.rsplit(": ").next().unwrap().trim();
    assert_eq!(output.matches(cause).count(), 1, "{output}");
}

#[tokio::test]
async fn a_database_without_migrations_is_reported() {
    let database = TestDatabase::empty().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("production.toml");
    std::fs::write(&config, format!("[database]\nurl = {:?}\n", database.url())).unwrap();
    let output = text(&platform(&["audit", "verify"], &config));
    assert!(output.contains("platform migrate"), "{output}");
    let migrated = platform(&["migrate"], &config);
    assert!(migrated.status.success(), "{}", text(&migrated));
    let verified = platform(&["audit", "verify"], &config);
    assert!(verified.status.success(), "{}", text(&verified));
}

#[tokio::test]
async fn a_database_of_an_earlier_development_version_is_refused() {
    let database = TestDatabase::create().await.unwrap();
    let mut connection = database.connect().await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (4, 'terminal', true, '', 0)",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("production.toml");
    std::fs::write(&config, format!("[database]\nurl = {:?}\n", database.url())).unwrap();
    let output = platform(&["migrate"], &config);
    assert!(!output.status.success());
    let output = text(&output);
    assert!(output.contains("earlier development version"), "{output}");
    assert!(output.contains("remove the data directory"), "{output}");
}

/// The standard output of a run that succeeds.
fn output(args: &[&str], config: &Path) -> String {
    let output = platform(args, config);
    assert!(output.status.success(), "{args:?}: {}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn users_and_tokens_are_listed_reset_and_revoked() {
    let world = World::new().await;
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("production.toml");
    std::fs::write(
        &config,
        format!("[database]\nurl = {:?}\n", world.database_url()),
    )
    .unwrap();
    let email = "ani@example.id";
    let create = ["user", "create", "--email", email, "--role", "ops"];
    let password = output(&create, &config).trim().to_owned();
    let login = serde_json::json!({ "email": email, "password": password });
    let login = async || world.anonymous().post("/admin/login", &login).await;
    let session = login().await.expect(200).data();
    let session = world
        .anonymous()
        .with_token(session["token"].as_str().unwrap());
    let _ = session.get("/admin/devices").await.expect(200);

    let listed = output(&["user", "list"], &config);
    let line = listed.lines().find(|line| line.contains(email)).unwrap();
    assert!(
        line.starts_with("usr_") && line.contains("  ops  "),
        "{line}"
    );
    let admins = output(&["user", "list", "--role", "admin"], &config);
    assert!(!admins.contains(email), "{admins}");

    // A reset ends the password and the sessions; the code sets another password.
    let code = output(&["user", "reset", email], &config).trim().to_owned();
    assert_eq!(session.get("/admin/devices").await.status, 401);
    assert_eq!(login().await.status, 401);
    let setup = serde_json::json!({ "email": email, "code": code, "password": password });
    let setup = world
        .anonymous()
        .post("/admin/password/setup", &setup)
        .await;
    let _ = setup.expect(200);
    let _ = login().await.expect(200);
    let missing = text(&platform(&["user", "reset", "budi@example.id"], &config));
    assert!(missing.contains("budi@example.id"), "{missing}");

    let create = ["token", "create", "--role", "ops", "--name", "backup job"];
    let secret = output(&create, &config).trim().to_owned();
    let program = world.anonymous().with_token(&secret);
    let _ = program.get("/admin/devices").await.expect(200);
    let listed = output(&["token", "list"], &config);
    assert!(!listed.contains(&secret), "secrets are never listed");
    let line = listed.lines().find(|line| line.contains("backup job"));
    let id = line.unwrap().split_whitespace().next().unwrap();
    output(&["token", "revoke", id], &config);
    assert_eq!(program.get("/admin/devices").await.status, 401);
    assert!(!output(&["token", "list"], &config).contains(id));
    let all = output(&["token", "list", "--all"], &config);
    let line = all.lines().find(|line| line.contains(id)).unwrap();
    assert!(line.contains("revoked"), "{line}");
}
