use super::*;

fn pair() -> Pair {
    Pair::of("app", "_clone")
}

fn member(role: &str, member: &str, through: &str) -> ServiceMembership {
    ServiceMembership {
        role: role.into(),
        member: member.into(),
        through: through.into(),
    }
}

fn service(memberships: Vec<ServiceMembership>) -> Service {
    Service {
        master: "master".into(),
        token_roles: true,
        memberships,
        ..Service::default()
    }
}

fn of(service: &Service) -> Vec<(Severity, String)> {
    let all = service.findings(&pair()).into_iter();
    all.map(|finding| (finding.severity, finding.what))
        .collect()
}

#[test]
fn a_role_that_the_clone_has_through_the_base_user_is_one_finding() {
    let all = of(&service(vec![
        member("rds_superuser", "app", "admins"),
        member("rds_replication", "app", "rds_superuser"),
        member("rds_superuser", "app_clone", "admins"),
        member("rds_superuser", "master", "master"),
    ]));
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0].0, Severity::Error);
    assert!(
        all[0].1.contains("rds_superuser, through \"admins\""),
        "{all:?}"
    );
}

#[test]
fn nested_members_of_token_roles_have_no_password() {
    for role in ["rds_iam", "rds_ad"] {
        let service = service(vec![member(role, "app", "people")]);
        let findings = service.findings(&pair());
        assert_eq!(findings[0].severity, Severity::Error);
        let fix = format!("REVOKE {role} FROM \"people\"");
        assert_eq!(findings[0].fix.as_deref(), Some(&*fix));
        assert_eq!(service.causes(&pair()).len(), 1);
    }
}

#[test]
fn the_master_is_warned_before_and_after_the_grant() {
    let mut before = service(vec![]);
    assert!(of(&before).is_empty());
    before.of_master.push("app".into());
    let note = of(&before);
    assert_eq!(note[0].0, Severity::Note);
    assert!(note[0].1.contains("rds_iam"), "{note:?}");
    before.token_roles = false;
    assert!(of(&before).is_empty(), "the server is not of RDS");
    let after = of(&service(vec![member("rds_iam", "master", "app")]));
    assert_eq!(after[0].0, Severity::Warning);
}

#[test]
fn a_blue_green_deployment_is_refused() {
    let mut service = service(vec![]);
    service.blue_green_slots.push("rds_green_1".into());
    let all = of(&service);
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].0, Severity::Error);
    assert!(all[0].1.contains("blue/green"), "{all:?}");
}
