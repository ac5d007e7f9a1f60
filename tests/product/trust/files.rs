//! The owner and the mode of the config, and of the token and key files that it names.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;
use twinkey_testkit::pki::{Pki, write_key};

const PROGRAM: &str = env!("CARGO_BIN_EXE_twinkey");
/// A user who is neither root nor the user of the tests.
const OTHER: u32 = 65_533;
/// The output of `check` for a config without rotations and without a warning.
const NO_WARNING: &str = "0 rotations checked\n";

/// A folder with a config and every kind of file that it can name.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write(
            "twinkey.toml",
            "[server]\nadmin_token_file = \"token\"\ntls = { cert = \"cert.pem\", key = \"tls.key\" }\n\
             [secrets]\nbackend = \"local\"\nkey_file = \"secrets.key\"\nserve = { keys_file = \"keys.toml\" }\n",
        );
        let key = rcgen::KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned()];
        let cert = rcgen::CertificateParams::new(names).unwrap();
        let cert = cert.self_signed(&key).unwrap().pem();
        for (file, text) in [
            ("token", "0123456789abcdef0123456789abcdef"),
            ("cert.pem", cert.as_str()),
            ("tls.key", key.serialize_pem().as_str()),
            ("secrets.key", ""),
            ("keys.toml", ""),
        ] {
            folder.write(file, text);
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a private file.
    fn write(&self, name: &str, text: &str) {
        write_key(&self.path(name), text);
    }

    fn set_mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
    }

    /// A command in this folder, which names no config.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .args(args)
            .env_remove("TWINKEY_CONFIG")
            .current_dir(self.0.path());
        command
    }

    fn check(&self) -> Output {
        let config = self.path("twinkey.toml");
        let args = ["--config", config.to_str().unwrap(), "check", "--offline"];
        self.command(&args).output().unwrap()
    }

    /// The message of `check` and of `serve`, which refuse the config.
    fn refused(&self) -> String {
        let config = self.path("twinkey.toml");
        let args = ["--config", config.to_str().unwrap(), "serve"];
        let of_serve = refusal(self.command(&args).output().unwrap());
        let of_check = refusal(self.check());
        assert_eq!(of_serve, of_check);
        of_check
    }

    /// The output of a successful `check`.
    fn accepted(&self) -> String {
        let output = self.check();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        String::from_utf8(output.stdout).unwrap()
    }
}

fn refusal(output: Output) -> String {
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("error[config_invalid]: "), "{message}");
    message
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn a_config_that_others_may_write_is_refused() {
    let folder = Folder::new();
    for mode in [0o600, 0o644, 0o440] {
        folder.set_mode("twinkey.toml", mode);
        assert_eq!(folder.accepted(), NO_WARNING);
    }
    folder.set_mode("twinkey.toml", 0o666);
    let message = folder.refused();
    assert!(
        message.contains("is writable by others (mode 0666)"),
        "{message}"
    );
    // Every other command refuses it too.
    let mut status = folder.command(&["--config", "twinkey.toml", "status"]);
    refusal(status.output().unwrap());
}

#[test]
fn a_folder_in_which_others_can_replace_the_config_is_refused() {
    let folder = Folder::new();
    for (mode, accepted) in [
        (0o777, false),
        (0o1777, true),
        (0o757, false),
        (0o755, true),
    ] {
        folder.set_mode("", mode);
        if accepted {
            folder.accepted();
        } else {
            let message = folder.refused();
            assert!(message.contains("is in the folder "), "{message}");
        }
    }
    // The folder of a link counts too.
    let link = folder.path("links");
    fs::create_dir(&link).unwrap();
    fs::set_permissions(&link, Permissions::from_mode(0o777)).unwrap();
    std::os::unix::fs::symlink(folder.path("twinkey.toml"), link.join("twinkey.toml")).unwrap();
    let mut linked = folder.command(&["--config", "links/twinkey.toml", "check", "--offline"]);
    refusal(linked.output().unwrap());
}

#[test]
fn each_token_and_key_that_others_may_write_is_refused() {
    for (file, key) in [
        ("token", "server.admin_token_file"),
        ("tls.key", "server.tls.key"),
        ("secrets.key", "secrets.key_file"),
        ("keys.toml", "secrets.serve.keys_file"),
    ] {
        let folder = Folder::new();
        folder.set_mode(file, 0o602);
        let message = folder.refused();
        let expected = format!(
            "{key}: the file {} is writable",
            folder.path(file).display()
        );
        assert!(message.contains(&expected), "{message}");
    }
}

