//! Stories of the embedded Postgres, with the real server binaries.
//!
//! Every story has a data directory of its own. Run as root they also run as an ordinary user, by
//! a copy of this very program (see [`it_works_for_an_ordinary_user_too`]).

#![expect(
    clippy::unwrap_used,
    reason = "a story ends where something unexpected happens, in its helpers too"
)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use embedded_postgres::{Launcher, PostgresError, Search, Server, StartOptions};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid, getpgid};
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use tempfile::TempDir;

/// How long to wait for what must happen; never reached when all is well.
const LIMIT: Duration = Duration::from_secs(30);
/// Tells [`a_parent_to_be_killed`] which data directory to use.
const PARENT_DATA_DIR: &str = "SOUNDBOX_TEST_PARENT_DATA_DIR";

fn data_dir() -> TempDir {
    tempfile::Builder::new().prefix("pg").tempdir().unwrap()
}

/// Not durable: these stories kill processes, not machines.
fn options() -> StartOptions {
    StartOptions {
        durable: false,
        ..StartOptions::from_env()
    }
}

async fn start(dir: &Path) -> Server {
    Launcher::start(dir, options()).await.unwrap()
}

async fn connect(server: &Server) -> PgConnection {
    PgConnection::connect(server.database_url()).await.unwrap()
}

async fn setting(connection: &mut PgConnection, name: &str) -> String {
    sqlx::query("SELECT current_setting($1)")
        .bind(name)
        .fetch_one(connection)
        .await
        .unwrap()
        .get(0)
}

