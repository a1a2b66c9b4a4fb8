//! What holds for every user; entering other namespaces needs root and is tested end to end.
use super::*;

#[test]
fn the_own_namespace_is_found_once_and_its_path_opens_it() {
    let own = current().unwrap();
    assert_eq!(inode_of(&own.path).unwrap(), Some(own.inode));
    let namespaces = all().namespaces;
    assert_eq!(
        namespaces.iter().filter(|ns| ns.inode == own.inode).count(),
        1
    );
    assert!(namespaces.is_sorted_by(|a, b| a.inode < b.inode));
}

#[test]
fn the_own_namespace_needs_no_privilege() {
    let own = current().unwrap();
    check(&own).unwrap();
    let range = Object::Setting("ipv4/ip_local_port_range");
    assert_eq!(read(&own, range).unwrap().split_whitespace().count(), 2);
}

#[test]
fn a_namespace_that_has_ended_is_named_even_where_its_path_leads_to_another() {
    let gone = Netns {
        inode: 1,
        name: Some("blue".to_owned()),
        ..current().unwrap()
    };
    let error = check(&gone).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert_eq!(
        error.to_string(),
        "network namespace blue (1): it has ended"
    );
}

#[test]
fn a_name_drives_no_terminal() {
    let hostile = Netns {
        inode: 7,
        path: PathBuf::new(),
        name: Some("\u{1b}[31m\n\u{202e}".to_owned()),
    };
    assert_eq!(
        hostile.to_string(),
        "network namespace \\x1b[31m\\x0a\\xe2\\x80\\xae (7)"
    );
    let mut search = Search::default();
    search.unseen(Path::new("/run/netns/\u{9b}2J"), "not now");
    let why = search.found.unseen_why.as_deref();
    assert_eq!(why, Some("/run/netns/\\xc2\\x9b2J: not now"));
}

#[test]
fn other_files_are_no_network_namespaces() {
    for path in ["/etc/passwd", "/proc/self/ns/mnt", "/proc/self"] {
        assert_eq!(inode_of(Path::new(path)).unwrap(), None, "{path}");
    }
    assert!(has_ended(
        &inode_of(Path::new("/no/such/path")).unwrap_err()
    ));
}

#[test]
fn only_known_settings_are_opened() {
    for path in ["../../etc/passwd", "ipv4/tcp_fastopen_key", ""] {
        let error = Object::Setting(path).open(None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{path}");
    }
}