#[test]
fn a_key_that_others_may_read_is_refused_and_a_token_warned_of() {
    let folder = Folder::new();
    for file in ["tls.key", "secrets.key", "keys.toml"] {
        folder.set_mode(file, 0o604);
        let message = folder.refused();
        assert!(
            message.contains("is readable by others (mode 0604)"),
            "{message}"
        );
        folder.set_mode(file, 0o600);
    }
    folder.set_mode("token", 0o640);
    assert_eq!(folder.accepted(), NO_WARNING);
    folder.set_mode("token", 0o644);
    let warning = folder.accepted();
    assert!(
        warning.contains("[files]") && warning.contains("is readable by all users (mode 0644)"),
        "{warning}"
    );
}

#[test]
fn a_config_with_a_password_that_others_may_read_is_warned_of() {
    let folder = Folder::new();
    folder.write(
        "twinkey.toml",
        "[journal]\nurl = \"postgres://u:hunter2-hunter2@127.0.0.1/j\"\n[secrets]\nbackend = \"local\"\n",
    );
    assert_eq!(folder.accepted(), NO_WARNING);
    folder.set_mode("twinkey.toml", 0o644);
    let warning = folder.accepted();
    assert!(
        warning.contains("holds a secret and is readable by all users"),
        "{warning}"
    );
    assert!(!warning.contains("hunter2"));
}

#[test]
fn root_refuses_the_config_of_another_user_in_the_current_folder() {
    if !is_root() {
        return;
    }
    let folder = Folder::new();
    let here = || folder.command(&["check", "--offline"]).output().unwrap();
    assert!(here().status.success());
    chown(folder.path("twinkey.toml"), Some(OTHER), None).unwrap();
    let message = refusal(here());
    assert!(
        message.contains("belongs to the user 65533")
            && message.contains("name the config with --config"),
        "{message}"
    );
    folder.refused();
    // The owner of the folder can replace the file.
    chown(folder.path("twinkey.toml"), Some(0), None).unwrap();
    chown(folder.0.path(), Some(OTHER), None).unwrap();
    assert!(refusal(here()).contains("is in the folder "));
    chown(folder.0.path(), Some(0), None).unwrap();
    chown(folder.path("token"), Some(OTHER), None).unwrap();
    assert!(folder.refused().contains("server.admin_token_file"));
    // Root uses the keys that the worker's user created.
    chown(folder.path("token"), Some(0), None).unwrap();
    chown(folder.path("secrets.key"), Some(OTHER), None).unwrap();
    assert_eq!(folder.accepted(), NO_WARNING);
}

/// The exit status of a check in a new mount namespace, with the folder on a mount with `options`;
/// `None` if this machine does not permit mounts.
fn check_on_mount(folder: &Path, options: &str) -> Option<i32> {
    let script = format!(
        "mount -t tmpfs tmpfs /mnt || exit 77; cp {0}/* /mnt && chmod 644 /mnt/* && chmod 777 /mnt \
         && chown {OTHER} /mnt/* && mount -o remount,{options} /mnt || exit 77; \
         exec {PROGRAM} --config /mnt/twinkey.toml check --offline",
        folder.display()
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]);
    let code = command.output().ok()?.status.code();
    code.filter(|code| ![1, 77].contains(code))
}

#[test]
fn files_on_a_read_only_mount_of_their_own_are_accepted() {
    let folder = Folder::new();
    let Some(writable) = check_on_mount(folder.0.path(), "rw") else {
        return;
    };
    assert_eq!(writable, 2);
    assert_eq!(check_on_mount(folder.0.path(), "ro"), Some(0));
}

#[test]
fn a_worker_refuses_a_renewed_key_that_others_may_read() {
    use twinkey_stores::listener::{Identity, ServerTls};

    let folder = Folder::new();
    let pki = Pki::new();
    folder.write("cert.pem", &pki.server.0);
    folder.write("tls.key", &pki.server.1);
    let identity = Identity::read(ServerTls {
        cert: folder.path("cert.pem"),
        key: folder.path("tls.key"),
    })
    .unwrap();
    folder.set_mode("tls.key", 0o644);
    let error = identity.reload().unwrap_err().to_string();
    assert!(
        error.contains("is readable by others (mode 0644)"),
        "{error}"
    );
}