async fn remember(server: &Server, what: &str) {
    let mut connection = connect(server).await;
    connection
        .execute("CREATE TABLE IF NOT EXISTS memory (what text NOT NULL)")
        .await
        .unwrap();
    sqlx::query("INSERT INTO memory VALUES ($1)")
        .bind(what)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

async fn memories(server: &Server) -> Vec<String> {
    let mut connection = connect(server).await;
    let rows = sqlx::query_scalar("SELECT what FROM memory ORDER BY what")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    rows
}

fn is_running(pid: u32) -> bool {
    // A zombie's command line is empty.
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

fn wait_for_end(pid: u32) {
    let begin = Instant::now();
    while is_running(pid) {
        assert!(begin.elapsed() < LIMIT, "process {pid} is still running");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test]
async fn a_first_start_makes_everything_and_a_later_one_keeps_it() {
    let dir = data_dir();
    let durable = StartOptions::from_env();
    let server = Launcher::start(dir.path(), durable.clone()).await.unwrap();
    let mut connection = connect(&server).await;
    for (name, value) in [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("data_checksums", "on"),
        ("listen_addresses", ""),
        ("server_encoding", "UTF8"),
        ("TimeZone", "UTC"),
        ("max_connections", "100"),
        ("shared_buffers", "128MB"),
    ] {
        assert_eq!(setting(&mut connection, name).await, value, "{name}");
    }
    let socket_dir = setting(&mut connection, "unix_socket_directories").await;
    connection.close().await.unwrap();
    let socket_dir = PathBuf::from(socket_dir.trim_matches('"'));
    assert_eq!(
        fs::metadata(&socket_dir).unwrap().permissions().mode() & 0o777,
        0o700
    );
    remember(&server, "first").await;
    let first_pid = server.pid();
    server.stop().await.unwrap();
    assert!(!is_running(first_pid), "it is gone when stop returns");

    let server = Launcher::start(dir.path(), durable).await.unwrap();
    assert_ne!(server.pid(), first_pid);
    assert_eq!(memories(&server).await, ["first"]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_instance_is_refused_at_once_and_the_first_goes_on() {
    let dir = data_dir();
    let server = start(dir.path()).await;
    let refused = Launcher::start(dir.path(), options()).await.unwrap_err();
    assert!(
        matches!(refused, PostgresError::AlreadyRunning { pid: Some(pid), .. }
            if pid == std::process::id()),
        "{refused}"
    );
    remember(&server, "still here").await;
    server.stop().await.unwrap();
    start(dir.path()).await.stop().await.unwrap();
}

#[tokio::test]
async fn ctrl_c_at_the_terminal_does_not_reach_it() {
    let dir = data_dir();
    let server = start(dir.path()).await;
    let pid = Pid::from_raw(i32::try_from(server.pid()).unwrap());
    assert_eq!(getpgid(Some(pid)).unwrap(), pid, "a group of its own");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_dropped_stops_by_itself() {
    let dir = data_dir();
    let server = start(dir.path()).await;
    let (pid, exited) = (server.pid(), server.exited());
    drop(server);
    assert!(exited.await.success());
    assert!(!is_running(pid));
}

#[tokio::test]
async fn a_killed_server_is_noticed_and_recovers_at_the_next_start() {
    let dir = data_dir();
    let server = start(dir.path()).await;
    remember(&server, "committed").await;
    // A session whose backend outlives its server for a moment.
    let session = connect(&server).await;
    let exited = server.exited();
    let pid = Pid::from_raw(i32::try_from(server.pid()).unwrap());
    kill(pid, Signal::SIGKILL).unwrap();
    assert!(!exited.await.success());
    drop(server);

    let server = start(dir.path()).await;
    assert_eq!(memories(&server).await, ["committed"]);
    drop(session);
    server.stop().await.unwrap();
}

/// Starts this program again as the parent of a server.
fn parent(dir: &Path) -> (Child, u32) {
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "a_parent_to_be_killed",
            "--ignored",
            "--nocapture",
        ])
        .env(PARENT_DATA_DIR, dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(parent.stdout.take().unwrap());
    let server = said
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.split_once("server ")?.1.trim().parse().ok())
        .expect("the parent tells its server's process id");
    (parent, server)
}

#[tokio::test]
#[ignore = "a process for other stories to kill"]
async fn a_parent_to_be_killed() {
    let Some(dir) = std::env::var_os(PARENT_DATA_DIR) else {
        return;
    };
    let server = start(Path::new(&dir)).await;
    remember(&server, "committed").await;
    println!("\nserver {}", server.pid());
    // Until it is killed, or the story that started it has ended.
    let _ = std::io::stdin().read_line(&mut String::new());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn kill_9_of_the_parent_takes_the_server_along() {
    let dir = data_dir();
    let (mut parent, server) = parent(dir.path());
    assert!(is_running(server));
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_for_end(server);
}

#[tokio::test]
async fn a_start_right_after_kill_9_waits_for_the_dying_server() {
    let dir = data_dir();
    let (mut parent, old) = parent(dir.path());
    // The old server cannot end while it is stopped, so the new start must really wait.
    let old_pid = Pid::from_raw(i32::try_from(old).unwrap());
    kill(old_pid, Signal::SIGSTOP).unwrap();
    parent.kill().unwrap();
    parent.wait().unwrap();
    let new = tokio::spawn({
        let dir = dir.path().to_owned();
        async move { start(&dir).await }
    });
    tokio::task::yield_now().await;
    assert!(is_running(old) && !new.is_finished());
    kill(old_pid, Signal::SIGCONT).unwrap();
    let new = new.await.unwrap();
    assert!(!is_running(old));
    assert_eq!(memories(&new).await, ["committed"]);
    new.stop().await.unwrap();
}

#[tokio::test]
async fn a_pid_file_that_names_a_stranger_is_not_believed() {
    let dir = data_dir();
    start(dir.path()).await.stop().await.unwrap();
    let home = dir.path().join("postgres");
    let owner = fs::metadata(home.join("cluster")).unwrap();
    // The number of the dead server now belongs to somebody else, of the same account: Postgres
    // alone would take it for the old server.
    let mut stranger = Command::new("sleep")
        .arg("600")
        .uid(owner.uid())
        .gid(owner.gid())
        .spawn()
        .unwrap();
    let pid_file = home.join("cluster/postmaster.pid");
    fs::write(
        &pid_file,
        format!(
            "{}\n{}\n1\n5432\n\n\n",
            stranger.id(),
            home.join("cluster").display()
        ),
    )
    .unwrap();
    let socket_lock = home.join("socket/.s.PGSQL.5432.lock");
    fs::write(&socket_lock, format!("{}\n", stranger.id())).unwrap();
    if geteuid().is_root() {
        for file in [&pid_file, &socket_lock] {
            std::os::unix::fs::chown(file, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
    }

    let server = start(dir.path()).await;
    assert!(
        stranger.try_wait().unwrap().is_none(),
        "the stranger was left alone"
    );
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    server.stop().await.unwrap();

    fs::write(&pid_file, "").unwrap();
    start(dir.path()).await.stop().await.unwrap();
}

#[tokio::test]
async fn an_initdb_that_was_cut_off_leaves_no_trace() {
    let dir = data_dir();
    let half = dir.path().join("postgres/cluster.new-1/base");
    fs::create_dir_all(&half).unwrap();
    let server = start(dir.path()).await;
    assert!(!half.exists());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_failed_start_shows_what_the_server_said() {
    let dir = data_dir();
    start(dir.path()).await.stop().await.unwrap();
    let file = dir.path().join("postgres/cluster/postgresql.conf");
    fs::write(file, "nonsense_setting = 1\n").unwrap();
    let error = Launcher::start(dir.path(), options()).await.unwrap_err();
    assert!(matches!(error, PostgresError::Exited { .. }), "{error}");
    assert!(error.to_string().contains("nonsense_setting"), "{error}");
}

#[tokio::test]
async fn without_server_binaries_the_error_names_every_way_out() {
    let dir = data_dir();
    let mut options = options();
    options.search = Search {
        bin_dir: None,
        version_root: dir.path().join("none"),
        path: "/nonexistent".into(),
    };
    let error = Launcher::start(dir.path(), options).await.unwrap_err();
    for way in ["apt-get install postgresql", "PG_BIN_DIR", "DATABASE_URL"] {
        assert!(error.to_string().contains(way), "{error}");
    }
}

#[tokio::test]
async fn a_data_directory_with_a_long_name_gets_its_socket_elsewhere() {
    let dir = data_dir();
    let long = dir.path().join("d".repeat(100));
    let server = start(&long).await;
    remember(&server, "reached").await;
    let mut connection = connect(&server).await;
    let socket_dir = setting(&mut connection, "unix_socket_directories").await;
    connection.close().await.unwrap();
    let socket_dir = PathBuf::from(socket_dir.trim_matches('"'));
    assert!(!socket_dir.starts_with(&long), "{}", socket_dir.display());
    let mode = fs::metadata(&socket_dir).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    server.stop().await.unwrap();
    fs::remove_dir_all(socket_dir).unwrap();
}

#[tokio::test]
async fn a_data_directory_in_a_closed_place_works_too() {
    let dir = data_dir();
    let closed = dir.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let inside = closed.join("da,ta \"x\"");
    let server = start(&inside).await;
    remember(&server, "once").await;
    server.stop().await.unwrap();
    let server = start(&inside).await;
    assert_eq!(memories(&server).await, ["once"]);
    server.stop().await.unwrap();
    let mode = fs::metadata(&closed).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "and stays closed");
}

#[tokio::test]
async fn root_does_not_run_it_as_root() {
    let dir = data_dir();
    let server = start(dir.path()).await;
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let ids = |key: &str| -> Vec<u32> {
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace()
            .skip(1)
            .map(|id| id.parse().unwrap())
            .collect()
    };
    let uids = ids("Uid:");
    if geteuid().is_root() {
        assert!(uids.iter().all(|uid| *uid != 0), "{uids:?}");
        assert!(ids("Gid:").iter().all(|gid| *gid != 0));
        assert!(!ids("Groups:").contains(&0));
    } else {
        assert!(uids.iter().all(|uid| *uid == geteuid().as_raw()));
    }
    server.stop().await.unwrap();
}

#[test]
fn it_works_for_an_ordinary_user_too() {
    /// Those in which the account matters.
    const STORIES: [&str; 6] = [
        "a_first_start_makes_everything_and_a_later_one_keeps_it",
        "a_second_instance_is_refused_at_once_and_the_first_goes_on",
        "a_start_right_after_kill_9_waits_for_the_dying_server",
        "a_pid_file_that_names_a_stranger_is_not_believed",
        "a_data_directory_with_a_long_name_gets_its_socket_elsewhere",
        "root_does_not_run_it_as_root",
    ];
    if !geteuid().is_root() {
        return; // The other stories have shown it.
    }
    let Some(nobody) = User::from_name("nobody").unwrap() else {
        eprintln!("skipped: there is no account `nobody`");
        return;
    };
    // The build directory may be closed to others.
    let dir = data_dir();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = dir.path().join("postgres-stories");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let output = Command::new(&program)
        .args(["--test-threads", "2", "--exact"])
        .args(STORIES)
        .current_dir("/")
        .env("HOME", "/nonexistent")
        .env_remove("XDG_RUNTIME_DIR")
        .uid(nobody.uid.as_raw())
        .gid(nobody.gid.as_raw())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let all = format!("test result: ok. {} passed", STORIES.len());
    assert!(said.contains(&all), "{said}");
}
