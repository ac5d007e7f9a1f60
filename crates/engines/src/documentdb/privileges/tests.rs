use super::*;

fn roles_of(all: &[(&str, &str)]) -> Privileges {
    Privileges::OfRoles(
        all.iter()
            .map(|(role, db)| DatabaseRole::new(role, db))
            .collect(),
    )
}

#[test]
fn a_role_in_one_database_covers_no_other_database() {
    let on_shop = RequiredPrivilege::users("grantRole", "shop");
    let on_other = RequiredPrivilege::users("grantRole", "other");
    for role in ["userAdmin", "dbOwner"] {
        let privileges = roles_of(&[(role, "shop")]);
        assert!(
            privileges.include(&on_shop) && !privileges.include(&on_other),
            "{role}"
        );
    }
    let read = roles_of(&[("readWrite", "shop"), ("dbAdmin", "shop")]);
    assert!(!read.include(&on_shop));
}

#[test]
fn roles_for_all_databases_cover_each_database() {
    for role in ["root", "userAdminAnyDatabase"] {
        let privileges = roles_of(&[(role, "admin")]);
        assert!(
            privileges.include(&RequiredPrivilege::users("changePassword", "shop")),
            "{role}"
        );
    }
    assert!(roles_of(&[("readWriteAnyDatabase", "admin")]).include(&RequiredPrivilege::Lock));
    assert!(!roles_of(&[("userAdminAnyDatabase", "admin")]).include(&RequiredPrivilege::Lock));
}

#[test]
fn a_custom_role_counts_as_containing_every_privilege() {
    let custom = roles_of(&[("rotator", "admin")]);
    assert!(custom.include(&RequiredPrivilege::users("createUser", "admin")));
    assert!(custom.include(&RequiredPrivilege::Lock));
}

#[test]
fn listed_privileges_decide() {
    let listed = [
        json!({"resource": {"db": "admin", "collection": ""}, "actions": ["viewUser", "createUser"]}),
        json!({"resource": {"db": "twinkey", "collection": "locks"}, "actions": ["find", "insert", "update", "remove"]}),
        json!({"resource": {"cluster": true}, "actions": ["inprog"]}),
    ];
    let privileges = Privileges::Listed(parse(&listed).unwrap());
    assert!(privileges.include(&RequiredPrivilege::users("viewUser", "admin")));
    assert!(!privileges.include(&RequiredPrivilege::users("viewUser", "shop")));
    assert!(!privileges.include(&RequiredPrivilege::users("grantRole", "admin")));
    assert!(privileges.include(&RequiredPrivilege::Lock));
    let everywhere = [
        json!({"resource": {"db": "", "collection": ""}, "actions": ["grantRole"]}),
        json!({"resource": {"db": "", "collection": "locks"}, "actions": ["find", "insert", "update"]}),
        json!({"resource": {"db": "", "collection": "other"}, "actions": ["remove"]}),
    ];
    let privileges = Privileges::Listed(parse(&everywhere).unwrap());
    assert!(privileges.include(&RequiredPrivilege::users("grantRole", "any")));
    assert!(
        !privileges.include(&RequiredPrivilege::Lock),
        "remove is permitted in another collection only"
    );
}

#[test]
fn a_db_owner_of_amazon_documentdb_administers_no_users() {
    let mut owner = roles_of(&[("dbOwner", "twinkey"), ("dbOwner", "admin")]);
    assert!(owner.depend_on_db_owner());
    owner.without_user_administration();
    assert!(!owner.include(&RequiredPrivilege::users("createUser", "admin")));
    assert!(owner.include(&RequiredPrivilege::Lock), "it writes");
}

#[test]
fn a_response_without_privileges_is_none() {
    assert!(parse(&[]).is_none());
    assert!(parse(&[json!({"resource": "odd"})]).is_none());
}
