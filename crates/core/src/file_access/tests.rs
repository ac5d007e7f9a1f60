use std::os::unix::fs::PermissionsExt;

use super::*;

const WORKER: u32 = 998;
const OTHER: u32 = 1000;

/// The result as a word.
fn result(owner: u32, mode: u32, kind: FileKind, user: u32) -> &'static str {
    let facts = FileFacts {
        owner,
        group: 50,
        mode,
        read_only_mount: false,
    };
    word(assess(facts, kind, user))
}

fn word(result: Result<Accepted, AccessError>) -> &'static str {
    match result {
        Ok(Accepted::Private) => "private",
        Ok(Accepted::WorldReadable) => "warned",
        Err(AccessError::ForeignOwner(_)) => "foreign",
        Err(AccessError::Writable(_)) => "writable",
        Err(AccessError::Readable(_)) => "readable",
    }
}

#[test]
fn owner_mode_user_and_kind_decide() {
    use FileKind::{Config, Key, Token};
    for (owner, mode, user, config, token, key) in [
        // Own files.
        (WORKER, 0o600, WORKER, "private", "private", "private"),
        (WORKER, 0o400, WORKER, "private", "private", "private"),
        (WORKER, 0o640, WORKER, "private", "private", "readable"),
        (WORKER, 0o644, WORKER, "warned", "warned", "readable"),
        (WORKER, 0o620, WORKER, "writable", "writable", "writable"),
        (WORKER, 0o602, WORKER, "writable", "writable", "writable"),
        (WORKER, 0o664, WORKER, "writable", "writable", "readable"),
        (WORKER, 0o666, WORKER, "writable", "writable", "readable"),
        // Files of root for a worker with its own user.
        (ROOT, 0o600, WORKER, "private", "private", "private"),
        (ROOT, 0o640, WORKER, "private", "private", "private"),
        (ROOT, 0o644, WORKER, "warned", "warned", "readable"),
        (ROOT, 0o660, WORKER, "writable", "writable", "writable"),
        // Files of root for root.
        (ROOT, 0o600, ROOT, "private", "private", "private"),
        (ROOT, 0o640, ROOT, "private", "private", "readable"),
        (ROOT, 0o644, ROOT, "warned", "warned", "readable"),
        (ROOT, 0o664, ROOT, "writable", "writable", "readable"),
        (ROOT, 0o666, ROOT, "writable", "writable", "readable"),
        // Files of another user.
        (OTHER, 0o600, WORKER, "foreign", "foreign", "foreign"),
        (OTHER, 0o644, WORKER, "foreign", "foreign", "readable"),
        (OTHER, 0o644, ROOT, "foreign", "foreign", "readable"),
        // Root uses the keys of the worker's user.
        (WORKER, 0o600, ROOT, "foreign", "foreign", "private"),
        (WORKER, 0o640, ROOT, "foreign", "foreign", "readable"),
    ] {
        for (kind, expected) in [(Config, config), (Token, token), (Key, key)] {
            let found = result(owner, mode, kind, user);
            assert_eq!(found, expected, "{owner} {mode:o} {user} {kind:?}");
        }
    }
}

#[test]
fn a_private_group_may_write_the_files_of_its_user() {
    let facts = |owner, group, mode| FileFacts {
        owner,
        group,
        mode,
        read_only_mount: false,
    };
    let config = |facts, user| word(assess(facts, FileKind::Config, user));
    assert_eq!(config(facts(WORKER, WORKER, 0o664), WORKER), "warned");
    assert_eq!(config(facts(WORKER, WORKER, 0o666), WORKER), "writable");
    assert_eq!(config(facts(ROOT, WORKER, 0o664), WORKER), "writable");
    // The group root has other members.
    assert_eq!(config(facts(ROOT, ROOT, 0o664), ROOT), "writable");
    assert!(assess_folder(facts(WORKER, WORKER, 0o775), WORKER).is_ok());
    assert!(assess_folder(facts(WORKER, 50, 0o775), WORKER).is_err());
}

#[test]
fn a_read_only_mount_of_its_own_is_accepted() {
    let facts = FileFacts {
        owner: OTHER,
        group: OTHER,
        mode: 0o666,
        read_only_mount: true,
    };
    for kind in [FileKind::Config, FileKind::Token, FileKind::Key] {
        assert_eq!(word(assess(facts, kind, WORKER)), "private");
    }
    assert!(assess_folder(facts, WORKER).is_ok() && assess_ancestor(facts).is_ok());
}

#[test]
fn others_must_not_replace_a_file_in_its_folder() {
    let folder = |owner, mode| {
        let facts = FileFacts {
            owner,
            group: 50,
            mode,
            read_only_mount: false,
        };
        (
            assess_folder(facts, WORKER).is_ok(),
            assess_ancestor(facts).is_ok(),
        )
    };
    for (owner, mode, direct, above) in [
        (ROOT, 0o755, true, true),
        (WORKER, 0o700, true, true),
        (ROOT, 0o1777, true, true),
        (ROOT, 0o777, false, false),
        (ROOT, 0o775, false, true),
        (WORKER, 0o757, false, false),
        (OTHER, 0o755, false, true),
        (OTHER, 0o1777, false, true),
    ] {
        assert_eq!(folder(owner, mode), (direct, above), "{owner} {mode:o}");
    }
}

#[test]
fn facts_are_read_from_regular_files_and_folders_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "x").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o642)).unwrap();
    let facts = FileFacts::at(&path).unwrap().unwrap();
    assert_eq!((facts.owner, facts.mode & 0o7777), (user(), 0o642));
    assert!(!facts.read_only_mount);
    let error = assess_open(&File::open(&path).unwrap(), FileKind::Token);
    let error = error.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "is writable by others (mode 0642)");
    assert!(FileFacts::at(folder.path()).unwrap().is_some());
    assert_eq!(FileFacts::at(Path::new("/dev/null")).unwrap(), None);
    FileFacts::at(&folder.path().join("missing")).unwrap_err();
}
