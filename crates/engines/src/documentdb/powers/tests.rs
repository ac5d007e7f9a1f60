use super::*;

fn roles_of(all: &[(&str, &str)]) -> Powers {
    Powers::Roles(all.iter().map(|(role, db)| Role::new(role, db)).collect())
}

#[test]
fn a_role_on_one_database_gives_nothing_on_another() {
    let on_shop = Need::users("grantRole", "shop");
    let on_other = Need::users("grantRole", "other");
    for role in ["userAdmin", "dbOwner"] {
        let powers = roles_of(&[(role, "shop")]);
        assert!(powers.have(&on_shop) && !powers.have(&on_other), "{role}");
    }
    let read = roles_of(&[("readWrite", "shop"), ("dbAdmin", "shop")]);
    assert!(!read.have(&on_shop));
}

#[test]
fn what_reaches_every_database_reaches_each() {
    for role in ["root", "userAdminAnyDatabase"] {
        let powers = roles_of(&[(role, "admin")]);
        assert!(
            powers.have(&Need::users("changePassword", "shop")),
            "{role}"
        );
    }
    assert!(roles_of(&[("readWriteAnyDatabase", "admin")]).have(&Need::Lock));
    assert!(!roles_of(&[("userAdminAnyDatabase", "admin")]).have(&Need::Lock));
    assert!(!roles_of(&[("userAdminAnyDatabase", "admin")]).have(&Need::Sessions));
}

#[test]
fn a_custom_role_may_hold_anything_so_that_nothing_is_called_missing() {
    let custom = roles_of(&[("rotator", "admin")]);
    assert!(custom.have(&Need::users("createUser", "admin")));
    assert!(custom.have(&Need::Lock) && custom.have(&Need::Sessions));
}

#[test]
fn privileges_that_the_server_tells_are_taken_at_their_word() {
    let told = [
        json!({"resource": {"db": "admin", "collection": ""}, "actions": ["viewUser", "createUser"]}),
        json!({"resource": {"db": "twinkey", "collection": "locks"}, "actions": ["find", "insert", "update", "remove"]}),
        json!({"resource": {"cluster": true}, "actions": ["inprog"]}),
    ];
    let powers = Powers::Privileges(privileges(&told).unwrap());
    assert!(powers.have(&Need::users("viewUser", "admin")));
    assert!(!powers.have(&Need::users("viewUser", "shop")));
    assert!(!powers.have(&Need::users("grantRole", "admin")));
    assert!(powers.have(&Need::Lock) && powers.have(&Need::Sessions));
    let everywhere = [
        json!({"resource": {"db": "", "collection": ""}, "actions": ["grantRole"]}),
        json!({"resource": {"db": "", "collection": "locks"}, "actions": ["find", "insert", "update"]}),
        json!({"resource": {"db": "", "collection": "other"}, "actions": ["remove"]}),
    ];
    let powers = Powers::Privileges(privileges(&everywhere).unwrap());
    assert!(powers.have(&Need::users("grantRole", "any")));
    assert!(
        !powers.have(&Need::Lock),
        "it may remove from another collection only"
    );
}

#[test]
fn a_server_that_tells_no_privileges_has_told_nothing() {
    assert!(privileges(&[]).is_none());
    assert!(privileges(&[json!({"resource": "odd"})]).is_none());
}
